"""Signals in wide random nets: the length map, the gradient and the correlation, layer by layer.

Sources: Poole et al. 2016, Exponential expressivity in deep neural networks through transient
chaos; Schoenholz et al. 2017, Deep information propagation; Hayou et al. 2019, On the impact of the
activation function on deep neural networks training. Variances are carried as logarithms, so that
no number of layers overflows.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from actcompare.activations.gaussian import (
    LINEAR,
    ROUNDING,
    Array,
    Curve,
    Moments,
    crossings,
    mean_square_difference,
    moments,
    slope_product,
)

LEAST, LARGEST = 1e-40, 1e40
"""Variances between which moments are computed; beyond, f^2 is a power of q."""

REACH = 6.0
"""Nats of the gradient's variance within which a net trains: six depth scales (Schoenholz)."""

MANY, _NODES_OF_MAP = 200, 120
"""Through more layers of constant length, the correlation map is interpolated between nodes."""

CRITICAL = 1e-9
"""|ln chi| below this is rounding."""

SETTLED = 1e-15
"""Where the log variance changes by no more, all further layers are alike."""

ATTRACTING, NONE, ZERO, ANY = "attracting", "none", "zero", "any"
"""Kinds of fixed points: signals approach it, grow without bound, vanish, or keep any length."""

ORDERED, AT_EDGE, CHAOTIC = "ordered", "critical", "chaotic"


@dataclass(frozen=True)
class Law:
    """The distribution of the weights and biases of a hidden layer."""

    sigma_w2: float
    """Variance of a weight times the number of inputs."""
    sigma_b2: float
    """Variance of a bias."""
    centred: bool = False
    """Whether the mean of a unit's incoming weights is 0, which removes the mean of f."""

    def length(self, curve: Curve, log_q: Array) -> "Step":
        """Return one step of the length map from variances exp(log_q), shape (sample,)."""
        inside = np.clip(log_q, math.log(LEAST), math.log(LARGEST))
        at = moments(curve, np.exp(inside))
        kept = at.variance if self.centred else at.f2
        rise = at.zfd - at.f * at.zd if self.centred else at.zfd
        with np.errstate(divide="ignore", invalid="ignore"):
            rise = rise * np.exp(inside / 2)
            # Outside, the mean square is a power of q with the exponent it has at the limit.
            outside = (log_q != inside) & (kept > 0)
            beyond = np.multiply(
                rise / kept, log_q - inside, where=outside, out=np.zeros_like(log_q)
            )
            spread = np.log(self.sigma_w2 * kept) + beyond
            to = np.logaddexp(spread, math.log(self.sigma_b2) if self.sigma_b2 else -math.inf)
            chi = self.sigma_w2 * at.d2
            carried = np.exp(spread - to)
            log_chi, log_slope = np.log(chi), np.where(kept > 0, rise / kept * carried, 0.0)
        return Step(log_q, to, log_chi, log_slope, carried, at)


@dataclass(frozen=True)
class Step:
    """One layer of the theory, for several samples, each of shape (sample,)."""

    log_q: Array
    to: Array
    """Logarithm of the variance after the layer."""
    log_chi: Array
    """Logarithm of the factor by which the layer multiplies the gradient's variance."""
    log_slope: Array
    """Slope of the length map in logarithms: d ln V / d ln q."""
    carried: Array
    """Share of the new variance that the weights carry; the rest is the biases'."""
    at: Moments
    """The expectations at the variance, within LEAST and LARGEST."""


def propagate(curve: Curve, law: Law, q1: Array, layers: int) -> list[Step]:
    """Return the steps through `layers` layers, from variances q1 of the first pre-activations."""
    steps: list[Step] = []
    with np.errstate(divide="ignore"):
        log_q = np.log(q1)
    for _ in range(layers):
        steps.append(law.length(curve, log_q))
        log_q = steps[-1].to
        if settled(steps[-1]):
            return [*steps, *[steps[-1]] * (layers - len(steps))]
    return steps


def settled(step: Step) -> bool:
    """Return whether all further layers are like this one."""
    with np.errstate(invalid="ignore"):  # infinities
        same = (step.to == step.log_q) | (np.abs(step.to - step.log_q) <= SETTLED)
    return bool(same.all())


def distances(curve: Curve, law: Law, q1: float, start: float, layers: int) -> list[float]:
    """Return 1 - c of two samples of equal length, at each layer from 0 to `layers`.

    Args:
        curve: The activation.
        law: The distribution of the weights.
        q1: Variance of the first pre-activations.
        start: 1 - c of the first pre-activations.
        layers: Number of layers.
    """
    found, log_q = [start], np.array([math.log(q1)])
    for _ in range(layers):
        step = law.length(curve, log_q)
        q, to = math.exp(np.clip(log_q, *np.log((LEAST, LARGEST))).item()), step.to.item()
        if not math.isfinite(to):
            return [*found, *[math.nan] * (layers + 1 - len(found))]
        spread = law.sigma_w2 * mean_square_difference(curve, q, found[-1])
        found.append(min(2.0, spread * math.exp(step.log_q.item() - to) / q))
        log_q, left = step.to, layers + 1 - len(found)
        if settled(step) and found[-1] < LINEAR:  # each further layer multiplies by the same
            return [*found, *(found[-1] * math.exp(step.log_chi.item() * k) for k in _to(left))]
        if settled(step) and abs(found[-1] - found[-2]) <= SETTLED * found[-1]:
            return [*found, *[found[-1]] * left]
        if settled(step) and left > MANY:
            return [*found, *_interpolated(curve, law, q, found[-1], left)]
    return found


def _interpolated(curve: Curve, law: Law, q: float, start: float, layers: int) -> list[float]:
    """Return further 1 - c at a constant length, from a table of the correlation map.

    The map's distance from 1, as a factor, is nearly a power of 1 - c, and interpolated as such;
    where it has no sign, as in the chaotic phase, the factor itself is. The error is below 1 %.
    """
    grid = np.log(np.geomspace(LINEAR, 2.0, _NODES_OF_MAP))
    factor = np.array(
        [
            law.sigma_w2 * mean_square_difference(curve, q, min(2.0, math.exp(each))) / q
            for each in grid
        ]
    ) / np.exp(grid)
    contracts = bool((factor < 1).all())
    table = np.log(1 - factor) if contracts else factor
    found = [start]
    for _ in range(layers):
        at = float(np.interp(math.log(max(found[-1], LINEAR)), grid, table))
        found.append(found[-1] * (1 - math.exp(at) if contracts else at))
    return found[1:]


def _to(last: int) -> range:
    return range(1, last + 1)


@dataclass(frozen=True)
class FixedPoint:
    """Where the length of signals goes, and what happens there."""

    kind: str
    """ATTRACTING, NONE, ZERO or ANY."""
    q: float | None
    """Its variance; None if there is none."""
    chi: float | None
    """Factor of the gradient's variance a layer."""
    slope: float | None
    """Slope of the length map."""
    xi_c: float | None
    """Layers after which correlations have come e times closer to their own fixed point."""

    @property
    def phase(self) -> str:
        """ORDERED, AT_EDGE or CHAOTIC by chi; NONE without a fixed point."""
        if self.chi is None:
            return NONE
        if self.chi > 0 and abs(math.log(self.chi)) < CRITICAL:
            return AT_EDGE
        return ORDERED if self.chi < 1 else CHAOTIC

    @property
    def xi_q(self) -> float | None:
        """Layers after which the length has come e times closer to the fixed point."""
        return None if self.slope is None else scale_of(self.slope)


def scale_of(factor: float) -> float:
    """Return the number of layers in which factor^layers falls by e; infinite if it does not."""
    if factor == 0:
        return 0.0
    return math.inf if abs(factor) >= 1 - CRITICAL else -1 / math.log(abs(factor))


def fixed_point(curve: Curve, law: Law, q1: float) -> FixedPoint:
    """Return where the length of signals that begin with variance q1 goes."""

    def surplus(q: Array) -> Array:
        return q * np.expm1(law.length(curve, np.log(q)).to - np.log(q))

    around = np.array([q1 / 4, q1, 4 * q1])
    change = surplus(around)
    if (np.abs(change) <= ROUNDING * around).all():
        return _at(curve, law, ANY, q1)
    rising = change[1] > 0
    ahead = [q for q in crossings(surplus) if (q > q1) == rising]
    if ahead:
        return _at(curve, law, ATTRACTING, min(ahead) if rising else max(ahead))
    if rising:
        return FixedPoint(NONE, None, None, None, None)
    return replace(_at(curve, law, ZERO, LEAST), q=0.0)


def _at(curve: Curve, law: Law, kind: str, q: float) -> FixedPoint:
    step = law.length(curve, np.log([q]))
    chi = math.exp(step.log_chi.item())
    slope = step.log_slope.item() * math.exp(step.to.item() - step.log_q.item())
    # Signals of zero length have no correlation.
    factor = chi if chi <= 1 else _slope_at_distance(curve, law, q)
    return FixedPoint(kind, q, chi, slope, scale_of(factor))


def _slope_at_distance(curve: Curve, law: Law, q: float) -> float:
    """Return the slope of the correlation map at its fixed point below 1, by bisection."""
    low, high = 0.0, 2.0
    for _ in range(50):
        middle = (low + high) / 2
        grows = law.sigma_w2 * mean_square_difference(curve, q, middle) > q * middle
        low, high = (middle, high) if grows else (low, middle)
    return law.sigma_w2 * slope_product(curve, q, (low + high) / 2)
