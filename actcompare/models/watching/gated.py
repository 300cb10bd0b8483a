"""Recognise units that are a product: an activation's output times another tensor.

In a gated feed-forward net (Shazeer 2020, "GLU variants improve Transformer") the neuron is
f(gate) * up, which is dead where up is 0, whatever f(gate) is. Where both factors come from the
same pre-activation, as in z * sigmoid(z), the product is an activation by itself.
"""

import weakref
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from actcompare.models.watching.lineage import Lineages, Source

MULTIPLIES = frozenset(("mul", "multiply", "__mul__", "__rmul__", "mul_", "multiply_", "__imul__"))

_NAMES = {"silu": "swiglu", "gelu": "geglu", "relu": "reglu", "sigmoid": "glu"}

_SQUASHES = ("sigmoid", "hardsigmoid")
"""Functions to [0, 1], which gate whatever they multiply."""

_SELF = {
    ("sigmoid", 1.0): "silu",
    ("sigmoid", 1.702): "quick_gelu",
    ("hardsigmoid", 1.0): "hardswish",
}
"""Names of z * f(c z)."""


class Applied(NamedTuple):
    """A call of an activation just made."""

    a: "weakref.ref[Tensor]"
    z: Tensor | None
    """Its input; None if that was overwritten."""
    slope: Tensor | None
    """f'(z); None for relu."""


class Gated(NamedTuple):
    """A product with an activation's output."""

    gate: Source
    """The uses of the activation."""
    use: str
    """Name of the product; empty if it is no unit by itself."""
    slope: Tensor | None
    """Largest slope of the product with respect to a pre-activation."""


def product_of(
    args: Sequence[Any], kwargs: Mapping[str, Any], lines: Lineages, recent: Sequence[Applied]
) -> Gated | None:
    """Return what a product is if a factor is an activation's output and only gates the other."""
    factors = [*args, *kwargs.values()]
    if len(factors) != 2 or not all(isinstance(t, Tensor) and t.dim() for t in factors):
        return None
    first, second = factors
    for gate, other in ((first, second), (second, first)):
        line, about = lines.of(gate), lines.of(other)
        if line is None or line.source is None or gate is other or isinstance(other, nn.Parameter):
            continue
        name, _, given = line.source[0][1].partition(":")
        made = next((each for each in recent if each.a() is gate), None)
        if about is not None and other.shape == gate.shape:
            if about.origin == line.origin:
                if about.source is not None:
                    continue
                return _by_itself(line.source, name, made, other)
            if about.fresh and not about.scores and made is not None:
                use = _NAMES.get(name, f"{name}_glu") + f":{given}" * bool(given)
                return Gated(line.source, use, _slope(made.slope, gate, other))
        if name in _SQUASHES:
            return Gated(line.source, "", None)
    return None


def gate_of_glu(
    input: Tensor,  # noqa: A002 (as torch calls it)
    dim: int = -1,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return sigmoid(b), its slope, and the largest slope of a sigmoid(b); a, b halve the input."""
    a, b = input.detach().chunk(2, dim)
    gate = b.sigmoid()
    slope = gate * (1 - gate)
    return gate, slope, _slope(slope, gate, a)


def is_product(use: str) -> bool:
    """Return whether the use of an activation is named after a gated product."""
    name = use.partition(":")[0]
    return name in _NAMES.values() or name.endswith("_glu")


def _slope(slope: Tensor | None, gate: Tensor, other: Tensor) -> Tensor:
    """Return max(|f'(z) u|, |f(z)|): the slopes of f(z) u with respect to z and u."""
    gate, other = gate.detach(), other.detach()
    with torch.no_grad():
        through = other * ((gate != 0) if slope is None else slope)
        return torch.maximum(through.abs_(), gate.abs())


def _by_itself(source: Source, name: str, made: Applied | None, x: Tensor) -> Gated | None:
    """Return the activation x f(c x + b), where the call of f is known and z is c x + b."""
    if made is None or made.z is None or made.z.shape != x.shape:
        return Gated(source, "", None)
    z, x = made.z.detach().double(), x.detach().double()
    straight = _straight(x, z)
    a = made.a()
    if straight is None or a is None:
        return Gated(source, "", None)
    c, b = straight
    use = _SELF.get((name, round(c, 3)), f"x*{name}") if b == 0 else f"x*{name}"
    inner = (z > 0).double() if made.slope is None else made.slope.double()
    slope = a.detach().double() + c * x * inner
    return Gated(source, use, slope.to(a.dtype))


def _straight(x: Tensor, z: Tensor) -> tuple[float, float] | None:
    """Return c and b if z is c x + b."""
    low, high = x.argmin(), x.argmax()
    x0, x1, z0, z1 = (float(t.flatten()[at]) for t in (x, z) for at in (low, high))
    if x0 == x1:
        return None
    c = (z1 - z0) / (x1 - x0)
    b = z0 - c * x0
    near = 1e-2 * max(abs(z0), abs(z1))
    if abs(b) < 1e-6 * max(abs(z0), abs(z1)):
        b = 0.0
    return (c, b) if functional.l1_loss(c * x + b, z) < 1e-3 * near else None
