"""Recognise units that are a product: an activation's output times another tensor.

In a gated feed-forward net (Shazeer 2020, "GLU variants improve Transformer") the neuron is
f(gate) * up, which is dead where up is 0, whatever f(gate) is. Where both factors come from the
same pre-activation, as in z * sigmoid(z), the product is an activation by itself.
"""

import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
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
    """Its input, without a graph; None if that was overwritten."""
    slope: Tensor | None
    """f'(z) of what is measured; None for relu."""


class Gated(NamedTuple):
    """A product with an activation's output."""

    gate: Source
    """The uses of the activation."""
    use: str
    """Name of the product; empty if it is no unit by itself."""
    slope: Tensor | None
    """Largest slope of the product with respect to a pre-activation."""


def product_of(
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    lines: Lineages,
    recent: Sequence[Applied],
    thinned: Callable[..., Tensor],
) -> Gated | None:
    """Return what a product is if a factor is an activation's output and only gates the other.

    Args:
        args: The factors.
        kwargs: Factors by name.
        lines: What is known of tensors.
        recent: Calls of activations whose outputs are still held.
        thinned: Returns what is measured of a tensor.
    """
    factors = [*args, *kwargs.values()]
    if len(factors) != 2 or not all(isinstance(t, Tensor) and t.dim() for t in factors):
        return None
    first, second = ((t, lines.of(t)) for t in factors)
    if first[1] is None or second[1] is None or first[0] is second[0]:
        return None
    if first[1].weight or second[1].weight:
        return None
    # Of two activations the later one gates, or the one that is broadcast.
    pairs = sorted(
        ((first, second), (second, first)),
        key=lambda pair: (pair[0][0].numel(), -(pair[0][1].origin if pair[0][1] else 0)),
    )
    for (gate, line), (other, about) in pairs:
        if line is None or about is None or line.source is None:
            continue
        name, _, given = line.source[0][1].partition(":")
        made = next((each for each in recent if each.a() is gate), None)
        if other.shape == gate.shape and made is not None:
            if about.origin == line.origin and about.source is None:
                here = partial(thinned, line=about)
                found = _by_itself(line.source, name, made, other, here)
                if found is not None:
                    return found
            elif about.fresh and not about.scores:
                use = _NAMES.get(name, f"{name}_glu") + f":{given}" * bool(given)
                gate, other = thinned(gate, line), thinned(other, line)
                return Gated(line.source, use, _slope(made.slope, gate, other))
        if name in _SQUASHES and about.origin != line.origin:
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


def _by_itself(
    source: Source, name: str, made: Applied, x: Tensor, thinned: Callable[[Tensor], Tensor]
) -> Gated | None:
    """Return the activation x f(c x + b); None if the input of f is not c x + b."""
    a = made.a()
    if a is None or made.z is None or made.z.shape != x.shape:
        return None
    z, x, a = (thinned(t.detach()) for t in (made.z, x, a))
    straight = _straight(x, z)
    if straight is None:
        return None
    c, b = straight
    use = _SELF.get((name, round(c, 3)), f"x*{name}") if b == 0 else f"x*{name}"
    inner = (z > 0).to(a.dtype) if made.slope is None else made.slope
    return Gated(source, use, a + c * x * inner)


def _straight(x: Tensor, z: Tensor) -> tuple[float, float] | None:
    """Return c and b if z is c x + b."""
    low, high = x.argmin(), x.argmax()
    x0, x1, z0, z1 = (float(t.flatten()[at]) for t in (x, z) for at in (low, high))
    if x0 == x1:
        return None
    c = (z1 - z0) / (x1 - x0)
    b, largest = z0 - c * x0, max(abs(z0), abs(z1))
    b = 0.0 if abs(b) < 1e-5 * largest else b
    near = max(1e-5, 4 * torch.finfo(z.dtype).eps) * largest
    return (c, b) if functional.l1_loss(c * x + b, z) < near else None
