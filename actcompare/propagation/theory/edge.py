"""The edge of chaos: the variances of weights and biases that keep signals and gradients."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from actcompare.activations.gaussian import ROUNDING, Array, Curve, crossings, moments
from actcompare.activations.spec import Specs, parse_one
from actcompare.errors import ActcompareError, UsageError

LEAST, LARGEST = 1e-4, 1e4
"""Variances q between which the edge is searched."""

MOST_SIGMA_W2 = 1e6
"""Larger variances of weights are none that anybody would use."""

STABLE, MARGINAL, UNSTABLE = "stable", "marginal", "unstable"

_POINTS = 321

_FLAT = 1e-6
"""|V' - 1| below this counts as marginal."""


@dataclass(frozen=True)
class EdgePoint:
    """A point of the edge of chaos: chi = 1 at a fixed point of the length map."""

    q: float
    """Variance of the pre-activations, the fixed point."""
    sigma_w2: float
    """Variance of a weight times the number of inputs."""
    sigma_b2: float
    """Variance of a bias."""
    slope: float
    """Slope of the length map there."""

    @property
    def stability(self) -> str:
        """STABLE if signals return to the fixed point; UNSTABLE if they leave; else MARGINAL."""
        if abs(self.slope - 1) < _FLAT:
            return MARGINAL
        return STABLE if self.slope < 1 else UNSTABLE


@dataclass(frozen=True)
class Edge:
    """The edge of chaos of an activation, by ascending q."""

    curve: Curve = field(repr=False)
    points: tuple[EdgePoint, ...]
    """Empty if there is no edge."""

    @property
    def activation(self) -> str:
        """The label of the activation."""
        return self.curve.label

    @property
    def is_point(self) -> bool:
        """Whether the same variances are critical for signals of every length, as with relu."""
        first = self.points[0].sigma_w2 if self.points else math.nan
        return all(
            point.sigma_b2 == 0 and math.isclose(point.sigma_w2, first, rel_tol=1e-9)
            for point in self.points
        )

    def chi_at(self, sigma_w2: Array, sigma_b2: Array) -> Array:
        """Return chi at the fixed point that small signals approach; NaN where there is none.

        Args:
            sigma_w2: Variances of the weights, shape (weight,).
            sigma_b2: Variances of the biases, shape (bias,).

        Returns:
            Shape (weight, bias).
        """
        q = np.geomspace(LEAST, LARGEST, _POINTS)
        at = moments(self.curve, q)
        change = sigma_w2[:, None, None] * at.f2 + sigma_b2[:, None] - q
        falls = change <= ROUNDING * q
        after = falls.argmax(-1)
        before = np.maximum(after - 1, 0)
        rise, fall = (
            np.take_along_axis(change, each[..., None], -1)[..., 0] for each in (before, after)
        )
        share = np.where(rise > 0, rise / np.maximum(rise - fall, 1e-300), 1.0)
        chi = sigma_w2[:, None] * ((1 - share) * at.d2[before] + share * at.d2[after])
        return np.where(falls.any(-1), chi, math.nan)


def edge_of_chaos(activation: Specs, *, sigma_b2: float) -> tuple[EdgePoint, ...]:
    """Return the points of the edge of chaos at a variance of the biases, by ascending q.

    Parametrised by q, from 1e-10 to 1e10, sigma_w2 = 1 / E f'^2 and sigma_b2 = q - E f^2 / E f'^2.
    At sigma_b2 = 0 the limit of q to 0 counts, as with tanh. Where every length is critical, as
    with relu at sigma_b2 = 0, the point at q = 1 is returned.

    Source: Hayou et al. 2019, On the impact of the activation function on deep neural networks
    training.

    Args:
        activation: A SPEC, a function or a module; one.
        sigma_b2: Variance of a bias.

    Raises:
        UsageError: There is not exactly one activation, or sigma_b2 is negative or not finite.
        ActcompareError: The function is not elementwise, not finite, or jumps.
    """
    one = parse_one(activation)
    if not 0 <= sigma_b2 < math.inf:
        raise UsageError(f"sigma_b2 must be 0 or more, and finite, not {sigma_b2}")
    curve = Curve.of(one)
    _refuse_jumps(curve)
    edge = find_edge(curve)
    if edge.is_point:
        points = edge.points
        return (_points(curve, np.array([1.0]))[0],) if points and sigma_b2 == 0 else ()

    def surplus(q: Array) -> Array:
        _, biases, _ = _critical(curve, q)
        return np.where(np.isfinite(biases), biases - sigma_b2, -1.0)

    return (*_limit(curve, sigma_b2), *_points(curve, np.array(crossings(surplus))))


def _limit(curve: Curve, sigma_b2: float) -> tuple[EdgePoint, ...]:
    """Return the point without biases to which the edge goes as q goes to 0, if it does."""
    q = np.array([1e-8])
    weights, biases, slopes = _critical(curve, q)
    if sigma_b2 > 0 or not 0 <= biases[0] <= 1e-6 * q[0]:
        return ()
    return (EdgePoint(0.0, float(weights[0]), 0.0, float(slopes[0])),)


def find_edge(curve: Curve) -> Edge:
    """Return the edge of chaos of an activation between LEAST and LARGEST.

    Raises:
        ActcompareError: The function jumps, and autograd's f' misses it.
    """
    _refuse_jumps(curve)
    return Edge(curve, tuple(_points(curve, np.geomspace(LEAST, LARGEST, _POINTS))))


def _refuse_jumps(curve: Curve) -> None:
    if not curve.has_theory:
        raise ActcompareError(f"{curve.label} {curve.trouble}: theory knows no edge of chaos of it")


def _critical(curve: Curve, q: Array) -> tuple[Array, Array, Array]:
    """Return sigma_w2, sigma_b2 and the slope of the length map at which q is critical."""
    at = moments(curve, q)
    with np.errstate(all="ignore"):
        weights = 1 / at.d2
        biases = q - weights * at.f2
        slopes = weights * at.zfd / np.sqrt(q)
    return weights, np.where(np.abs(biases) <= ROUNDING * q, 0.0, biases), slopes


def _points(curve: Curve, q: Array) -> Sequence[EdgePoint]:
    """Return the points at these lengths that have a variance of biases."""
    if not len(q):
        return []
    found = zip(q, *_critical(curve, q), strict=True)
    return [
        EdgePoint(*map(float, (each, weights, max(biases, 0.0), slope)))
        for each, weights, biases, slope in found
        if biases >= -ROUNDING * each and weights <= MOST_SIGMA_W2
    ]
