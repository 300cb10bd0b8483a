"""f'(z) of torch's functions without autograd: by the kernels of their backward passes.

The results are those of autograd to the bit, since it calls the same kernels; what is saved is a
second forward pass, and the graph.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

_ATEN = torch.ops.aten

Kernel = Callable[[Tensor, Tensor, Mapping[str, Any]], Tensor]
"""Takes dL/da (ones), z or a, and the parameters of the call."""


def _elu(alpha: float, scale: float, inner: float) -> Kernel:
    """Return the kernel of alpha (exp(inner z) - 1), and z above 0, both times scale."""

    def kernel(ones: Tensor, z: Tensor, given: Mapping[str, Any]) -> Tensor:
        found: Tensor = _ATEN.elu_backward(ones, given.get("alpha", alpha), scale, inner, False, z)
        return found

    return kernel


FROM_INPUT: Mapping[str, Kernel] = {
    "silu": lambda ones, z, _: _ATEN.silu_backward(ones, z),
    "mish": lambda ones, z, _: _ATEN.mish_backward(ones, z),
    "hardswish": lambda ones, z, _: _ATEN.hardswish_backward(ones, z),
    "hardsigmoid": lambda ones, z, _: _ATEN.hardsigmoid_backward(ones, z),
    "gelu": lambda ones, z, given: _ATEN.gelu_backward(
        ones, z, approximate=given.get("approximate", "none")
    ),
    "softplus": lambda ones, z, given: _ATEN.softplus_backward(
        ones, z, given.get("beta", 1), given.get("threshold", 20)
    ),
    "leaky_relu": lambda ones, z, given: _ATEN.leaky_relu_backward(
        ones, z, given.get("negative_slope", 0.01), False
    ),
    "elu": _elu(1.0, 1.0, 1.0),
}
"""Kernels that take z."""

FROM_OUTPUT: Mapping[str, Kernel] = {
    "sigmoid": lambda ones, a, _: _ATEN.sigmoid_backward(ones, a),
    "tanh": lambda ones, a, _: _ATEN.tanh_backward(ones, a),
}
"""Kernels that take a = f(z)."""


def slope_by(kernel: Kernel, of: Tensor, given: Mapping[str, Any]) -> Tensor:
    """Return f'(z), in the shape of z.

    Args:
        kernel: The kernel of f.
        of: z, or f(z), as the kernel takes it.
        given: The parameters of f, by name.
    """
    ones = torch.ones((), dtype=of.dtype, device=of.device).expand_as(of)
    if kernel is FROM_INPUT["gelu"]:
        ones = torch.ones_like(of)  # its kernel is four times as fast with real ones on a CPU
    with torch.no_grad():
        return kernel(ones, of.detach(), given)
