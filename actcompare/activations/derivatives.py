"""Compute f, f' and f'' of an elementwise function with autograd."""

from collections.abc import Callable, Sequence
from typing import overload

import torch
from torch import Tensor

from actcompare.activations.spec import Activation
from actcompare.activations.user_code import describe
from actcompare.errors import ActcompareError

Function = Callable[[Tensor], Tensor]


def build_elementwise(activation: Activation, dtype: torch.dtype, device: torch.device) -> Function:
    """Build the function of an activation, and check that a user's own is elementwise.

    Raises:
        ActcompareError: Its value at a point depends on the other points or is random.
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
                f"{activation.label} is not elementwise: its value at a point depends on the other"
                " points or changes from call to call"
            )
    return function


def differentiate(
    function: Function, x: Tensor, label: str, order: int
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Return f(x), f'(x) and f''(x), each of shape (point,) on the CPU.

    Derivatives beyond `order` are None, and so is a second derivative that torch does not have.

    Args:
        function: The function f.
        x: Points, shape (point,).
        label: Name of the function in error messages.
        order: Highest derivative to compute: 0, 1 or 2.

    Raises:
        ActcompareError: The function fails or is not elementwise.
    """
    leaf = x.detach().clone().requires_grad_(order > 0)
    try:
        y = function(leaf)
    except (Exception, SystemExit) as error:  # the function may be a user's
        raise ActcompareError(
            f"{label} failed in {str(x.dtype).removeprefix('torch.')} on {x.device}:"
            f" {describe(error)}"
        ) from error
    if not isinstance(y, Tensor):
        raise ActcompareError(f"{label} returns {type(y).__name__}, not a tensor")
    if y.shape != x.shape:
        raise ActcompareError(
            f"{label} is not elementwise: it turns shape {tuple(x.shape)} into {tuple(y.shape)}"
        )
    if y.dtype != x.dtype:
        raise ActcompareError(f"{label} must return {x.dtype} for {x.dtype} input, not {y.dtype}")
    grad = grad2 = None
    if order >= 1:
        # y * ones passes a contiguous gradient to the function's backward. y.sum() alone would pass
        # an expanded one, which takes another path in torch; grad_outputs= would import sympy. For
        # order 2 the gradient must require grad, which once_differentiable checks.
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
    """Return the gradient of `total` with respect to x; zero if it does not depend on x."""
    if not total.requires_grad:
        return torch.zeros_like(x)
    try:
        (grad,) = torch.autograd.grad(total, x, create_graph=keep_graph, materialize_grads=True)
    except Exception as error:  # a user's backward may raise anything
        raise ActcompareError(
            f"the derivative of {label} failed on {x.device}: {describe(error)}"
        ) from error
    return grad


def backward_through(
    a: Tensor, z: Tensor, gradient: Tensor, weights: Sequence[Tensor] = ()
) -> Tensor:
    """Backpropagate dL/da through a = f(z) to dL/dz.

    The result is zero if a does not depend on z according to autograd.

    Args:
        a: f(z).
        z: A leaf that requires a gradient; a new one for each call.
        gradient: dL/da, in the shape of a.
        weights: Parameters of f; their gradients are accumulated.

    Returns:
        dL/dz, in the shape of z.
    """
    node = a.grad_fn
    if a is z:
        return gradient
    if node is None:
        return torch.zeros_like(z)
    behind = [getattr(before, "variable", None) for before, _ in node.next_functions]
    if len(behind) == 1 and behind[0] is z and callable(node):  # nodes written in Python are not
        # One node and no weights: a direct call takes a quarter of the engine's time.
        with torch.no_grad():
            found: Tensor = node(gradient)
        return found
    # A dot product rather than a.backward(gradient), which would import sympy.
    with torch.enable_grad():
        product = torch.dot(a.flatten(), gradient.flatten())
    product.backward(inputs=[z, *weights])  # type: ignore[no-untyped-call]
    return torch.zeros_like(z) if z.grad is None else z.grad


def _once_differentiable(grad: Tensor) -> bool:
    """Return whether a node of the backward pass cannot be differentiated again.

    Autograd would treat its result as a constant.
    """
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
    """Find the last x at which the result is exactly 0, by bisection between two points.

    Every point is evaluated as a contiguous tensor of 64 copies, so that torch takes its vectorised
    path, as it does in a model.

    Args:
        function: The function f.
        zero: A point at which the result is 0.
        nonzero: A point at which it is not.
        dtype: The dtype to compute in.
        device: The device to compute on.
        derivative: Whether the result is f'(x) and not f(x).
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
