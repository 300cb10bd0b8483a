"""Gains against mpmath at 22 digits, and against torch's own."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from actcompare import gain
from actcompare.activations.catalogue import CATALOGUE
from actcompare.errors import ActcompareError, UsageError

# E f, E f^2, E f'^2, forward, backward, variance gain and R at q = 1.
GAINS = {
    "relu": (0.3989422804, 0.5, 0.5, 1.414213562, 1.414213562, 1.712858550, 1),
    "leaky_relu": (0.3949528576, 0.50005, 0.50005, 1.414142857, 1.414142857, 1.704831627, 1),
    "elu": (
        *(0.1605205723, 0.6449454175, 0.6681020012, 1.245198301, 1.223428558, 1.270843418),
        1.035904719,
    ),
    "selu": (0, 1, 1.0715749925, 1, 0.966025777, 1, 1.071574992),
    "gelu": (
        *(0.2820947918, 0.4252214826, 0.4558508656, 1.533530441, 1.481114413, 1.700926243),
        1.072031598,
    ),
    "silu": (
        *(0.2066209641, 0.3557755198, 0.3794823516, 1.676532470, 1.623320258, 1.787187222),
        1.066634241,
    ),
    "mish": (
        *(0.2404038884, 0.4523421924, 0.4790837584, 1.486847581, 1.444755233, 1.592025381),
        1.059118001,
    ),
    "tanh": (0, 0.3942944904, 0.4644029024, 1.592537420, 1.467413592, 1.592537420, 1.177807232),
    "sigmoid": (
        *(0.5, 0.2933790359, 0.0448362414, 1.846228545, 4.722646086, 4.801313372),
        0.152827012,
    ),
    "softplus": (
        *(0.8060591833, 0.9212459089, 0.2933790359, 1.041866836, 1.846228545, 1.919125980),
        0.318458984,
    ),
    "softplus:beta=2": (
        *(0.5338571940, 0.5824453659, 0.3485736226, 1.310305014, 1.693763384, 1.833576162),
        0.598465784,
    ),
    "softplus:beta=10": (
        *(0.4054313031, 0.5009361703, 0.4607404399, 1.412891474, 1.473234341, 1.723723885),
        0.919758778,
    ),
    "hardswish": (
        *(0.1662167007, 0.3315673751, 0.3585315172, 1.736657213, 1.670076367, 1.813871474),
        1.081323267,
    ),
    "relu6": (
        *(0.3989422802, 0.4999999981, 0.4999999990, 1.414213565, 1.414213564, 1.712858555),
        1.000000002,
    ),
}

TORCH = {"relu": 2**0.5, "leaky_relu": 1.4141429, "selu": 0.75, "tanh": 5 / 3, "sigmoid": 1}


@pytest.mark.parametrize("spec", GAINS)
def test_gains(spec: str) -> None:
    found = gain(spec)
    moments = (found.mean, found.mean_square, found.slope_mean_square)
    gains = (found.forward, found.backward, found.variance, found.ratio)
    assert moments + gains == pytest.approx(GAINS[spec], rel=2e-9, abs=1e-9)


def test_torchs_gain_stands_beside_where_it_has_one() -> None:
    for entry in CATALOGUE:
        if entry.spec in ("hardshrink", "threshold"):
            continue
        assert gain(entry.spec).torch == pytest.approx(TORCH.get(entry.spec)), entry.spec
    steep = gain("leaky_relu:negative_slope=0.5").torch
    assert steep == pytest.approx(nn.init.calculate_gain("leaky_relu", 0.5))


@pytest.mark.parametrize("q", [0.01, 1, 100])
def test_the_gains_of_relu_do_not_depend_on_the_length(q: float) -> None:
    found = gain("relu", q=q)
    assert found.mean_square == pytest.approx(q / 2)
    assert (found.forward, found.backward, found.ratio) == pytest.approx((2**0.5, 2**0.5, 1))


def test_autograd_works_where_the_caller_has_switched_it_off() -> None:
    for switched_off in (torch.no_grad(), torch.inference_mode()):
        with switched_off:
            assert gain("softplus").ratio == pytest.approx(0.318458984)


@pytest.mark.parametrize(
    "function",
    [lambda x: torch.sin(60 * x), lambda x: x.abs() ** 0.75, lambda x: torch.exp(x * x / 2)],
)
def test_what_the_quadrature_cannot_integrate_is_refused(function: Any) -> None:
    with pytest.raises(ActcompareError, match=r"it has no gains|not finite"):
        gain(function)


def test_a_constant_has_no_backward_gain() -> None:
    found = gain(lambda x: x * 0 + 3)
    assert (found.forward, found.backward, found.variance) == (1 / 3, math.inf, math.inf)


def test_what_has_no_gain_is_refused() -> None:
    with pytest.raises(ActcompareError, match="hardshrink jumps"):
        gain("hardshrink")
    with pytest.raises(UsageError, match="one activation, not 2"):
        gain(["relu", "gelu"])
    for q in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(UsageError, match="q must be positive and finite"):
            gain("relu", q=q)
