"""Find jumps of a function and its derivatives between neighbouring numbers of a dtype."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from actcompare.activations.derivatives import Function, differentiate

SYMBOLS = {"discontinuous": "f", "C0": "f'", "C1": "f''", "C1+": "", "C2+": ""}
"""The first of f, f', f'' that jumps, for each smoothness."""


@dataclass(frozen=True)
class Jump:
    """A jump: its place and height."""

    x: float
    below: float
    """The lower of the two neighbouring numbers it lies between; `above` is the upper one."""
    above: float
    step: float
    beside: float
    """The larger absolute value of its two sides."""


@dataclass(frozen=True)
class _End:
    """One end of each interval: points, values and slopes, each of shape (interval,)."""

    x: Tensor
    f: Tensor
    slope: Tensor

    def take(self, which: Tensor | slice) -> "_End":
        return _End(self.x[which], self.f[which], self.slope[which])

    def where(self, mine: Tensor, other: "_End") -> "_End":
        """Take these ends where `mine` is true, and the other ones elsewhere."""
        return _End(
            torch.where(mine, self.x, other.x),
            torch.where(mine, self.f, other.f),
            torch.where(mine, self.slope, other.slope),
        )


_ROUNDINGS = (8, 64, 64)
"""Largest step of f, f' and f'', in roundings, that is not a jump."""

_NOTABLE = 1 / 8
"""A step above this share of the largest value is a jump even in coarse 16-bit dtypes."""


def find_jumps(
    function: Function, label: str, x: Tensor, dtype: torch.dtype, device: torch.device
) -> tuple[str, list[Jump]]:
    """Classify the smoothness of a function in a dtype, over ascending points.

    Returns:
        The class, discontinuous, C0, C1, C2+ or (without a second derivative) C1+, and the jumps of
        the first of f, f', f'' that jumps.
    """

    def at(points: Tensor, order: int) -> tuple[Tensor, Tensor | None]:
        f = differentiate(function, points.to(device, dtype), label, min(order + 1, 2))
        value, slope = f[order], f[order + 1] if order < 2 else None
        assert value is not None
        return value.double(), None if slope is None else slope.double()

    for order, name in enumerate(("discontinuous", "C0", "C1")):
        if order == 2 and differentiate(function, x[:1].to(device, dtype), label, 2)[2] is None:
            return "C1+", []
        found = _jumps(lambda points, n=order: at(points, n), x, dtype, order)  # type: ignore[misc]
        if found:
            return name, found
    return "C2+", []


def _jumps(
    at: Callable[[Tensor], tuple[Tensor, Tensor | None]], x: Tensor, dtype: torch.dtype, order: int
) -> list[Jump]:
    """Find every jump by bisecting the intervals whose change the slope does not explain.

    A jump remains when its interval shrinks to two neighbouring numbers of the dtype; a slope does
    not. `at` returns the function and its slope (or None), each of shape (point,).
    """
    allowed = _ROUNDINGS[order] * torch.finfo(dtype).eps
    f, slope = at(x)
    scale = largest(f)

    def unexplained(a: _End, b: _End) -> Tensor:
        return (b.f - a.f - (b.x - a.x) * (a.slope + b.slope) / 2).abs()

    def is_jump(a: _End, b: _End) -> Tensor:
        if order == 0:
            local = a.f.abs() + b.f.abs() + a.x.abs() + b.x.abs()
            return unexplained(a, b) > min(allowed, _NOTABLE) * local.clamp(min=1e-3)
        # Derivatives are less exact at larger x, because x is rounded.
        slack = (allowed * b.x.abs().clamp(min=1)).clamp(max=_NOTABLE)
        return unexplained(a, b) > slack * scale

    def end(points: Tensor, f: Tensor, slope: Tensor | None) -> "_End":
        return _End(points, f, torch.zeros_like(f) if slope is None else slope)

    ends = end(x, f, slope)
    a, b = ends.take(slice(None, -1)), ends.take(slice(1, None))
    suspects = is_jump(a, b)
    a, b = a.take(suspects), b.take(suspects)
    for _ in range(80):
        middle = ((a.x + b.x) / 2).to(dtype).double()
        if not len(middle) or bool(((middle == a.x) | (middle == b.x)).all()):
            break
        m = end(middle, *at(middle))
        left = unexplained(a, m) >= unexplained(m, b)
        a, b = a.where(left, m), m.where(left, b)
        jumps = is_jump(a, b)
        a, b = a.take(jumps), b.take(jumps)
    found: list[Jump] = []
    beside = torch.maximum(a.f.abs(), b.f.abs()).tolist()
    steps = (b.f - a.f).tolist()
    for below, above, step, size in zip(a.x.tolist(), b.x.tolist(), steps, beside, strict=True):
        place = min(below, above, key=lambda v: len(f"{v:.17g}"))  # 6 rather than 5.99609375
        if not found or place != found[-1].x:
            found.append(Jump(place + 0.0, below, above, step, size))
    return found


def largest(values: Tensor) -> float:
    """Return the largest finite absolute value, or infinity if there is none."""
    finite = values[values.isfinite()].abs()
    return finite.max().item() if len(finite) else math.inf
