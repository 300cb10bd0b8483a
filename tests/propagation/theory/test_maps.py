"""The theory of signals against numbers computed with mpmath, and its own limits."""

import math

import numpy as np
import pytest

from actcompare.activations.catalogue import CATALOGUE
from actcompare.activations.gaussian import Curve
from actcompare.activations.spec import parse
from actcompare.propagation.theory.maps import (
    ANY,
    ATTRACTING,
    NONE,
    ZERO,
    Law,
    distances,
    fixed_point,
    propagate,
)

KAIMING = Law(2.0, 0.0)


def curve(spec: str) -> Curve:
    return Curve.of(parse(spec))


@pytest.mark.parametrize(
    ("law", "q", "chi", "slope", "xi_q", "xi_c"),
    [
        (
            Law(1 / 3, 0.0),
            *(0.186773195017, 0.0869023270685, 0.143864957117, 0.5157616191, 0.4093377357),
        ),
        (
            Law(1 / 3, 1 / 192),
            *(0.192857019588, 0.0870089768578, 0.143944439740, 0.5159085858, 0.4095433456),
        ),
        (
            Law(1.0, 0.0),
            *(0.856305159645, 0.288721849003, 0.450516537588, 1.254137882, 0.8049640429),
        ),
        (Law(1.9, 0.0), *(9.63876447204, 0.737443375085, 0.932772511364, 14.36906868, 3.283360873)),
    ],
)
def test_fixed_points_of_softplus(
    law: Law, q: float, chi: float, slope: float, xi_q: float, xi_c: float
) -> None:
    found = fixed_point(curve("softplus"), law, 1.0)
    assert (found.kind, found.phase) == (ATTRACTING, "ordered")
    numbers = (found.q, found.chi, found.slope, found.xi_q, found.xi_c)
    assert numbers == pytest.approx((q, chi, slope, xi_q, xi_c), rel=1e-9)


def test_fixed_points_of_tanh_in_both_phases() -> None:
    ordered = fixed_point(curve("tanh"), Law(1.3, 0.05), 1.0)
    assert ordered.phase == "ordered"
    assert (ordered.q, ordered.chi, ordered.xi_q, ordered.xi_c) == pytest.approx(
        (0.315316477485, 0.880163509883, 1.78523663154, 7.83406926846), rel=1e-10
    )
    chaotic = fixed_point(curve("tanh"), Law(2.5, 0.05), 1.0)
    assert chaotic.phase == "chaotic"
    assert (chaotic.q, chaotic.chi, chaotic.xi_c) == pytest.approx(
        (1.06395837742, 1.13351569870, 11.7955975159), rel=1e-10
    )


def test_kinds_of_fixed_points() -> None:
    relu, softplus = curve("relu"), curve("softplus")
    assert fixed_point(softplus, KAIMING, 1.0).kind == NONE
    assert fixed_point(softplus, KAIMING, 1.0).phase == NONE
    any_length = fixed_point(relu, KAIMING, 7.0)
    assert (any_length.kind, any_length.q, any_length.phase) == (ANY, 7.0, "critical")
    vanishing = fixed_point(relu, Law(1 / 3, 0.0), 1.0)
    assert (vanishing.kind, vanishing.q) == (ZERO, 0.0)
    assert (vanishing.chi, vanishing.xi_c) == pytest.approx((1 / 6, 0.55811063), rel=1e-8)


def test_softplus_under_kaiming_grows_and_its_gradient_falls_slowly() -> None:
    steps = propagate(curve("softplus"), KAIMING, np.array([1.0]), 50)
    assert math.exp(steps[9].to[0]) == pytest.approx(7.66335533673, rel=1e-11)
    assert math.exp(steps[49].to[0]) == pytest.approx(24.6599896033, rel=1e-11)
    falls = np.cumsum([step.log_chi[0] for step in steps])
    assert (falls[9], falls[49]) == pytest.approx((-3.71701331292, -11.8987517990), rel=1e-11)


@pytest.mark.parametrize(
    ("spec", "law", "q1", "at"),
    [
        ("relu", KAIMING, 1.0, (0.68169011, 0.12846448, 0.012138055)),
        ("softplus", KAIMING, 1.0, (0.29472533, 0.00272230891, 2.36059704e-7)),
        (
            "softplus",
            Law(2.56604119130, 1.92477078947, centred=True),
            10.0,
            (0.80752292, 0.29683701, 0.075915917),
        ),
    ],
)
def test_correlations(spec: str, law: Law, q1: float, at: tuple[float, ...]) -> None:
    found = distances(curve(spec), law, q1, 1.0, 50)
    assert (found[1], found[10], found[50]) == pytest.approx(at, rel=1e-7)


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.spec)
def test_ten_thousand_layers_do_not_overflow(entry: object) -> None:
    for law in (Law(1 / 3, 0.0), Law(60.0, 0.01), Law(3.0, 0.0, centred=True)):
        steps = propagate(curve(entry.spec), law, np.array([0.5]), 120)  # type: ignore[attr-defined]
        for step in steps:
            assert not math.isnan(step.to[0])
            assert not math.isnan(step.log_chi[0])


def test_beyond_floats_lengths_follow_a_power() -> None:
    relu = propagate(curve("relu"), Law(1 / 3, 0.0), np.array([1.0]), 10_000)
    assert relu[-1].to[0] == pytest.approx(-10_000 * math.log(6), rel=1e-9)
    softplus = propagate(curve("softplus"), Law(3.0, 0.0), np.array([1.0]), 2000)
    assert softplus[-1].to[0] - softplus[-2].to[0] == pytest.approx(math.log(1.5), rel=1e-9)


def test_samples_do_not_disturb_each_other() -> None:
    q1 = np.array([0.1, 1.0, 40.0])
    together = propagate(curve("gelu"), KAIMING, q1, 8)
    for i in range(3):
        alone = propagate(curve("gelu"), KAIMING, q1[i : i + 1], 8)
        assert together[-1].to[i] == pytest.approx(alone[-1].to[0], rel=1e-12)
        assert together[-1].log_chi[i] == pytest.approx(alone[-1].log_chi[0], rel=1e-12)
