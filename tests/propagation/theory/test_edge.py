"""The edge of chaos: the classes of activations, and points computed with mpmath."""

import math

import numpy as np
import pytest

from actcompare import edge_of_chaos
from actcompare.activations.gaussian import Curve
from actcompare.activations.spec import parse
from actcompare.errors import ActcompareError, UsageError
from actcompare.propagation.theory.edge import MARGINAL, STABLE, UNSTABLE, Edge, find_edge
from actcompare.propagation.theory.maps import Law, fixed_point


def edge(spec: str) -> Edge:
    return find_edge(Curve.of(parse(spec)))


@pytest.mark.parametrize(
    ("spec", "sigma_b2", "q", "sigma_w2"),
    [
        ("tanh", 0.05, 0.57004788164, 1.76095463961),
        ("tanh", 0.04, 0.51207850423, 1.70079637214),
        ("elu", 0.04, 1.10693054035, 1.51105832619),
        ("sigmoid", 0.0, 45.6242777974, 103.007553856),
    ],
)
def test_points_of_the_edge(spec: str, sigma_b2: float, q: float, sigma_w2: float) -> None:
    points = edge_of_chaos(spec, sigma_b2=sigma_b2)
    assert (points[0].q, points[0].sigma_w2) == pytest.approx((q, sigma_w2), rel=1e-9)
    assert points[0].stability == STABLE


@pytest.mark.parametrize(
    ("spec", "sigma_b2", "q", "sigma_w2"),
    [
        ("gelu", 0.172922390756, 3.56155281281, 1.98305825744),
        ("silu", 0.555143170722, 14.3201736180, 1.98800467827),
    ],
)
def test_the_edge_is_stable_beyond_a_half_stable_point(
    spec: str, sigma_b2: float, q: float, sigma_w2: float
) -> None:
    (at,) = edge_of_chaos(spec, sigma_b2=sigma_b2)
    assert (at.q, at.sigma_w2) == pytest.approx((q, sigma_w2), rel=1e-9)
    assert at.slope == pytest.approx(1, abs=1e-9)
    assert at.stability == MARGINAL
    (below,) = edge_of_chaos(spec, sigma_b2=0.9 * sigma_b2)
    (above,) = edge_of_chaos(spec, sigma_b2=1.1 * sigma_b2)
    assert (below.stability, above.stability) == (UNSTABLE, STABLE)


@pytest.mark.parametrize("spec", ["relu", "leaky_relu", "prelu", "rrelu"])
def test_some_have_a_single_point(spec: str) -> None:
    (point,) = edge_of_chaos(spec, sigma_b2=0.0)
    found = edge(spec)
    assert found.is_point
    assert point.stability == MARGINAL
    slope = {"relu": 0.0, "leaky_relu": 0.01, "prelu": 0.25, "rrelu": 11 / 48}[spec]
    assert point.sigma_w2 == pytest.approx(2 / (1 + slope**2))
    assert edge_of_chaos(spec, sigma_b2=0.1) == ()


@pytest.mark.parametrize("spec", ["softplus", "logsigmoid", "softplus:beta=3"])
def test_some_have_none(spec: str) -> None:
    assert edge(spec).points == ()
    assert edge_of_chaos(spec, sigma_b2=0.1) == ()


@pytest.mark.parametrize("spec", ["tanh", "hardtanh", "softsign", "elu", "celu", "relu6", "selu"])
def test_some_have_a_stable_curve(spec: str) -> None:
    points = edge(spec).points
    assert len(points) > 100
    assert {point.stability for point in points if point.sigma_b2 > 1e-6} == {STABLE}


@pytest.mark.parametrize(
    ("spec", "sigma_w"), [("tanh", 1.0), ("hardtanh", 1.0), ("relu6", 2**0.5), ("selu", 0.6905)]
)
def test_without_biases_it_begins_at_vanishing_signals(spec: str, sigma_w: float) -> None:
    first = edge_of_chaos(spec, sigma_b2=0.0)[0]
    assert first.q == 0
    assert math.sqrt(first.sigma_w2) == pytest.approx(sigma_w, abs=1e-4)


@pytest.mark.parametrize("spec", ["tanhshrink", "softshrink"])
def test_some_are_nowhere_stable(spec: str) -> None:
    assert STABLE not in {point.stability for point in edge(spec).points}


def test_points_are_critical_fixed_points() -> None:
    curve = Curve.of(parse("tanh"))
    for point in find_edge(curve).points[::40]:
        if point.sigma_b2 > 1e-6:
            found = fixed_point(curve, Law(point.sigma_w2, point.sigma_b2), 1.1 * point.q)
            assert (found.q, found.chi) == pytest.approx((point.q, 1), rel=1e-6)


def test_the_map_of_chi_agrees_with_fixed_points() -> None:
    found = edge("tanh").chi_at(np.array([0.8, 1.3, 2.5]), np.array([0.05]))
    assert found[1:, 0] == pytest.approx([0.880163509883, 1.13351569870], rel=1e-3)
    nowhere = edge("softplus").chi_at(np.array([1.0, 2.2]), np.array([0.0]))
    assert nowhere[0, 0] == pytest.approx(0.288721849003, rel=1e-3)
    assert math.isnan(nowhere[1, 0])


def test_what_has_no_edge_by_theory_is_refused() -> None:
    with pytest.raises(ActcompareError, match="threshold jumps"):
        edge_of_chaos("threshold", sigma_b2=0.0)
    with pytest.raises(UsageError, match="one activation"):
        edge_of_chaos(["relu", "tanh"], sigma_b2=0.0)
    for bad in (-1.0, math.nan, math.inf):
        with pytest.raises(UsageError, match="sigma_b2 must be 0 or more"):
            edge_of_chaos("tanh", sigma_b2=bad)
