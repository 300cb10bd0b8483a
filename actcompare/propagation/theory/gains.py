"""Gains: the factors of weights that keep the length of signals or of gradients."""

import math
from dataclasses import dataclass

from torch import nn

from actcompare.activations.gaussian import ROUNDING, Curve, moments
from actcompare.activations.spec import Activation, Specs, parse_one
from actcompare.errors import ActcompareError, UsageError

_TORCH = {"relu", "leaky_relu", "tanh", "sigmoid", "selu"}
"""Activations whose gain torch has."""


@dataclass(frozen=True)
class Gain:
    """Gains of an activation at pre-activations of variance q.

    With weights of standard deviation gain / sqrt(inputs), the forward gain keeps the mean square
    of the signal, the backward gain that of the gradient, and the variance gain the variance of the
    signal. An infinite gain means that no weights do.
    """

    activation: str
    q: float
    mean: float
    """E f."""
    mean_square: float
    """E f^2."""
    slope_mean_square: float
    """E f'^2."""
    forward: float
    """sqrt(q / E f^2)."""
    backward: float
    """1 / sqrt(E f'^2)."""
    variance: float
    """sqrt(q / Var f)."""
    ratio: float
    """R = q E f'^2 / E f^2: the gradient's factor per layer while the signal keeps its length."""
    torch: float | None
    """torch.nn.init.calculate_gain, where it has one."""


def gain(activation: Specs, *, q: float = 1.0) -> Gain:
    """Return the gains of any elementwise activation, by quadrature.

    Sources: He et al. 2015, Delving deep into rectifiers; Lu et al. 2020, Bidirectionally
    self-normalizing neural networks.

    Args:
        activation: A SPEC, a function or a module; one.
        q: Variance of the pre-activations.

    Raises:
        UsageError: There is not exactly one activation, or q is not positive and finite.
        ActcompareError: The function is not elementwise, not finite, or jumps.
    """
    one = parse_one(activation)
    if not 0 < q < math.inf:
        raise UsageError(f"q must be positive and finite, not {q}")
    return gain_of(Curve.of(one), one, q)


def gain_of(curve: Curve, activation: Activation, q: float = 1.0) -> Gain:
    """Return the gains of an activation.

    Raises:
        ActcompareError: The function jumps.
    """
    if not curve.has_theory:
        raise ActcompareError(f"{curve.label} {curve.trouble}: it has no gains")
    at = moments(curve, q)
    f, f2, d2, spread = (float(each[0]) for each in (at.f, at.f2, at.d2, at.variance))
    return Gain(
        activation=curve.label,
        q=q,
        mean=f if abs(f) > ROUNDING * math.sqrt(f2) else 0.0,
        mean_square=f2,
        slope_mean_square=d2,
        forward=_gain(q, f2),
        backward=_gain(1.0, d2),
        variance=_gain(q, spread),
        ratio=q * d2 / f2 if f2 else math.inf,
        torch=_of_torch(activation),
    )


def _gain(wanted: float, square: float) -> float:
    return math.sqrt(wanted / square) if square > 0 else math.inf


def _of_torch(activation: Activation) -> float | None:
    if activation.entry is None or activation.entry.spec not in _TORCH:
        return None
    slope = activation.parameters.get("negative_slope")
    return float(nn.init.calculate_gain(activation.entry.spec, slope))  # type: ignore[arg-type]
