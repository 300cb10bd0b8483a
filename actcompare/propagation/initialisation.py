"""Initialisations by name, as the distribution of the weights of each layer."""

from collections.abc import Sequence
from dataclasses import dataclass

from actcompare.activations.gaussian import Array, Curve
from actcompare.errors import UsageError
from actcompare.models.critical import critical_point
from actcompare.propagation.theory.maps import Law

LEAST_W2, MOST = 1e-3, 1e3
"""Bounds of the variances that can be asked for; others are none that anybody would use."""

NAMES = ("default", "kaiming", "xavier", "critical")


@dataclass(frozen=True)
class Initialisation:
    """How the weights and biases of a net are drawn."""

    name: str
    first: Law
    """Of the first layer."""
    hidden: Law
    """Of the other layers."""
    uniform: bool = False
    """Whether entries are uniform and not normal."""

    def first_variance(self, squares: Array) -> Array:
        """Return the variances of the first pre-activations, given inputs' mean squares."""
        return self.first.sigma_w2 * squares + self.first.sigma_b2


def initialisation(
    name: str, curve: Curve, *, inputs: int, width: int, mean_square: float
) -> Initialisation:
    """Return an initialisation for an activation.

    Sources: nn.Linear's default is uniform within 1/sqrt(inputs); He et al. 2015 (kaiming, with the
    gain of relu); Glorot and Bengio 2010 (xavier); `actcompare.models.critical` (critical).

    Args:
        name: One of NAMES, or SIGMA_W2,SIGMA_B2.
        curve: The activation.
        inputs: Number of inputs.
        width: Units of a layer.
        mean_square: Mean square of the inputs' entries.

    Raises:
        UsageError: There is no such initialisation, or a variance is out of bounds.
        ActcompareError: The activation has no critical initialisation.
    """
    if name == "default":
        first, hidden = (Law(1 / 3, 1 / (3 * fan_in)) for fan_in in (inputs, width))
        return Initialisation(name, first, hidden, uniform=True)
    if name == "kaiming":
        return Initialisation(name, Law(2.0, 0.0), Law(2.0, 0.0))
    if name == "xavier":
        return Initialisation(name, Law(2 * inputs / (inputs + width), 0.0), Law(1.0, 0.0), True)
    if name == "critical":
        point = critical_point(curve)
        hidden = Law(point.sigma_w2, point.sigma_b2, centred=True)
        return Initialisation(name, Law(point.q0 / mean_square, 0.0), hidden)
    given = _numbers(name)
    return Initialisation(name, given, given)


def check_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of initialisations, each once and numbers without spaces.

    Raises:
        UsageError: There is none, or one does not exist.
    """
    found = dict[str, None]()
    for name in names:
        if not isinstance(name, str):
            raise UsageError(f"init {name!r} is not text such as kaiming or 1.9,0")
        law = None if name in NAMES else _numbers(name)
        found[",".join(map(_short, (law.sigma_w2, law.sigma_b2))) if law else name] = None
    if not found:
        raise UsageError("no initialisation is given")
    return tuple(found)


def _short(number: float) -> str:
    return repr(number).removesuffix(".0")


def _numbers(text: str) -> Law:
    parts = text.split(",")
    try:
        weights, biases = map(float, parts)
    except ValueError:
        raise UsageError(
            f"init {text!r} is not one of {', '.join(NAMES)}, nor SIGMA_W2,SIGMA_B2 such as 1.9,0"
        ) from None
    if not (LEAST_W2 <= weights <= MOST and 0 <= biases <= MOST):
        raise UsageError(
            f"init {text!r}: SIGMA_W2 must be from {LEAST_W2:g} to {MOST:g}, and SIGMA_B2 from 0 to"
            f" {MOST:g}"
        )
    return Law(weights, biases)
