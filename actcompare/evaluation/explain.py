"""Cautions about numbers that would mislead: rounding, underflow, infinities, NaN, thresholds."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from actcompare.activations.derivatives import Function, differentiate, zero_edge
from actcompare.activations.exact import exact_at
from actcompare.activations.spec import Activation

if TYPE_CHECKING:
    from actcompare.evaluation.records import Derivatives


@dataclass(frozen=True)
class Caution:
    """A reason why a printed number would mislead."""

    kind: str
    label: str
    """The activation; empty if the caution concerns x itself."""
    message: str


def rounding_caution(given: Tensor, points: Tensor, dtype: str) -> list[Caution]:
    """Return a caution if rounding to the dtype changed a float64 point; shapes (point,)."""
    changed = (given != points.double()) & ~given.isnan()
    if not changed.any():
        return []
    first = int(changed.nonzero()[0])
    was, became = given[first].item(), points[first].item()
    message = f"some x are not {dtype} numbers and are rounded, such as {was!r} to {became!r}"
    return [Caution("rounded", "", message)]


def result_cautions(
    activation: Activation,
    function: Function,
    x: Tensor,
    result: "Derivatives",
    order: int,
    device: torch.device,
) -> list[Caution]:
    """Return the cautions about one activation's results at `x`, shape (point,), on the CPU."""
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
        caution("no graph", f"{label} has no autograd graph: its gradient is taken as 0")
    if result.grad is not None:
        odd = x.isnan() & ~result.grad.isnan()
        if odd.any():
            g = _first(result.grad, odd)
            caution("grad at nan", f"PyTorch's gradient of {label} at x = NaN is {g}")
    if order == 2 and result.grad2 is None:
        caution("no grad2", f"PyTorch has no second derivative of {label}: its column is empty")
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
        f"beyond x = {threshold / beta:g} PyTorch's {label} returns x, with gradient 1:"
        f" at that point the value jumps by {step:.3g} and the gradient by {slope:.3g}{seen}"
    )


def _underflow(
    activation: Activation,
    function: Function,
    x: Tensor,
    y: Tensor,
    derivative: bool,
    device: torch.device,
) -> str | None:
    """Return a caution if a zero is due to underflow or rounding: the exact result is not zero.

    Only the smallest and the largest x with a zero are checked, where underflow is most likely.
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
            f"the {name} of {activation.label} at x = {point:.9g} is exactly 0 only by"
            f" {'underflow' if tiny else 'rounding'}: the exact result is {_short(exact)};"
            f" in {dtype} it is 0 {_stretch(point, begin)}"
        )
    return None


def _edge_of_zeros(
    function: Function, zero: float, dtype: torch.dtype, device: torch.device, derivative: bool
) -> float:
    """Return where the zeros around a point end, towards the nearest nonzero test point."""
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
        return "there and nearby"
    if abs(zero) < abs(edge):
        return f"between 0 and about x = {edge:.5g}"
    return f"{'below' if edge < 0 else 'above'} about x = {edge:.5g}"


def _short(exact: Any) -> str:
    if isinstance(exact, float):
        return f"{exact:.3g}"
    import mpmath

    if mpmath.mag(exact) < -33_000:
        return "closer to 0 than 1e-9999"
    return str(mpmath.nstr(exact, 3))
