"""Carry the axes of units with each tensor: from the layer that computes it to what activates it.

A later layer, a transposition or a second branch then cannot be mistaken for what an activation
applies to. Only shapes are looked at, never values. What a call does to axes is known for the calls
that are named here; after any other, nothing is claimed but that equal shapes have equal axes.
"""

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from actcompare.activations.catalogue import CATALOGUE
from actcompare.models.watching import axes as moving
from actcompare.models.watching.axes import Axes

_LINEAR = ("linear", "bilinear", "embedding")

_PRODUCTS = ("matmul", "mm", "bmm", "addmm", "baddbmm", "einsum", "__matmul__", "__rmatmul__")

_NORMS = ("layer_norm", "rms_norm")

_CHANNEL_NORMS = ("batch_norm", "instance_norm", "group_norm")

_CONVOLUTIONS = tuple(f"conv{kind}{n}d" for kind in ("", "_transpose") for n in (1, 2, 3))

_GROUPED = ("_grouped_mm", "grouped_mm")

LAYERS = (*_LINEAR, *_PRODUCTS, *_NORMS, *_CHANNEL_NORMS, *_CONVOLUTIONS, *_GROUPED)
"""Calls that compute features."""

_SUMS = frozenset(("add", "add_", "__add__", "__radd__", "__iadd__", "sub", "__sub__", "__rsub__"))

_MULTIPLIES = frozenset(("mul", "mul_", "__mul__", "__rmul__", "__imul__", "multiply"))

_SAME_UNIT = _SUMS | _MULTIPLIES | moving.VIEWS | moving.RESHAPES | frozenset(
    ("to", "float", "half", "bfloat16", "double", "type", "type_as", "contiguous", "clone",
     "detach", "dropout", "masked_fill", "div", "__truediv__")
)  # fmt: skip
"""Calls after which a value may still stand for the activation that it came from."""

_SAME_ORIGIN = _SAME_UNIT | frozenset(
    ("neg", "__neg__", "pow", "__pow__", "square", "clamp", "clamp_", "clamp_max", "clamp_min",
     "clip", "alpha_dropout", "feature_dropout", *(entry.name for entry in CATALOGUE))
)  # fmt: skip
"""Calls that compute from one pre-activation, element by element."""

_NEW_VALUES = ("_like", "new_", "rand", "bernoulli", "multinomial", "one_hot")
"""Parts of the names of calls whose values are not those of their arguments."""


class Lineage(NamedTuple):
    """Where the units of a tensor lie, and what computed them."""

    axes: Axes
    """Axes of the units, from the end; several where features were split, as into heads; none where
    they were lost."""
    units: int
    origin: int
    """Number of the call that computed these features, or cut them out of others."""
    fresh: bool = True
    """Whether a layer computed them, and no activation has been applied since."""
    scores: bool = False
    """Whether this is a product of two computed tensors, as attention scores are."""
    expert: int | Tensor | None = None
    """Index of the expert that computed it, or of that of each row, shape (row,)."""
    source: "Source | None" = None
    """The uses of an activation whose output this is."""
    weight: bool = False
    """Whether it was computed from parameters alone."""


Key = tuple[str, str, int]
"""Path of the module, SPEC and index of a use of an activation."""

Source = tuple[Key, ...]
"""The uses recorded for one call: several where it serves several experts."""


class Lineages:
    """The lineages of the tensors that a model computes."""

    def __init__(self, model: nn.Module) -> None:
        self._of: dict[int, tuple[weakref.ref[Tensor], Lineage]] = {}
        self._weights: dict[int, Tensor] = {}
        self._first: int | None = None
        self._calls = 0
        self._members = {
            id(weight): i
            for module in model.modules()
            if isinstance(module, nn.ParameterList) and len(module) > 1
            for i, weight in enumerate(module)
        }

    def begin(self, model: nn.Module) -> None:
        """Forget tensors that are gone, and find the model's weights."""
        self._of = {key: held for key, held in self._of.items() if held[0]() is not None}
        first = next((p.data_ptr() for p in model.parameters()), None)
        if first != self._first or not self._weights:
            self._first = first
            self._weights = {
                p.untyped_storage().data_ptr(): p for p in model.parameters() if p.dim() > 1
            }

    def of(self, t: object) -> Lineage | None:
        """Return the lineage of a tensor; None if it is not known."""
        found = self._of.get(id(t))
        if found is None or found[0]() is not t or not isinstance(t, Tensor):
            return None
        lineage = found[1]
        # A call in place may have moved the axes.
        return lineage if moving.size(t.shape, lineage.axes) == lineage.units else None

    def keep(self, t: Tensor, lineage: Lineage) -> None:
        """Remember the lineage of a tensor."""
        self._of[id(t)] = weakref.ref(t), lineage

    def new(self, axes: Axes, t: Tensor, **more: Any) -> Lineage:
        """Return the lineage of features that are computed now."""
        return Lineage(axes, moving.size(t.shape, axes), 1000 * self._calls, **more)

    def is_of_weights(self, t: object) -> bool:
        """Return whether a tensor is a parameter, or computed from parameters alone."""
        found = self.of(t)
        return isinstance(t, nn.Parameter) or (found is not None and found.weight)

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
        given = list(_tensors((*args, *kwargs.values())))
        floats = [t for t in given if t.is_floating_point()]
        if floats and name != "embedding" and all(map(self.is_of_weights, floats)):
            if len(floats) < len(given) and floats[0].dim() == 2:  # rows of a table, by index
                self.keep(tensors[0], self.new((-1,), tensors[0]))
            else:
                self._note_weights(name, args, tensors)
            return
        if name in LAYERS:
            found = self._computed(name, args, kwargs, given, tensors[0])
            if found is not None:
                self.keep(tensors[0], found)
            return
        if name.endswith("_") and name.rstrip("_") in moving.VIEWS:
            self._of.pop(id(tensors[0]), None)
        elif not any(part in name for part in _NEW_VALUES):
            self._carry(name, called, args, kwargs, given, results)

    def _carry(
        self, name: str, called: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any],
        given: Sequence[Tensor], results: Sequence[object],
    ) -> None:  # fmt: skip
        """Note lineages that come from the arguments of a call."""
        known = [
            (t, found) for t in given if (found := self.of(t)) is not None and not found.weight
        ]
        for source, lineage in known:
            moved = moving.after(name, called, args, kwargs, source, lineage.axes, results)
            lineage = self._merged(name, lineage, [each for _, each in known])
            cut = name in moving.PARTS
            for part, (t, axes) in enumerate(zip(results, moved, strict=True)):
                if axes is None or not isinstance(t, Tensor) or t.dtype == torch.bool:
                    continue
                origin = 1000 * self._calls + part
                self.keep(t, lineage._replace(
                    axes=axes, units=moving.size(t.shape, axes),
                    expert=_rows(name, args, lineage, source, t, known),
                    origin=origin if cut and t.shape != source.shape else lineage.origin,
                ))  # fmt: skip
            if any(axes is not None for axes in moved):
                return
        if known:
            for t in results:
                if isinstance(t, Tensor) and t.is_floating_point():
                    self.keep(t, self.new((), t, scores=any(each.scores for _, each in known)))

    def _merged(self, name: str, lineage: Lineage, known: Sequence[Lineage]) -> Lineage:
        """Return what is known of the values of a call, from those of its arguments."""
        if name not in _SAME_UNIT or len(known) > 1:
            lineage = lineage._replace(source=None)
        if name in _SUMS:
            fresh = any(each.fresh for each in known)
            return lineage._replace(fresh=fresh)
        if name not in _SAME_ORIGIN or (name in _MULTIPLIES and len(known) > 1):
            same = name in moving.VIEWS | moving.RESHAPES | moving.REDUCES | moving.SPATIAL
            fresh = lineage.fresh and (same or name in moving.JOINS)
            return lineage._replace(origin=1000 * self._calls, fresh=fresh)
        return lineage

    def _note_weights(self, name: str, args: Sequence[Any], results: Sequence[Tensor]) -> None:
        """Note what is computed from parameters, and which expert's they are."""
        for i, t in enumerate(results):
            line = self.new((-1,), t, fresh=False, weight=True)
            self.keep(t, line._replace(expert=self._chosen(name, args, i)))

    # --- layers ----------------------------------------------------------------------------------

    def _computed(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], given: Sequence[Tensor],
        result: Tensor,
    ) -> Lineage | None:  # fmt: skip
        """Return the lineage of what a layer computes."""
        dims = result.dim()
        before = self.of(args[0]) if args else None
        if name in _CONVOLUTIONS:
            axis = -1 - int(name[-2])
            along = before is not None and before.axes not in ((), (axis,))
            if (
                along and before is not None and result.shape[axis] == 1
            ):  # a convolution over the units themselves
                return self.new(before.axes, result)
            return self.new((axis,), result) if dims >= -axis else None
        if name in _CHANNEL_NORMS:
            return self.new((1 - dims,), result) if dims > 1 else None
        if name in _NORMS:
            axes = (-1,) if before is None else before.axes or (-1,)
            return self.new(axes, result, expert=before.expert if before is not None else None)
        if name == "linear":
            weight = kwargs.get("weight", args[1] if len(args) > 1 else None)
            return self.new((-1,), result, expert=self._expert_of(weight))
        if name in _LINEAR:
            return self.new((-1,), result)
        return self._product(name, args, kwargs, given, result)

    def _product(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], given: Sequence[Tensor],
        result: Tensor,
    ) -> Lineage | None:  # fmt: skip
        """Return the lineage of a matrix product, which may be a layer, or scores."""
        weights = [t for t in given if self._is_weight(t)]
        lines = [self.of(t) for t in given]
        known = [
            (i, line) for i, line in enumerate(lines)
            if line is not None and not line.weight and not self._is_weight(given[i])
        ]  # fmt: skip
        if name == "einsum":
            return self._einsum(args, given, weights, known, result)
        if weights:
            first = given[0] is weights[0] and len(given) > 1 and name not in ("addmm", "baddbmm")
            axis = -2 if first and not name.startswith("__r") else -1
            expert = self._experts(name, args, kwargs, weights[0], result)
            return self.new((axis,), result, expert=expert) if result.dim() >= -axis else None
        features = [(i, line) for i, line in known if not line.scores]
        if len(features) > 1:  # both computed: attention scores, whose units are the heads
            return self.new((-3 if result.dim() > 3 else -1,), result, scores=True)
        if not features:
            return None
        i, line = features[0]  # times scores, or a fixed matrix, as of a graph
        summed = -2 if i else -1
        if line.axes and summed not in line.axes:
            return self.new(line.axes, result)
        return self.new(() if len(known) > 1 or i else (-1,), result)

    def _einsum(
        self, args: Sequence[Any], given: Sequence[Tensor], weights: Sequence[Tensor],
        known: Sequence[tuple[int, Lineage]], result: Tensor,
    ) -> Lineage | None:  # fmt: skip
        """Return the lineage of an einsum, from its equation."""
        letters = moving.letters(args[0] if args else None, given)
        if letters is None:
            return self.new((-1,), result) if weights else None
        *inputs, out = letters
        place = {letter: i - len(out) for i, letter in enumerate(out)}
        of_weights = [inputs[i] for i, t in enumerate(given) if any(t is w for w in weights)]
        others = [inputs[i] for i, t in enumerate(given) if not any(t is w for w in weights)]
        if of_weights:
            own = [
                x for x in of_weights[0] if x in place and not any(x in other for other in others)
            ]
            if not own:
                return None
            stacked = of_weights[0][0]
            expert = None
            if place.get(stacked) == -len(out) and any(stacked in other for other in others):
                expert = torch.arange(result.shape[0], device=result.device)
            return self.new((place[own[-1]],), result, expert=expert)
        features = [(i, line) for i, line in known if not line.scores]
        if len(features) > 1:
            shared = [x for x in out if all(x in each for each in inputs)]
            axes = (place[shared[-1]],) if len(shared) > 1 else (-1,)
            return self.new(axes, result, scores=True)
        if not features:
            return None
        i, line = features[0]
        at = [inputs[i][axis] for axis in line.axes if -axis <= len(inputs[i])]
        kept = all(x in place for x in at) and len(at) == len(line.axes)
        return self.new(tuple(place[x] for x in at) if kept else (), result)

    def _is_weight(self, t: Tensor) -> bool:
        if self.is_of_weights(t) or t.layout is not torch.strided:
            return True
        return t.dim() > 1 and t.untyped_storage().data_ptr() in self._weights

    # --- experts ---------------------------------------------------------------------------------

    def _chosen(self, name: str, args: Sequence[Any], part: int) -> int | Tensor | None:
        """Return which experts' weights are picked from weights of shape (expert, ...)."""
        whole = args[0] if args else None
        if not isinstance(whole, Tensor):
            return None
        if whole.dim() != 3:
            before = self.of(whole)
            return before.expert if before is not None and name not in moving.REDUCES else None
        if name in ("unbind", "__iter__"):
            return part
        if name not in ("__getitem__", "select", "index_select"):
            return None
        index = args[-1]
        if isinstance(index, tuple) and index:
            index = index[0]
        if (
            isinstance(index, Tensor)
            and not index.is_floating_point()
            and index.dtype != torch.bool
        ):
            return index if index.dim() == 1 else int(index) if index.dim() == 0 else None
        return index if type(index) is int and name != "index_select" else None

    def _expert_of(self, weight: object) -> int | Tensor | None:
        found = self.of(weight)
        if found is not None and found.weight:
            return found.expert
        return self._members.get(id(weight))

    def _experts(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], weight: Tensor,
        result: Tensor,
    ) -> int | Tensor | None:  # fmt: skip
        """Return the expert of each row of a product with the weights of experts."""
        if name in _GROUPED:
            ends = kwargs.get("offs", args[2] if len(args) > 2 else None)
            if not isinstance(ends, Tensor):
                return None
            counts = ends.diff(prepend=ends.new_zeros(1)).long()
            ids = torch.arange(len(ends), device=ends.device).repeat_interleave(counts)
            return ids if len(ids) == len(result) else None
        picked = self._expert_of(weight)
        if isinstance(picked, Tensor):
            return picked if len(picked) == len(result) else None
        stacked = weight.dim() == 3 and result.dim() == 3 and len(weight) == len(result)
        return torch.arange(len(weight), device=result.device) if stacked else picked

    def experts(self, lineage: Lineage) -> Iterator[tuple[int, Tensor | None]]:
        """Yield the experts of a lineage, with the rows that each computed."""
        if isinstance(lineage.expert, int):
            yield lineage.expert, None
        elif lineage.expert is not None:
            for each in sorted(set(lineage.expert.tolist())):
                yield each, lineage.expert == each


def _tensors(values: Sequence[Any]) -> Iterator[Tensor]:
    """Yield the tensors among arguments, and in lists of them."""
    for value in values:
        for each in value if isinstance(value, tuple | list) else (value,):
            if isinstance(each, Tensor):
                yield each


def _rows(
    name: str, args: Sequence[Any], lineage: Lineage, source: Tensor, t: Tensor,
    known: Sequence[tuple[Tensor, Lineage]],
) -> int | Tensor | None:  # fmt: skip
    """Return the experts of a tensor's rows: those of its source, or of the parts it joins."""
    if name in moving.JOINS and args and isinstance(args[0], tuple | list):
        parts = [(len(t), line.expert) for t, line in known]
        if len(parts) == len(args[0]) and all(isinstance(each, int) for _, each in parts):
            ids = [torch.full((rows,), each, device=t.device) for rows, each in parts]  # type: ignore[arg-type]
            return torch.cat(ids) if sum(map(len, ids)) == len(t) else None
    if isinstance(lineage.expert, Tensor) and (not t.dim() or len(t) != len(source)):
        return None
    return lineage.expert
