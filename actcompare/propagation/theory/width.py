"""What a finite width changes: how lengths and gradients vary over nets, and their mean.

Sources: Hanin and Nica 2020, Products of many large random matrices and gradients in deep neural
networks, for a variance that grows with depth over width. The gradient along the signal is not
independent of the weights: given the forward pass, they are known in that one direction of N.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from actcompare.activations.gaussian import Curve
from actcompare.propagation.theory.maps import Law, Step

MOST_VARIANCE, MOST_RADIAL = 1.0, 0.25
"""Largest variance, and largest radial correction in nats, up to which the theory is compared."""

NUDGE = 0.01
"""Step of ln q for derivatives."""


@dataclass(frozen=True)
class Correction:
    """How the log of the gradient's variance at the bottom differs from that of a wide net."""

    variance: float
    """Its variance over nets."""
    of_length: float
    """Variance of the log of the signal's own length over nets, at its largest."""
    radial: float
    """Nats that the part of the gradient along the signal adds."""
    noise: float
    """Nats that the variation of lengths and gradients over nets adds to the mean of the log."""

    @property
    def shift(self) -> float:
        """The mean over nets minus the theory, in nats."""
        return self.radial + self.noise

    @property
    def holds(self) -> bool:
        """Whether a net is wide enough for its depth to be compared with the theory."""
        spread = max(self.variance, self.of_length)
        return spread <= MOST_VARIANCE and abs(self.radial) <= MOST_RADIAL


def correct(curve: Curve, law: Law, steps: Sequence[Step], width: int) -> Correction:
    """Return the correction for nets of a width; each step is of one sample."""
    with np.errstate(all="ignore"):
        total, largest, noise = _variances(curve, law, steps, width)
        return Correction(total, largest, _radial(law, steps, width), noise)


def _variances(
    curve: Curve, law: Law, steps: Sequence[Step], width: int
) -> tuple[float, float, float]:
    """Return the variance of ln |gradient|^2, the largest one of ln q, and the shift of the mean.

    The deviation d of ln q follows d' = s d + k d^2/2 + e, where the mean of e is less than 0 by
    half its variance, and changes ln chi by b d + b' d^2/2: b, b' and s, k are derivatives over
    ln q. The mean of the log of a layer's own factor is below 0 by half its variance, too.
    """
    total = of_length = both = largest = mean = noise = 0.0
    for step in steps:
        at = step.at
        _, second, fourth = _seen(law, step)
        below, above = (law.length(curve, step.log_q + d) for d in (-NUDGE, NUDGE))
        low, here, high = (float(each.log_chi[0]) for each in (below, step, above))
        bend, curved = (high - low) / (2 * NUDGE), (high - 2 * here + low) / NUDGE**2
        slope = float(step.log_slope[0])
        turning = float(above.log_slope[0] - below.log_slope[0]) / (2 * NUDGE)
        backward = (3 * at.d4[0] / at.d2[0] ** 2 - 1) / width
        total += backward + 2 * bend * both + bend**2 * of_length
        noise += bend * mean + curved * of_length / 2 - backward / 2
        both = slope * (both + bend * of_length)
        own = step.carried[0] ** 2 * (fourth / second**2 - 1) / width
        mean = slope * mean + turning * of_length / 2 - own / 2
        of_length = slope**2 * of_length + own
        largest = max(largest, of_length)
    return float(total), float(largest), float(noise)


def _radial(law: Law, steps: Sequence[Step], width: int) -> float:
    """Return what the gradient along the signal adds to ln |gradient|^2 at the bottom.

    With the gradient's mean square D and P = (z . gradient)^2 / N of a layer, given the layer
    above: f's direction carries P_w / E f^2 instead of sigma_w^2 D, where P_w is the part of P that
    belongs to the weights and not to the biases.
    """
    total, along = 0.0, math.nan
    for step in reversed(steps):
        at, q = step.at, step.at.q[0]
        mean, second, _ = _seen(law, step)
        above = law.sigma_w2 * second / step.carried[0]
        carried = step.carried[0]
        if math.isnan(along):  # at the top, the gradient does not depend on the signal
            along = above
        share = carried**2 * along + carried * (1 - carried) * above
        mixed = at.zfd[0] - mean * at.zd[0]
        f2d2 = at.f2d2[0] - 2 * mean * at.fd2[0] + mean**2 * at.d2[0]
        excess = share - law.sigma_w2 * second
        chi = law.sigma_w2 * at.d2[0] + excess * f2d2 / (width * second**2)
        new = (q * mixed**2 / second**2) * share
        new += law.sigma_w2 * q * (at.z2d2[0] - mixed**2 / second)
        total += np.log(chi / (law.sigma_w2 * at.d2[0]))
        along = new / chi
    return float(total)


def _seen(law: Law, step: Step) -> tuple[float, float, float]:
    """Return the mean of f that is taken off, and the second and fourth moment of the rest."""
    at = step.at
    if not law.centred:
        return 0.0, at.f2[0], at.f4[0]
    m = at.f[0]
    fourth = at.f4[0] - 4 * m * at.f3[0] + 6 * m**2 * at.f2[0] - 3 * m**4
    return m, at.variance[0], fourth
