"""Where the axes of units are after a call, from shapes alone. Axes are counted from the end."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

Axes = tuple[int, ...]
"""The axes of the units, from the end; several where features were split."""

VIEWS = frozenset(
    ("transpose", "swapaxes", "swapdims", "permute", "movedim", "moveaxis", "t", "adjoint",
     "__getitem__", "select", "narrow", "chunk", "split", "tensor_split", "unbind", "squeeze",
     "unsqueeze", "expand", "expand_as", "broadcast_to", "T", "mT", "H", "mH")
)  # fmt: skip
"""Calls that move, cut or drop axes, and that merge none."""

PARTS = frozenset(
    ("__getitem__", "select", "narrow", "chunk", "split", "tensor_split", "unbind")
)  # fmt: skip
"""Calls that return a part of a tensor."""

RESHAPES = frozenset(("view", "reshape", "flatten", "unflatten", "view_as", "reshape_as"))

REDUCES = frozenset(
    ("mean", "sum", "amax", "amin", "max", "min", "var", "std", "logsumexp", "norm", "prod",
     "median", "argmax", "argmin", "any", "all")
)  # fmt: skip

JOINS = frozenset(("cat", "concat", "concatenate", "hstack"))

SPATIAL = frozenset(
    ("pad", "interpolate", "upsample", "roll", "flip", "max_pool1d", "max_pool2d", "max_pool3d",
     "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d",
     "adaptive_avg_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d",
     "max_pool2d_with_indices", "index_select", "repeat_interleave")
)  # fmt: skip
"""Calls that change positions or samples, and no features."""

_PRIMES = (1009, 2003, 3001, 4001, 5003, 6007, 7001, 8009)
"""Strides that tell axes apart, whatever step a slice has."""

_MOST_KEPT = 10_000

_KEPT: dict[Any, list[Axes | None]] = {}
"""What views do to axes: the same few calls come again in every pass."""


def size(shape: torch.Size, axes: Axes) -> int:
    """Return the number of units along some axes; 0 if there are no such axes."""
    if any(-axis > len(shape) for axis in axes):
        return 0
    units = 1
    for axis in axes:
        units *= shape[axis]
    return units


def after(
    name: str, called: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any],
    source: Tensor, axes: Axes, results: Sequence[object],
) -> list[Axes | None]:  # fmt: skip
    """Return the axes of units in each result of a call; None where they cannot be followed.

    Args:
        name: Name of the function.
        called: The function.
        args: Its arguments.
        kwargs: Its keyword arguments.
        source: The argument whose axes are known.
        axes: Those axes.
        results: What it returned.
    """
    if name in VIEWS and args and args[0] is source and _only_moves(args[1:]):
        return _in_views(name, called, args, kwargs, source, axes, results)
    return [
        _in_one(t, name, args, kwargs, source, axes) if isinstance(t, Tensor) else None
        for t in results
    ]


def _in_one(
    t: Tensor, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], source: Tensor, axes: Axes
) -> Axes | None:  # fmt: skip
    if name in RESHAPES:
        return _reshaped(source.shape, t.shape, axes)
    if name in REDUCES:
        return _reduced(t, args, kwargs, source, axes)
    if name in JOINS and t.dim() == source.dim():
        return axes
    if name == "stack":
        dim = kwargs.get("dim", args[1] if len(args) > 1 else 0)
        dim = dim - t.dim() if dim >= 0 else dim
        return tuple(axis - 1 if dim >= axis else axis for axis in axes)
    # Elementwise, broadcast, padded or pooled.
    return axes if size(t.shape, axes) == size(source.shape, axes) else None


def _reduced(
    t: Tensor, args: Sequence[Any], kwargs: Mapping[str, Any], source: Tensor, axes: Axes
) -> Axes | None:
    dim = kwargs.get("dim", next((a for a in args[1:2] if not isinstance(a, Tensor)), None))
    if dim is None or isinstance(dim, bool):
        return axes if t.shape == source.shape else None
    gone = {d % source.dim() - source.dim() for d in ([dim] if isinstance(dim, int) else dim)}
    if gone & {*axes}:
        return None
    kept = t.dim() == source.dim()
    moved = axes if kept else tuple(axis + sum(d > axis for d in gone) for axis in axes)
    return moved if size(t.shape, moved) else None


def _only_moves(indices: Sequence[Any]) -> bool:
    """Return whether the arguments of a view hold no tensor or list, which would gather."""
    return not any(
        isinstance(each, Tensor | list)
        for value in indices
        for each in (value if isinstance(value, tuple) else (value,))
    )


def _in_views(
    name: str, called: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any],
    source: Tensor, axes: Axes, results: Sequence[object],
) -> list[Axes | None]:  # fmt: skip
    """Make the same call on a tensor without memory whose strides tell its axes apart."""
    if source.dim() > len(_PRIMES):
        return [None] * len(results)
    key = name, tuple(source.shape), axes, repr(args[1:]), repr(kwargs)
    if key not in _KEPT:
        if len(_KEPT) >= _MOST_KEPT:
            _KEPT.clear()
        strides = _PRIMES[: source.dim()]
        marker = torch.empty_strided(source.shape, strides, dtype=source.dtype, device="meta")
        views = called(marker, *args[1:], **kwargs)
        views = views if isinstance(views, tuple | list) else (views,)
        _KEPT[key] = [
            _found(view, [strides[axis] for axis in axes], source, axes) for view in views
        ]
    return _KEPT[key]


def _found(view: Tensor, primes: Sequence[int], source: Tensor, axes: Axes) -> Axes | None:
    """Return the axes of a view that have these strides, or multiples of them."""
    found = []
    for prime, axis in zip(primes, axes, strict=True):
        dims = [
            i - view.dim()
            for i, (length, stride) in enumerate(zip(view.shape, view.stride(), strict=True))
            if stride and stride % prime == 0 and (length > 1 or source.shape[axis] == 1)
        ]
        if len(dims) != 1:
            return None
        found += dims
    return tuple(found)


def _reshaped(before: torch.Size, after: torch.Size, axes: Axes) -> Axes | None:
    """Return where axes are after a reshape: they keep their size, and what lies within them.

    Axes that lie side by side may be merged, and one axis may be split.
    """
    run = sorted(axes)
    if run != list(range(run[0], run[-1] + 1)):
        found = [_reshaped(before, after, (axis,)) for axis in axes]
        if any(each is None or len(each) > 1 for each in found):
            return None
        return tuple(axis for each in found if each is not None for axis in each)
    units, within = size(before, axes), 1
    for length in before[len(before) + run[-1] + 1 :]:
        within *= length
    inner = 1
    for i in range(1, len(after) + 1):
        if inner == within and (after[-i] > 1 or units == 1):
            taken, total = i, after[-i]
            while total < units and taken < len(after):
                taken += 1
                total *= after[-taken]
            if total == units:
                return tuple(range(-taken, -i + 1))
        inner *= after[-i]
    return None


def letters(equation: object, operands: Sequence[Tensor]) -> list[str] | None:
    """Return the letters of an einsum's operands and of its result; None without an equation."""
    if not isinstance(equation, str) or "->" not in equation or "." in equation:
        return None
    left, _, right = equation.replace(" ", "").partition("->")
    inputs = left.split(",")
    fits = len(inputs) == len(operands) and all(
        len(each) == t.dim() for each, t in zip(inputs, operands, strict=True)
    )
    return [*inputs, right] if fits else None
