"""f, f' and f'' of an elementwise function, from autograd on the function itself."""

from collections.abc import Callable, Sequence
from typing import overload

import torch
from torch import Tensor

from actcompare.activations.spec import Activation
from actcompare.activations.user_code import describe
from actcompare.errors import ActcompareError

Function = Callable[[Tensor], Tensor]


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


def backward_through(
    a: Tensor, z: Tensor, gradient: Tensor, weights: Sequence[Tensor] = ()
) -> Tensor:
    """The gradient by z of what has this gradient by a, where a = f(z) and z is a leaf.

    Zero where, as autograd sees it, a does not depend on z.

    Args:
        a: f(z).
        z: a leaf that requires a gradient, fresh for each call.
        gradient: of the shape of a.
        weights: those of f, to whose gradients theirs are added.
    """
    node = a.grad_fn
    if a is z:
        return gradient
    if node is None:
        return torch.zeros_like(z)
    behind = [getattr(before, "variable", None) for before, _ in node.next_functions]
    if len(behind) == 1 and behind[0] is z and callable(node):  # those written in Python are not
        # One node and no weights: called itself, it takes a quarter of the engine's time.
        with torch.no_grad():
            found: Tensor = node(gradient)
        return found
    # A dot product rather than a.backward(gradient), which would import sympy.
    with torch.enable_grad():
        product = torch.dot(a.flatten(), gradient.flatten())
    product.backward(inputs=[z, *weights])  # type: ignore[no-untyped-call]
    return torch.zeros_like(z) if z.grad is None else z.grad


def _once_differentiable(grad: Tensor) -> bool:
    """Whether a step of the backward pass cannot be differentiated, and would pass for constant."""
    nodes = [grad.grad_fn]
    for node in nodes:
        if node is not None and node.name() == "torch::autograd::Error":
            return True
        new = [n for n, _ in node.next_functions if n not in nodes] if node is not None else []
        nodes += new
    return False


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
