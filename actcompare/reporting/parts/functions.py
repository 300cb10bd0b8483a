"""What the functions themselves are, and where softplus can stand in for relu."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from actcompare.activations.spec import Activation
from actcompare.errors import ActcompareError
from actcompare.evaluation.evaluate import Evaluation, evaluate
from actcompare.machine.processors import torch_threads
from actcompare.properties.compare import Comparison, compare
from actcompare.properties.records import Properties

RELU, SOFTPLUS = "relu", "softplus"
"""The activations that articles compare."""

POINTS = (-2.0, 0.0, 5.0)

THRESHOLD = 20.0
"""Beyond it, PyTorch's softplus returns x."""

HALF = ("bfloat16", "float16")

_REACH = 120.0
"""Softplus is exactly 0 in float32 below -103, and exactly x from 20 on."""

_STEPS = 2**6
"""Points per unit of x."""

_NEAR, _TAIL, _DRAWN = 6.0, 110.0, 241
"""Range of the curves near 0, range of those in the left tail, points of each."""


@dataclass(frozen=True)
class Use:
    """Something that people do with an activation, and with which of the two PyTorch does it."""

    what: str
    relu: bool
    softplus: bool


@dataclass(frozen=True)
class Softplus:
    """Measurements of softplus beside relu, in float32 if nothing else is said."""

    points: Evaluation
    """relu and softplus at POINTS, with their errors."""
    comparison: Comparison
    """Properties of relu and softplus."""
    derivative_error: float
    """Largest difference of the derivative from the sigmoid, in ULP of the sigmoid, where that is a
    normal number."""
    threshold_step: float
    """By how much the value jumps at the threshold in float64."""
    equal_from: float | None
    """The least x tried from which on softplus is equal to relu; None if it never is."""
    gap_at_5: float
    """Softplus less relu at 5."""
    uses: tuple[Use, ...]


@dataclass(frozen=True)
class Functions:
    """Properties of the activations that are compared, and softplus beside relu."""

    comparison: Comparison
    half: Mapping[str, Mapping[str, Properties | None]]
    """Properties in numbers of 16 bits, by dtype and activation; None where one fails."""
    curves: Evaluation
    """Near 0."""
    tails: Evaluation
    """Far below 0."""
    softplus: Softplus


def measure_functions(activations: Sequence[Activation], device: str) -> Functions:
    """Probe the activations on a device.

    Raises:
        ActcompareError: The device is not available, or an activation fails on it.
    """
    with torch_threads(1), torch.random.fork_rng(devices=[]):  # layers are made to try them
        return Functions(
            comparison=compare(activations, device=device),
            half={
                dtype: {each.label: _properties(each, dtype, device) for each in activations}
                for dtype in HALF
            },
            curves=evaluate(torch.linspace(-_NEAR, _NEAR, _DRAWN), activations, device=device),
            tails=evaluate(torch.linspace(-_TAIL, 0, _DRAWN), activations, device=device),
            softplus=_softplus(device),
        )


def _properties(activation: Activation, dtype: str, device: str) -> Properties | None:
    try:
        return compare(activation, dtype=dtype, device=device).properties[0]
    except ActcompareError:  # a user's function may know only float32
        return None


def _softplus(device: str) -> Softplus:
    x = torch.arange(-_REACH, _REACH, 1 / _STEPS, dtype=torch.float64).float()
    relu, softplus = evaluate(x, (RELU, SOFTPLUS), device=device).results
    assert softplus.grad is not None
    sigmoid = torch.sigmoid(x.double())
    ulp = torch.finfo(torch.float32).eps * 2.0 ** torch.floor(torch.log2(sigmoid))
    normal = sigmoid >= torch.finfo(torch.float32).smallest_normal  # devices may flush others to 0
    unequal = x[softplus.value != relu.value]
    equal_from = float(unequal.max()) + 1 / _STEPS if len(unequal) else float(x[0])
    edge = torch.tensor([THRESHOLD], dtype=torch.float64)
    below, above = functional.softplus(torch.cat([edge, edge.nextafter(edge + 1)])).tolist()
    points = evaluate(POINTS, (RELU, SOFTPLUS), error=True, device=device)
    at_5 = [float(each.value[-1]) for each in points.results]
    return Softplus(
        points=points,
        comparison=compare((RELU, SOFTPLUS), device=device),
        derivative_error=float(((softplus.grad.double() - sigmoid).abs() / ulp)[normal].max()),
        threshold_step=above - below,
        equal_from=equal_from if equal_from < _REACH else None,
        gap_at_5=at_5[1] - at_5[0],
        uses=tuple(Use(what, _works(do, RELU), _works(do, SOFTPLUS)) for what, do in _USES),
    )


def _works(do: Callable[[Any], object], name: str) -> bool:
    try:
        do(name)
    except (TypeError, ValueError, RuntimeError):  # however torch refuses it
        return False
    return True


_CLASSES = {RELU: nn.ReLU, SOFTPLUS: nn.Softplus}


def _learn(name: str) -> Tensor:
    net = nn.Sequential(nn.Linear(4, 3), _CLASSES[name](), nn.Linear(3, 1))
    loss: Tensor = copy.deepcopy(net)(torch.ones(2, 4)).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    return loss


_USES: tuple[tuple[str, Callable[[Any], object]], ...] = (
    ("a layer", _learn),
    (
        "a function passed to nn.TransformerEncoderLayer",
        lambda name: nn.TransformerEncoderLayer(4, 1, 4, activation=getattr(functional, name)),
    ),
    ("float16 tensors", lambda name: getattr(functional, name)(torch.ones(2).half())),
    ("inplace=True", lambda name: _CLASSES[name](inplace=True)),
    ("integer tensors", lambda name: getattr(functional, name)(torch.ones(2).int())),
    ("nn.init.calculate_gain", nn.init.calculate_gain),
    ("nn.RNN(nonlinearity=...)", lambda name: nn.RNN(2, 2, nonlinearity=name)),
    (
        "its name passed to nn.TransformerEncoderLayer",
        lambda name: nn.TransformerEncoderLayer(4, 1, 4, activation=name),
    ),
)
