"""Carry the axis of units with each tensor: from the layer that computes it to what activates it.

A later layer, a transposition or a second branch then cannot be mistaken for what an activation
applies to. Only shapes are looked at, never values.
"""

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

VIEWS = frozenset(
    ("transpose", "swapaxes", "swapdims", "permute", "movedim", "moveaxis", "t", "adjoint",
     "__getitem__", "select", "narrow", "chunk", "split", "tensor_split", "unbind", "squeeze",
     "unsqueeze", "expand", "expand_as", "broadcast_to", "T", "mT", "H", "mH")
)  # fmt: skip
"""Calls that move, cut or drop axes, and that merge none."""

_PARTS = ("__getitem__", "select", "narrow", "chunk", "split", "tensor_split", "unbind")

_RESHAPES = ("view", "reshape", "flatten", "unflatten", "view_as", "reshape_as")

_REDUCES = ("mean", "sum", "amax", "amin", "max", "min", "var", "std", "logsumexp", "norm", "prod",
            "median", "argmax", "argmin")  # fmt: skip

_JOINS = ("cat", "concat", "concatenate", "hstack")

_LINEAR = ("linear", "bilinear", "embedding")

_PRODUCTS = ("matmul", "mm", "bmm", "addmm", "baddbmm", "einsum", "__matmul__")

_NORMS = ("layer_norm", "rms_norm")

_CHANNEL_NORMS = ("batch_norm", "instance_norm", "group_norm")

_CONVOLUTIONS = tuple(f"conv{kind}{n}d" for kind in ("", "_transpose") for n in (1, 2, 3))

_GROUPED = ("_grouped_mm", "grouped_mm")

LAYERS = (*_LINEAR, *_PRODUCTS, *_NORMS, *_CHANNEL_NORMS, *_CONVOLUTIONS, *_GROUPED)
"""Calls that compute features."""

_SAME_UNIT = frozenset(
    ("to", "float", "half", "bfloat16", "double", "type", "type_as", "contiguous", "clone",
     "detach", "add", "add_", "__add__", "__radd__", "__iadd__", "sub", "__sub__", "mul", "__mul__",
     "__rmul__", "dropout", "masked_fill")
) | frozenset(_RESHAPES) | VIEWS  # fmt: skip
"""Calls after which a value still stands for the activation that it came from."""

_PRIMES = (1009, 2003, 3001, 4001, 5003, 6007, 7001, 8009)
"""Strides that tell axes apart, whatever step a slice has."""


Key = tuple[str, str, int]
"""Path of the module, SPEC and index of a use of an activation."""

Source = tuple[Key, ...]
"""The uses recorded for one call: several where it serves several experts."""


class Lineage(NamedTuple):
    """Where the units of a tensor lie, and what computed them."""

    axis: int
    """Axis of the units, from the end."""
    units: int
    origin: int
    """Number of the call that computed these features, or cut them out of others."""
    fresh: bool = True
    """Whether no activation has been applied since."""
    scores: bool = False
    """Whether this is a product of two computed tensors, as attention scores are."""
    expert: int | Tensor | None = None
    """Index of the expert that computed it, or of that of each row, shape (row,)."""
    source: Source | None = None
    """The uses of an activation whose output this is."""


class Lineages:
    """The lineages of the tensors of a forward pass."""

    def __init__(self) -> None:
        self._of: dict[int, tuple[weakref.ref[Tensor], Lineage]] = {}
        self._weights: dict[int, Tensor] = {}
        self._first: int | None = None
        self._calls = 0

    def begin(self, model: nn.Module) -> None:
        """Forget the tensors of the pass before, and find the model's weights."""
        self._of.clear()
        first = next((p.data_ptr() for p in model.parameters()), None)
        if first != self._first or not self._weights:
            self._first = first
            self._weights = {
                p.untyped_storage().data_ptr(): p for p in model.parameters() if p.dim() > 1
            }

    def of(self, t: object) -> Lineage | None:
        """Return the lineage of a tensor; None if it is not known."""
        found = self._of.get(id(t))
        return found[1] if found is not None and found[0]() is t else None

    def keep(self, t: Tensor, lineage: Lineage) -> None:
        """Remember the lineage of a tensor."""
        self._of[id(t)] = weakref.ref(t), lineage

    def is_weight(self, t: object) -> bool:
        """Return whether a tensor is, or is part of, a parameter of more than one axis."""
        return self._weight(t) is not None

    def after(
        self, name: str, called: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any],
        result: object,
    ) -> None:  # fmt: skip
        """Note the lineage of what a call returns."""
        results = result if isinstance(result, tuple | list) else (result,)
        tensors = [t for t in results if isinstance(t, Tensor) and t.dim()]
        if not tensors:
            return
        self._calls += 1
        if name in LAYERS:
            found = self._computed(name, args, kwargs, tensors[0])
            if found is not None:
                self.keep(tensors[0], found)
            return
        self._note_experts(name, args, tensors[0])
        for source, lineage in self._sources(args, kwargs):
            axes = _axes_after(name, called, args, kwargs, source, lineage.axis, results)
            kept = lineage.source if name in _SAME_UNIT else None
            found_any = False
            for part, (t, axis) in enumerate(zip(results, axes, strict=True)):
                if axis is None or not isinstance(t, Tensor):
                    continue
                cut = name in _PARTS and t.shape != source.shape
                self.keep(t, lineage._replace(
                    axis=axis, units=t.shape[axis], source=kept, expert=_rows(lineage, source, t),
                    origin=1000 * self._calls + part if cut else lineage.origin,
                ))  # fmt: skip
                found_any = True
            if found_any:
                return

    def _sources(
        self, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Iterator[tuple[Tensor, Lineage]]:
        """Yield the tensors among the arguments whose lineage is known."""
        for value in (*args, *kwargs.values()):
            for each in value if isinstance(value, tuple | list) else (value,):
                if isinstance(each, Tensor) and (found := self.of(each)) is not None:
                    yield each, found

    # --- layers ----------------------------------------------------------------------------------

    def _computed(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], result: Tensor
    ) -> Lineage | None:
        """Return the lineage of what a layer computes."""
        axis, dims, expert, scores = -1, result.dim(), None, False
        before = self.of(args[0]) if args else None
        if name in _CONVOLUTIONS:
            axis = -1 - int(name[-2])
            along = before is not None and before.axis != axis
            if along and result.shape[axis] == 1:  # a convolution over the units themselves
                axis = before.axis if before is not None else axis
        elif name in _CHANNEL_NORMS:
            axis = 1 - dims
        elif name in _NORMS:
            shape = kwargs.get("normalized_shape", args[1] if len(args) > 1 else ())
            if len(shape) > 1:
                return before
        elif name in _PRODUCTS or name in _GROUPED:
            given = [t for t in (*args, *kwargs.values()) if isinstance(t, Tensor)]
            weights = [t for t in given if self.is_weight(t) or self._experts_of(t) is not None]
            scores = not weights and len(given) > 1
            if scores and dims < 4:
                return None
            axis = -3 if scores else -1
            if weights and given and given[0] is weights[0] and name in ("matmul", "mm", "bmm"):
                axis = -2
            expert = self._expert(name, args, kwargs, weights, result)
        elif name == "linear":
            weight = kwargs.get("weight", args[1] if len(args) > 1 else None)
            expert = self._slice_of(weight)
        if dims < -axis:
            return None
        return Lineage(axis, result.shape[axis], 1000 * self._calls, True, scores, expert)

    def _weight(self, t: object) -> Tensor | None:
        if not isinstance(t, Tensor) or t.layout is not torch.strided:
            return None
        if isinstance(t, nn.Parameter):
            return t if t.dim() > 1 else None
        return self._weights.get(t.untyped_storage().data_ptr())

    def _slice_of(self, t: object) -> int | None:
        """Return which expert's weights these are: a slice of a parameter (expert, out, in)."""
        whole = self._weight(t)
        if whole is None or whole.dim() != 3 or not isinstance(t, Tensor) or t.dim() != 2:
            return None
        return (t.storage_offset() - whole.storage_offset()) // max(1, whole.stride(0))

    def _experts_of(self, t: object) -> Tensor | None:
        """Return the expert of each row of weights that were picked from (expert, ...)."""
        found = self.of(t)
        return found.expert if found is not None and isinstance(found.expert, Tensor) else None

    def _note_experts(self, name: str, args: Sequence[Any], result: Tensor) -> None:
        """Note which experts' weights were picked, as in `weight[ids]`."""
        if name not in ("__getitem__", "index_select") or result.dim() != 3:
            return
        whole, ids = self._weight(args[0]), args[-1]
        if isinstance(ids, tuple) and len(ids) == 1:
            (ids,) = ids
        picked = isinstance(ids, Tensor) and ids.dim() == 1 and not ids.is_floating_point()
        if whole is not None and whole.dim() == 3 and picked and ids.dtype != torch.bool:
            self.keep(result, Lineage(-1, result.shape[-1], 1000 * self._calls, expert=ids))

    def _expert(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], weights: Sequence[Tensor],
        result: Tensor,
    ) -> int | Tensor | None:  # fmt: skip
        """Return the expert of each row of a product with the weights of experts."""
        if not weights:
            return None
        if name in _GROUPED:
            ends = kwargs.get("offs", args[2] if len(args) > 2 else None)
            if not isinstance(ends, Tensor):
                return None
            counts = ends.diff(prepend=ends.new_zeros(1)).long()
            ids = torch.arange(len(ends), device=ends.device).repeat_interleave(counts)
            return ids if len(ids) == len(result) else None
        picked = self._experts_of(weights[0])
        if picked is not None:
            return picked if len(picked) == len(result) else None
        whole = self._weight(weights[0])
        if whole is not None and whole.dim() == 3 and result.dim() == 3:
            if weights[0].dim() == 2:
                return self._slice_of(weights[0])
            if len(whole) == len(result):
                return torch.arange(len(whole), device=result.device)
        return self._slice_of(weights[0])

    def experts(self, lineage: Lineage) -> Iterator[tuple[int, Tensor | None]]:
        """Yield the experts of a lineage, with the rows that each computed."""
        if isinstance(lineage.expert, int):
            yield lineage.expert, None
        elif lineage.expert is not None:
            for each in sorted(set(lineage.expert.tolist())):
                yield each, lineage.expert == each


def _rows(lineage: Lineage, source: Tensor, t: Tensor) -> int | Tensor | None:
    """Return the experts of a tensor's rows, if it has those of its source."""
    if isinstance(lineage.expert, Tensor) and (not t.dim() or len(t) != len(source)):
        return None
    return lineage.expert


def _axes_after(
    name: str, called: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any],
    source: Tensor, axis: int, results: Sequence[object],
) -> list[int | None]:  # fmt: skip
    """Return the axis of units in each result of a call; None where it cannot be followed."""
    if name in VIEWS and args and args[0] is source and _only_moves(args[1:]):
        return _in_views(called, args, kwargs, source, axis, len(results))
    return [
        _axis_in(t, name, args, kwargs, source, axis) if isinstance(t, Tensor) else None
        for t in results
    ]


def _axis_in(
    t: Tensor, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], source: Tensor, axis: int
) -> int | None:  # fmt: skip
    units = source.shape[axis]
    if name in _RESHAPES:
        return _reshaped(source.shape, t.shape, axis)
    if name in _REDUCES:
        dim = kwargs.get("dim", next((a for a in args[1:2] if not isinstance(a, Tensor)), None))
        if dim is None or isinstance(dim, bool):
            return axis if t.shape == source.shape else None
        gone = {d % source.dim() - source.dim() for d in ([dim] if isinstance(dim, int) else dim)}
        if axis in gone:
            return None
        moved = axis if t.dim() == source.dim() else axis + sum(d > axis for d in gone)
        return moved if -moved <= t.dim() else None
    if name in _JOINS and t.dim() == source.dim():
        return axis
    if name == "stack":
        dim = kwargs.get("dim", args[1] if len(args) > 1 else 0)
        dim = dim - t.dim() if dim >= 0 else dim
        axis = axis - 1 if dim > axis else axis
    # Elementwise, broadcast, padded or pooled: axes are counted from the end.
    return axis if -axis <= t.dim() and t.shape[axis] == units else None


def _only_moves(indices: Sequence[Any]) -> bool:
    """Return whether the arguments of a view hold no tensor or list, which would gather."""
    return not any(
        isinstance(each, Tensor | list)
        for value in indices
        for each in (value if isinstance(value, tuple) else (value,))
    )


def _in_views(
    called: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], source: Tensor,
    axis: int, results: int,
) -> list[int | None]:  # fmt: skip
    """Make the same call on a tensor without memory whose strides tell its axes apart."""
    if source.dim() > len(_PRIMES):
        return [None] * results
    strides = _PRIMES[: source.dim()]
    marker = torch.empty_strided(source.shape, strides, dtype=source.dtype, device="meta")
    views = called(marker, *args[1:], **kwargs)
    prime = strides[axis]
    found: list[int | None] = []
    for view in views if isinstance(views, tuple | list) else (views,):
        dims = [
            i - view.dim()
            for i, (size, stride) in enumerate(zip(view.shape, view.stride(), strict=True))
            if stride and stride % prime == 0 and (size > 1 or source.shape[axis] == 1)
        ]
        found.append(dims[0] if len(dims) == 1 else None)
    return found


def _reshaped(before: torch.Size, after: torch.Size, axis: int) -> int | None:
    """Return where an axis is after a reshape: it keeps its size, and what lies within it."""
    within = before[axis + 1 :].numel() if axis != -1 else 1
    inner = 1
    for i in range(1, len(after) + 1):
        if inner == within and after[-i] == before[axis]:
            return -i
        inner *= after[-i]
    return None
