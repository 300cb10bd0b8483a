"""Expectations of activations under Gaussian pre-activations, against closed forms and mpmath."""

import math

import mpmath
import numpy as np
import pytest
import torch

from actcompare.activations.catalogue import CATALOGUE
from actcompare.activations.exact import formula_in_mpmath
from actcompare.activations.gaussian import (
    Curve,
    crossings,
    mean_square_difference,
    moments,
    slope_product,
)
from actcompare.activations.spec import parse
from actcompare.errors import ActcompareError

SPECS = [entry.spec for entry in CATALOGUE]

JUMPING = {"hardshrink", "threshold"}

# E f, E f^2, E f'^2 at q = 1, computed with mpmath at 22 digits.
AT_ONE = {
    "relu": (0.3989422804, 0.5, 0.5),
    "leaky_relu": (0.3949528576, 0.50005, 0.50005),
    "elu": (0.1605205723, 0.6449454175, 0.6681020012),
    "selu": (0, 1, 1.0715749925),
    "gelu": (0.2820947918, 0.4252214826, 0.4558508656),
    "silu": (0.2066209641, 0.3557755198, 0.3794823516),
    "mish": (0.2404038884, 0.4523421924, 0.4790837584),
    "tanh": (0, 0.3942944904, 0.4644029024),
    "sigmoid": (0.5, 0.2933790359, 0.0448362414),
    "softplus": (0.8060591833, 0.9212459089, 0.2933790359),
    "softplus:beta=2": (0.5338571940, 0.5824453659, 0.3485736226),
    "softplus:beta=10": (0.4054313031, 0.5009361703, 0.4607404399),
    "hardswish": (0.1662167007, 0.3315673751, 0.3585315172),
    "relu6": (0.3989422802, 0.4999999981, 0.4999999990),
}


@pytest.fixture(scope="module")
def curves() -> dict[str, Curve]:
    return {spec: Curve.of(parse(spec)) for spec in {*SPECS, *AT_ONE}}


@pytest.mark.parametrize("spec", AT_ONE)
def test_moments_at_one(spec: str, curves: dict[str, Curve]) -> None:
    at = moments(curves[spec], 1.0)
    assert (at.f[0], at.f2[0], at.d2[0]) == pytest.approx(AT_ONE[spec], abs=6e-11)


@pytest.mark.parametrize("q", [0.01, 1.0, 10.0, 100.0])
@pytest.mark.parametrize("spec", SPECS)
def test_moments_are_those_of_the_formula(spec: str, q: float, curves: dict[str, Curve]) -> None:
    curve, activation, root = curves[spec], parse(spec), math.sqrt(q)
    assert activation.entry is not None
    at = moments(curve, q)
    near = [mark / root for mark in curve.marks.tolist()]
    ends = sorted({-12.0, 12.0, *range(-11, 12), *(z for z in near if abs(z) < 12)})
    entry = activation.entry
    for text, found in (
        (entry.stable or entry.formula, at.f2[0]),
        (entry.stable_derivative or entry.derivative, at.d2[0]),
    ):

        def square(z: float, text: str = text) -> mpmath.mpf:
            value = formula_in_mpmath(text, activation.parameters, root * z, 80)
            return value**2 * mpmath.npdf(z)

        exact = float(mpmath.quad(square, ends, maxdegree=4))
        # torch's hardsigmoid has a slope of 1/6 in float32.
        rough = 1e-7 if spec == "hardsigmoid" else 1e-9
        assert found == pytest.approx(exact, rel=rough, abs=1e-15)


@pytest.mark.parametrize("spec", SPECS)
def test_variances_in_a_row_are_those_one_by_one(spec: str, curves: dict[str, Curve]) -> None:
    q = np.array([1e-8, 0.3, 7.0, 1e8])
    together = moments(curves[spec], q)
    for i, each in enumerate(q):
        alone = moments(curves[spec], float(each))
        for name, values in vars(together).items():
            assert values[i] == pytest.approx(vars(alone)[name][0], rel=1e-12, abs=1e-300), name


def test_only_functions_that_jump_are_not_continuous(curves: dict[str, Curve]) -> None:
    assert {spec for spec in SPECS if not curves[spec].has_theory} == JUMPING
    assert not Curve.of(parse("softplus:threshold=1")).has_theory


@pytest.mark.parametrize("distance", [1e-13, 1e-6, 0.1, 1.0, 1.7, 2.0])
@pytest.mark.parametrize("q", [0.2, 1.0, 30.0])
def test_pairs_of_relu_follow_the_arc_cosine_kernel(
    q: float, distance: float, curves: dict[str, Curve]
) -> None:
    with mpmath.workdps(40):
        g = mpmath.mpf(distance)
        angle = mpmath.acos(1 - g)
        product = (mpmath.sin(angle) + (mpmath.pi - angle) * (1 - g)) / (2 * mpmath.pi)
        exact = float(q * (mpmath.mpf(1) / 2 - product))
        both = float((mpmath.pi - angle) / (2 * mpmath.pi))
    relu = curves["relu"]
    assert mean_square_difference(relu, q, distance) == pytest.approx(exact, rel=1e-5)
    if distance > 1e-12:
        assert mean_square_difference(relu, q, distance) == pytest.approx(exact, rel=1e-8)
        assert slope_product(relu, q, distance) == pytest.approx(both, rel=1e-5, abs=1e-12)


@pytest.mark.parametrize("spec", sorted({*SPECS} - JUMPING))
def test_pairs_agree_with_moments_at_their_ends(spec: str, curves: dict[str, Curve]) -> None:
    curve = curves[spec]
    at = moments(curve, 2.0)
    # Independent samples differ by the variance of f.
    assert mean_square_difference(curve, 2.0, 1.0) == pytest.approx(at.variance[0], rel=1e-8)
    assert mean_square_difference(curve, 2.0, 1e-9) == pytest.approx(2e-9 * at.d2[0], rel=1e-3)
    assert mean_square_difference(curve, 2.0, 0.0) == 0


def test_crossings_find_every_change_of_sign() -> None:
    found = crossings(lambda q: q * np.log(q / 3) * np.log(q / 500))
    assert found == pytest.approx([3, 500], rel=1e-12)
    assert crossings(lambda q: q - 10.0) == pytest.approx([10.0])  # a zero on the grid
    assert crossings(lambda q: q) == []
    assert crossings(lambda q: 1e-14 * q * np.sin(q)) == []


def test_a_function_that_fails_on_grids_is_named() -> None:
    def on_lines(x: torch.Tensor) -> torch.Tensor:
        if x.dim() > 1:
            raise RuntimeError("no grids")
        return torch.tanh(x)

    curve = Curve("mine", on_lines, ())
    with pytest.raises(ActcompareError, match="mine failed on a tensor of shape 2x3: RuntimeError"):
        curve.values(torch.zeros(2, 3, dtype=torch.float64))
