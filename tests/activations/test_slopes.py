"""Slopes by the kernels of the backward pass are those of autograd, to the bit."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from actcompare.activations.slopes import FROM_INPUT, FROM_OUTPUT, slope_by
from actcompare.units.statistics import slopes

PARAMETERS: dict[str, list[dict[str, Any]]] = {
    "softplus": [{"beta": 2.5, "threshold": 5.0}],
    "gelu": [{"approximate": "tanh"}],
    "leaky_relu": [{"negative_slope": 0.3}],
    "elu": [{"alpha": 0.7}],
}
CASES = [(name, given) for name in FROM_INPUT for given in ({}, *PARAMETERS.get(name, ()))]


def every(dtype: torch.dtype) -> Tensor:
    """Every number of 16 bits, as a number of the dtype."""
    kind = dtype if dtype.itemsize == 2 else torch.float16
    return torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(kind).to(dtype)


def same(one: Tensor, other: Tensor) -> bool:
    return bool(((one == other) | (one.isnan() & other.isnan())).all())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize(("name", "given"), CASES)
def test_slopes_from_the_input(name: str, given: dict[str, Any], dtype: torch.dtype) -> None:
    z = every(dtype)
    _, expected = slopes(lambda z: getattr(functional, name)(z, **given), z)
    assert same(slope_by(FROM_INPUT[name], z, given), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("name", FROM_OUTPUT)
def test_slopes_from_the_output(name: str, dtype: torch.dtype) -> None:
    a, expected = slopes(getattr(torch, name), every(dtype))
    assert same(slope_by(FROM_OUTPUT[name], a, {}), expected)
