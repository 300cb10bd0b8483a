"""f, f' and f'' at given points, from autograd on the real torch function."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from actcompare.activations import Activation, Specs, parse_all
from actcompare.environment import (
    Environment,
    describe_environment,
    resolve_device,
    resolve_dtype,
)
from actcompare.errors import ActcompareError, UsageError
from actcompare.reference import exact_at, ulp_error
from actcompare.users import describe

if TYPE_CHECKING:
    import pandas as pd

Function = Callable[[Tensor], Tensor]
Points = Sequence[float] | npt.NDArray[np.floating] | Tensor


@dataclass(frozen=True)
class EvaluationConfig:
    """What was asked for."""

    activations: tuple[str, ...]
    order: int
    error: bool
    dtype: str
    device: str


@dataclass(frozen=True)
class Caution:
    """Why a printed number would mislead."""

    kind: str
    label: str
    """The activation, or the empty string where it concerns x itself."""
    message: str


@dataclass(frozen=True)
class Accuracy:
    """Exact results and the error of the computed ones, float64 of shape (point,)."""

    exact: Tensor
    ulp_error: Tensor


@dataclass(frozen=True)
class Derivatives:
    """One activation at the points: shape (point,), on the CPU, in the dtype computed with."""

    label: str
    value: Tensor
    grad: Tensor | None
    """f', for order 1 and 2."""
    grad2: Tensor | None
    """f'', for order 2 where torch can differentiate twice."""
    accuracy: Accuracy | None
    """Of the value; None unless asked for, and for a user's own function."""
    grad_accuracy: Accuracy | None


@dataclass(frozen=True)
class Evaluation:
    """Activations at points."""

    config: EvaluationConfig
    environment: Environment
    x: Tensor
    """The points, shape (point,), as rounded into the dtype, on the CPU."""
    results: tuple[Derivatives, ...]
    cautions: tuple[Caution, ...]

    def columns(self) -> dict[str, npt.NDArray[np.generic]]:
        """Tidy columns: one record per point and activation, activations varying fastest."""
        points, k = len(self.x), len(self.results)

        def interleave(tensors: Sequence[Tensor | None]) -> npt.NDArray[np.generic]:
            if all(tensor is None for tensor in tensors):
                return np.full(points * k, None, dtype=object)
            absent = torch.full((points,), math.nan)
            stacked = [(absent if t is None else t).double().numpy() for t in tensors]
            out = np.stack(stacked, axis=1)
            if any(tensor is None for tensor in tensors):
                out = out.astype(object)
                out[:, [tensor is None for tensor in tensors]] = None
            return out.reshape(-1)

        columns: dict[str, npt.NDArray[np.generic]] = {
            "x": np.repeat(self.x.double().numpy(), k),
            "activation": np.tile(np.array([r.label for r in self.results], dtype=object), points),
            "value": interleave([r.value for r in self.results]),
        }
        if self.config.error:
            accuracies = [r.accuracy for r in self.results]
            columns["exact"] = interleave([a.exact if a else None for a in accuracies])
            columns["ulp_error"] = interleave([a.ulp_error if a else None for a in accuracies])
        if self.config.order >= 1:
            columns["grad"] = interleave([r.grad for r in self.results])
            if self.config.error:
                accuracies = [r.grad_accuracy for r in self.results]
                columns["grad_exact"] = interleave([a.exact if a else None for a in accuracies])
                columns["grad_ulp_error"] = interleave(
                    [a.ulp_error if a else None for a in accuracies]
                )
        if self.config.order == 2:
            columns["grad2"] = interleave([r.grad2 for r in self.results])
        return columns

    def frame(self) -> "pd.DataFrame":
        """The tidy records as a DataFrame: `x`, `activation`, `value`, `grad` and so on."""
        import pandas as pd

        return pd.DataFrame(self.columns())


def evaluate(
    x: Points,
    activations: Specs = ("relu", "softplus"),
    *,
    order: int = 1,
    error: bool = False,
    dtype: str | torch.dtype = "float32",
    device: str = "cpu",
) -> Evaluation:
    """Evaluate activations and their derivatives at points.

    Args:
        x: the points, any shape; taken in C order.
        activations: SPECs such as "softplus:beta=2", and functions or modules as themselves.
        order: how many derivatives, 0, 1 or 2.
        error: compare values and first derivatives with exact ones.
        dtype: float32, float64, bfloat16 or float16.
        device: cpu, cuda, cuda:N or mps.

    Raises:
        UsageError: a bad SPEC, dtype, order or no points.
        ActcompareError: the device is not there, or a function fails on it.
    """
    if order not in (0, 1, 2):
        raise UsageError(f"order must be 0, 1 or 2, not {order}")
    where, (dtype, kind) = resolve_device(device), resolve_dtype(dtype)
    parsed = parse_all(activations)
    given = _as_points(x)
    points = given.to(kind)
    try:
        on_device = points.to(where)
    except (RuntimeError, TypeError, AssertionError) as refusal:
        raise ActcompareError(
            f"{device} cannot take {dtype} numbers: {describe(refusal)}"
        ) from refusal
    results, cautions = [], _rounding_caution(given, points, dtype)
    for activation in parsed:
        function = build_elementwise(activation, kind, where)
        value, grad, grad2 = differentiate(function, on_device, activation.label, order)
        accuracy = grad_accuracy = None
        if error:
            accuracy = _accuracy(activation, points, value, derivative=False)
            if grad is not None:
                grad_accuracy = _accuracy(activation, points, grad, derivative=True)
        result = Derivatives(activation.label, value, grad, grad2, accuracy, grad_accuracy)
        results.append(result)
        cautions += _result_cautions(activation, function, points, result, order, where)
    config = EvaluationConfig(tuple(a.label for a in parsed), order, error, dtype, device)
    return Evaluation(config, describe_environment(where), points, tuple(results), tuple(cautions))


def build_elementwise(activation: Activation, dtype: torch.dtype, device: torch.device) -> Function:
    """The function, a user's own after a look at whether it is elementwise.

    Raises:
        ActcompareError: its value at a point depends on the other points, or on chance.
    """
    function = activation.build(dtype, device)
    if activation.entry is None:
        x = torch.linspace(-3, 3, 64, dtype=dtype, device=device)
        whole, *_ = differentiate(function, x, activation.label, 0)
        half, *_ = differentiate(function, x[:32], activation.label, 0)
        turned, *_ = differentiate(function, x.flip(0), activation.label, 0)
        near, again = 16 * torch.finfo(dtype).eps, torch.cat([turned.flip(0), half])
        if not torch.allclose(torch.cat([whole, whole[:32]]), again, near, near, equal_nan=True):
            raise ActcompareError(
                f"{activation.label} is not elementwise: its value at a point changes with the"
                " other points, or from call to call"
            )
    return function


def differentiate(
    function: Function, x: Tensor, label: str, order: int
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """The function and its derivatives at `x`, shape (point,), brought to the CPU.

    A derivative beyond `order` is None, and so is a second derivative that torch does not have.

    Raises:
        ActcompareError: the function fails, or is not elementwise.
    """
    leaf = x.detach().clone().requires_grad_(order > 0)
    try:
        y = function(leaf)
    except (Exception, SystemExit) as error:
        raise ActcompareError(
            f"{label} fails on {str(x.dtype).removeprefix('torch.')} on {x.device}:"
            f" {describe(error)}"
        ) from error
    if not isinstance(y, Tensor):
        raise ActcompareError(f"{label} returns {type(y).__name__}, not a tensor")
    if y.shape != x.shape:
        raise ActcompareError(
            f"{label} is not elementwise: shape {tuple(x.shape)} in, {tuple(y.shape)} out"
        )
    if y.dtype != x.dtype:
        raise ActcompareError(f"{label} returns {y.dtype} for {x.dtype} input")
    grad = grad2 = None
    if order >= 1:
        # y * ones hands the function's backward a contiguous gradient; y.sum() alone would hand it
        # an expanded one, which torch computes on another path; grad_outputs= would import sympy.
        # For order 2 it is a gradient that is itself differentiated, as once_differentiable checks.
        ones = torch.ones_like(y, requires_grad=order == 2)
        grad = _derivative((y * ones).sum(), leaf, label, keep_graph=order == 2)
    if order == 2 and grad is not None and not _once_differentiable(grad):
        try:
            grad2 = _derivative(grad.sum(), leaf, label, keep_graph=False)
        except ActcompareError as error:
            if "not implemented" not in str(error):
                raise
    return _to_cpu(y), _to_cpu(grad), _to_cpu(grad2)


@overload
def _to_cpu(tensor: Tensor) -> Tensor: ...
@overload
def _to_cpu(tensor: None) -> None: ...
def _to_cpu(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.detach().cpu()


def _derivative(total: Tensor, x: Tensor, label: str, *, keep_graph: bool) -> Tensor:
    """The gradient of a sum; zeros where it does not depend on x."""
    if not total.requires_grad:
        return torch.zeros_like(x)
    try:
        (grad,) = torch.autograd.grad(total, x, create_graph=keep_graph, materialize_grads=True)
    except Exception as error:
        raise ActcompareError(
            f"the derivative of {label} fails on {x.device}: {describe(error)}"
        ) from error
    return grad


def _once_differentiable(grad: Tensor) -> bool:
    """Whether a step of the backward pass cannot be differentiated, and would pass for constant."""
    nodes = [grad.grad_fn]
    for node in nodes:
        if node is not None and node.name() == "torch::autograd::Error":
            return True
        new = [n for n, _ in node.next_functions if n not in nodes] if node is not None else []
        nodes += new
    return False


def _as_points(x: Points) -> Tensor:
    try:
        if not isinstance(x, Tensor):
            array = np.asarray(x)
            if array.size and array.dtype.kind not in "fiub":
                raise TypeError(f"not {array.dtype}")
            x = torch.from_numpy(np.array(array, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise UsageError(f"x must be numbers: {describe(error)}") from None
    if x.is_complex():
        raise UsageError("x must be real numbers, not complex")
    points = x.detach().cpu().double().reshape(-1)
    if len(points) == 0:
        raise UsageError("no points to evaluate at")
    return points


def _accuracy(
    activation: Activation, x: Tensor, computed: Tensor, *, derivative: bool
) -> Accuracy | None:
    compared = ulp_error(activation, x, computed, derivative=derivative)
    return compared and Accuracy(*compared)


# --- where a printed number would mislead --------------------------------------------------------


def _rounding_caution(given: Tensor, points: Tensor, dtype: str) -> list[Caution]:
    changed = (given != points.double()) & ~given.isnan()
    if not changed.any():
        return []
    first = int(changed.nonzero()[0])
    was, became = given[first].item(), points[first].item()
    message = f"not every x is a {dtype} number, and those are rounded, as {was!r} to {became!r}"
    return [Caution("rounded", "", message)]


def _result_cautions(
    activation: Activation,
    function: Function,
    x: Tensor,
    result: Derivatives,
    order: int,
    device: torch.device,
) -> list[Caution]:
    label, cautions = activation.label, list[Caution]()

    def caution(kind: str, message: str) -> None:
        cautions.append(Caution(kind, label, message))

    for name, y, derivative in (("value", result.value, False), ("gradient", result.grad, True)):
        if y is None:
            continue
        broken = y.isnan() & ~x.isnan()
        if broken.any():
            caution(f"nan {name}", f"the {name} of {label} is NaN at x = {_first(x, broken)}")
        infinite = y.isinf() & x.isfinite()
        if infinite.any():
            caution(
                f"inf {name}",
                f"the {name} of {label} is {_first(y, infinite)} at the finite"
                f" x = {_first(x, infinite)}",
            )
        lost = _underflow(activation, function, x, y, derivative, device)
        if lost is not None:
            caution(f"underflow {name}", lost)
    if order > 0 and activation.entry is None and not _has_graph(function, x.to(device)):
        caution("no graph", f"autograd finds no way through {label}: its gradient counts as 0")
    if result.grad is not None:
        odd = x.isnan() & ~result.grad.isnan()
        if odd.any():
            g = _first(result.grad, odd)
            caution("grad at nan", f"PyTorch gives {label} the gradient {g} at x = NaN")
    if order == 2 and result.grad2 is None:
        caution("no grad2", f"torch has no second derivative of {label}: its column is empty")
    if activation.entry is not None and activation.entry.name == "softplus":
        beta, threshold = (float(activation.parameters[k]) for k in ("beta", "threshold"))
        if (x.isfinite() & (x.double() * beta > threshold)).any():
            caution("threshold", _threshold_message(label, beta, threshold, x.dtype))
    return cautions


def _has_graph(function: Function, x: Tensor) -> bool:
    return bool(function(x[:1].clone().requires_grad_()).requires_grad)


def _first(values: Tensor, mask: Tensor) -> float:
    return float(values[mask][0].item())


def _threshold_message(label: str, beta: float, threshold: float, dtype: torch.dtype) -> str:
    step = -math.log1p(math.exp(-threshold)) / beta
    slope = 1 / (1 + math.exp(threshold)) if threshold < 700 else 0.0
    ulp = torch.finfo(dtype).eps * 2.0 ** math.floor(math.log2(max(threshold / beta, 1e-30)))
    seen = "" if abs(step) >= ulp / 2 else f" (too small to show in {str(dtype)[6:]})"
    return (
        f"beyond x = {threshold / beta:g} PyTorch's {label} is x itself, with gradient 1:"
        f" there the value steps by {step:.3g} and the gradient by {slope:.3g}{seen}"
    )


def _underflow(
    activation: Activation,
    function: Function,
    x: Tensor,
    y: Tensor,
    derivative: bool,
    device: torch.device,
) -> str | None:
    """Say so where a zero is one only by underflow or rounding: the exact result is not zero.

    Looks at the least and the greatest x with a zero, where underflow shows if anywhere.
    """
    zeros = x[(y == 0) & x.isfinite()]
    if activation.entry is None or not len(zeros):
        return None
    name, dtype = "gradient" if derivative else "value", str(x.dtype).removeprefix("torch.")
    for point in (zeros.min().item(), zeros.max().item()):
        exact = exact_at(activation, point, derivative=derivative)
        if exact == 0:
            continue
        begin = _edge_of_zeros(function, point, x.dtype, device, derivative)
        at_edge = exact_at(activation, begin, derivative=derivative)
        tiny = abs(at_edge) < torch.finfo(x.dtype).smallest_normal
        return (
            f"the {name} of {activation.label} at x = {point:.9g} comes out as exactly 0"
            f" by {'underflow' if tiny else 'rounding'}, though it is {_short(exact)};"
            f" in {dtype} it is 0 {_stretch(point, begin)}"
        )
    return None


def _edge_of_zeros(
    function: Function, zero: float, dtype: torch.dtype, device: torch.device, derivative: bool
) -> float:
    """Where exact zeros around a point end, on the way to the nearest of some other points."""
    sign = math.copysign(1.0, zero)
    others = sign * torch.tensor([1, 0.3, 0.1, 0.03, 0.01, 1e-3, 1e-4, 0, 3, 10, 30, 100])
    value, grad, _ = differentiate(function, others.to(device, dtype), "it", int(derivative))
    nonzero = others[(grad if derivative and grad is not None else value) != 0]
    if not len(nonzero):
        return zero
    nearest = nonzero[(nonzero - zero).abs().argmin()].item()
    return zero_edge(function, zero, nearest, dtype, device, derivative=derivative)


def _stretch(zero: float, edge: float) -> str:
    if zero == edge:
        return "there and around"
    if abs(zero) < abs(edge):
        return f"between 0 and about x = {edge:.5g}"
    return f"from about x = {edge:.5g} {'down' if edge < 0 else 'up'}"


def _short(exact: Any) -> str:
    if isinstance(exact, float):
        return f"{exact:.3g}"
    import mpmath

    if mpmath.mag(exact) < -33_000:
        return "nearer to 0 than 1e-9999"
    return str(mpmath.nstr(exact, 3))


def zero_edge(
    function: Function,
    zero: float,
    nonzero: float,
    dtype: torch.dtype,
    device: torch.device,
    *,
    derivative: bool,
) -> float:
    """The x next to where exact zeros end, by bisection between a point of each kind.

    Every point is evaluated as a contiguous tensor of 64 copies, so that the vectorised path
    decides, as it does in a model.
    """
    a, b = zero, nonzero
    while True:
        middle = torch.tensor((a + b) / 2, dtype=dtype).item()
        if middle in (a, b):
            return a
        copies = torch.full((64,), middle, dtype=dtype, device=device)
        value, grad, _ = differentiate(function, copies, "it", int(derivative))
        chosen = grad if derivative else value
        assert chosen is not None
        if bool((chosen == 0).all()):
            a = middle
        else:
            b = middle
