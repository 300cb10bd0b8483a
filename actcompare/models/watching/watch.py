"""Watch every activation that a running model calls, wherever it is called from.

A TorchFunctionMode sees all calls of torch: `F.relu(z)` in a forward method, and activations inside
torch's layers, as well as nn.ReLU. Torch's hooks for all modules tell which module is running, so
that nothing is attached to the model: copies and saved files of it are as without a watch, and so
are modules that it replaces while it runs. Calls are made as they are, and measured beside. While a
mode is active, torch's transformer layers skip their fast path, which would be a single call.
"""

import contextlib
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode

from actcompare.activations.slopes import FROM_OUTPUT, slope_by
from actcompare.activations.torch_calls import (
    RECTIFYING,
    Known,
    is_rectifier,
    known_calls,
    read_call,
    use_of_module,
)
from actcompare.activations.user_code import describe
from actcompare.errors import ActcompareError, UsageError
from actcompare.models.feed import samples_of
from actcompare.models.places import acting_paths, opaque_modules, scripted_functions
from actcompare.models.state import function_modes, left_as_it_was, set_function_modes
from actcompare.models.watching.aside import Aside, plain, slope_of, unwatched
from actcompare.models.watching.bindings import Own, patched
from actcompare.models.watching.eager import eager
from actcompare.models.watching.experts import ExpertsSeen
from actcompare.models.watching.gated import MULTIPLIES, Applied, Gated, gate_of_glu, product_of
from actcompare.models.watching.lineage import LAYERS, Key, Lineage, Lineages, Source
from actcompare.models.watching.records import Unseen, WatchedLayer, layer_columns, name_of
from actcompare.models.watching.whole import Whole, may_be_whole, whole_of
from actcompare.table import Table
from actcompare.units.statistics import EPS, Scratch, UnitAccumulator
from actcompare.units.wording import ATTENTION, BOUND, GATE, ROUTER, UNIT, WEIGHT

if TYPE_CHECKING:
    import pandas as pd

    from actcompare.models.loops.windows import Windows

_GATED = ("lstm", "gru", "rnn_tanh", "rnn_relu",
          "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell")  # fmt: skip

_CHOOSES = ("topk", "sort")
"""Functions by which a router chooses experts."""


class _Seen(NamedTuple):
    """The statistics of one use of an activation, and the axis of its units."""

    units: UnitAccumulator
    axis: int
    row: torch.Size
    """Shape of a sample."""


class Watch(contextlib.AbstractContextManager["Watch"]):
    """A context that collects statistics of a model's activations; see `watch`."""

    def __init__(
        self,
        model: nn.Module,
        *,
        own: Sequence[str] = (),
        unit_dim: int | None = None,
        eps: float = EPS,
        every: int = 1,
    ) -> None:
        self.model, self.unit_dim, self.eps, self._every = model, unit_dim, eps, every
        self.passes = 0
        self.samples = 0
        self.trained = False
        """Whether a pass ran in training mode, where dropout and batch norm add randomness."""
        self._own = [Own(spec) for spec in own]
        self._whole: dict[nn.Module, Whole | None] = {}
        self._known = _known_calls()
        self._paths = acting_paths(model)
        self._labels = {m: use for m in self._paths if (use := use_of_module(m)) is not None}
        self._seen: dict[tuple[str, str, int], _Seen] = {}
        self._unseen: dict[str, str] = opaque_modules(model)
        self._running: list[tuple[nn.Module, str]] = []
        self._uses: dict[tuple[str, str], int] = {}
        self._batch: int | None = None
        self._expected: int | None = None
        self._ignored = False
        self._lines = Lineages(model)
        self._recent: list[Applied] = []
        self._rectifiers: set[tuple[str, str]] = set()
        """Path and function of what was found to be relu."""
        self._roles: dict[Key, str] = {}
        self._experts = ExpertsSeen(model)
        self._thread = 0
        self._scratch = Scratch()
        self._kept: contextlib.ExitStack | None = None

    def __enter__(self) -> Self:
        """Begin to watch, or go on after an earlier `with`.

        Raises:
            ActcompareError: It has begun already.
        """
        if self._kept is not None:
            raise ActcompareError(
                "this watch is already active: make another with watch(model), or leave this one"
                " first"
            )
        self._thread = threading.get_ident()
        with contextlib.ExitStack() as kept:
            kept.callback(register_module_forward_pre_hook(self._begin).remove)
            kept.callback(register_module_forward_hook(self._end, always_call=True).remove)
            kept.enter_context(eager())
            for own in self._own:
                kept.enter_context(patched(own, self.model, self._see_own))
            kept.enter_context(_Mode(self))
            self._kept = kept.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.clear()
        self._recent.clear()
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.close()

    @contextlib.contextmanager
    def taking(self, samples: int) -> Iterator[None]:
        """Say how many samples each pass within the context has, whatever its arguments are."""
        self._expected = samples
        try:
            yield
        finally:
            self._expected = None

    def every(self, steps: int, *, window: int = 1, log: object = None) -> "Windows":
        """Return a context that measures some training passes, for a loop of your own.

            with actcompare.watch(model).every(100, log=writer):
                for x, y in loader:
                    ...

        Args:
            steps: Of so many passes in training mode, the last ones are measured and reported.
            window: How many; their statistics are reported together, and begin anew.
            log: Where numbers go: a list, a function log(numbers, step), TensorBoard's
                SummaryWriter, or a logger with `log_metrics` or `log` (MLflow, W&B, trackio).

        Raises:
            UsageError: The window does not fit, or nothing can be logged to `log`.
        """
        from actcompare.models.loops.windows import Windows

        return Windows(self, steps, window, log)

    def begin(self, args: tuple[Any, ...]) -> None:
        """Begin a pass of the model, whose own call came before this watch was entered."""
        self._begin(self.model, args)

    def take(self) -> tuple[WatchedLayer, ...]:
        """Return the layers seen so far, and forget them."""
        layers = self.layers
        self._seen.clear()
        self.passes = self.samples = 0
        return layers

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle to None: a copy of a model that holds its watch is not watched."""
        return type(None), ()

    @property
    def layers(self) -> tuple[WatchedLayer, ...]:
        """The uses of activations seen so far, in the order of their first call."""
        return tuple(
            WatchedLayer(*key, seen.units.statistics(), self._roles.get(key, UNIT))
            for key, seen in self._seen.items()
            if name_of(*key) not in self._unseen
        )

    @property
    def unseen(self) -> tuple[Unseen, ...]:
        """What is or may be an activation, but could not be watched."""
        found = self._unseen | self._scripted() | self._experts.without_tokens()
        return tuple(Unseen(where, why) for where, why in found.items())

    def _scripted(self) -> dict[str, str]:
        """Return the scripted functions of modules that ran, but for those judged as a whole."""
        return {
            name_of(self._paths[module][0], name, 1): "scripted: torch runs it without Python"
            for module in self._experts.ran
            if self._whole.get(module) is None
            for name in scripted_functions(module)
        }

    @property
    def never_called(self) -> tuple[str, ...]:
        """SPECs of the watched users' functions that were never called."""
        return tuple(own.spec for own in self._own if not own.calls)

    def columns(self) -> Table:
        """Return tidy columns: one record per use of an activation."""
        return layer_columns(self.layers)

    def frame(self) -> "pd.DataFrame":
        """Return the tidy records as a DataFrame."""
        return self.columns().frame()

    # --- which module is running -----------------------------------------------------------------

    def _begin(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        if not self._watches(module):
            return
        if not self._running:
            # torch.utils.checkpoint recomputes passes for the backward pass: ignore those.
            self._ignored = torch._C._current_graph_task_id() != -1
            with self._aside():
                self._begin_pass(args)
        path, *others = self._paths[module]
        if others:  # used in several places: take the one within the caller
            within = f"{self._running[-1][1]}." if self._running else ""
            path = next((name for name in (path, *others) if name.startswith(within)), path)
        self._running.append((module, path))
        self._experts.ran.add(module)
        for own in self._own:
            if own.is_module(module) and not self._ignored and args:
                own.before(module, args[0])
        whole = self._whole_of(module, args)
        if whole is not None:
            whole.before(module, args[0])

    def _watches(self, module: nn.Module) -> bool:
        return module in self._paths and not unwatched() and threading.get_ident() == self._thread

    def _begin_pass(self, args: tuple[Any, ...]) -> None:
        if not self._ignored:
            self.passes += 1
            self._uses.clear()
            self._recent.clear()
            self._lines.begin(self.model)
            self._batch = self._expected
            if self._batch is None:
                self._batch = samples_of(args, _keywords())
            self.samples += self._batch or 0
            self.trained |= bool(self.model.training)

    def _end(self, module: nn.Module, _: object, result: object) -> None:
        if not self._watches(module):
            return
        for own in self._own:
            if own.is_module(module) and not self._ignored:
                z = own.after(module)
                if z is not None and isinstance(result, Tensor):
                    self._see_own(own, z, result, module.forward, module)
        whole = self._whole.get(module)
        if whole is not None and not self._ignored:
            z = whole.after(module)
            if z is not None and isinstance(result, Tensor):
                self._see_whole(whole, z, result)
        while self._running:
            if self._running.pop()[0] is module:
                break
        if not self._running:
            self._recent.clear()  # it would keep tensors of the pass

    def _whole_of(self, module: nn.Module, args: tuple[Any, ...]) -> Whole | None:
        """Return the activation that a module is as a whole, found at its first call."""
        if module not in self._whole:
            z = args[0] if len(args) == 1 else None
            if not isinstance(z, Tensor) or not z.is_floating_point() or z.dim() == 0:
                return None
            if self._ignored or any(own.is_module(module) for own in self._own):
                return None
            if not may_be_whole(module):
                self._whole[module] = None
                return None
            with self._aside():
                self._whole[module] = whole_of(module, plain(z))
        return None if self._ignored or not args else self._whole.get(module)

    def _see_whole(self, whole: Whole, z: Tensor, a: Tensor) -> None:
        """Record a call of a module that is an activation as a whole."""
        if not self._running or unwatched():
            return
        if whole.use == "relu":
            self._record("relu", a, None)
            return
        slope, module = None, self._running[-1][0]
        kept = contextlib.nullcontext() if whole.known else left_as_it_was(module)
        with self._aside(whole.use, "its slope fails"), kept:
            some = self._thinned(z, self._lines.of(a))
            slope = slope_of(whole.function, some, whole.name, whole.given)
        if slope is not None:
            self._record(whole.use, a, slope)

    # --- which activations it calls --------------------------------------------------------------

    def call(
        self, called: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """Make a call of torch unchanged, and record it if it is an activation."""
        if not self._running or self._ignored or unwatched():
            return called(*args, **kwargs)
        known = self._known.get(called)
        name = _name(called) if known is None else known if isinstance(known, str) else known.name
        whole = self._whole.get(self._running[-1][0])  # a leaf: it is what runs, if it runs
        if (whole is not None and whole.running) or any(own.running for own in self._own):
            result = called(*args, **kwargs)
            self._follow(name, called, args, kwargs, result)
            return result
        if isinstance(known, Known):
            return self._activate(known, called, args, kwargs)
        gated = None
        if name in MULTIPLIES:
            with self._aside(name, "a product with an activation fails"):
                gated = self._gated(args, kwargs)
        result = called(*args, **kwargs)
        self._follow(name, called, args, kwargs, result)
        if gated is not None:
            self._record(gated.use, result, gated.slope)
        elif name in RECTIFYING:
            rectifies = False
            with self._aside():
                known_one = (self._path, name) in self._rectifiers
                rectifies = is_rectifier(name, args, kwargs, result, known_one)
            if rectifies:
                self._rectifiers.add((self._path, name))
                self._record("relu", result, None)
        elif known is not None:
            self._note(name, args, kwargs, result)
        return result

    def _activate(
        self, known: Known, called: Callable[..., Any], args: tuple[Any, ...], kwargs: Any
    ) -> Any:
        """Make a call of an activation, and record it."""
        use, slope, z = "", None, None
        of_output, of_weights = None, False
        with self._aside(known.name, "its slope fails"):  # before: it may overwrite its input
            if found := read_call(known, args, kwargs):
                if not known.is_relu:
                    of_output = FROM_OUTPUT.get(known.name)
                    if of_output is None:
                        some = self._thinned(found.z, self._lines.of(found.z))
                        slope = slope_of(found.function, some, known.name, found.given)
                use, z = found.use, None if found.as_it_is else found.z.detach()
                of_weights = self._lines.is_of_weights(found.z)
        result = called(*args, **kwargs)
        self._follow(known.name, called, args, kwargs, result)
        if use and of_output is not None:
            with self._aside(use, "its slope fails"):
                some = self._thinned(result, self._lines.of(result))
                slope = slope_by(of_output, plain(some), {})
        if use and (known.is_relu or slope is not None):
            keys = self._record(use, result, slope, z)
            self._roles |= dict.fromkeys(keys if of_weights else (), WEIGHT)
        return result

    def _follow(
        self, name: str, called: Callable[..., Any], args: tuple[Any, ...], kwargs: Any, result: Any
    ) -> None:
        """Carry the axis of units from the arguments of a call to its result."""
        if isinstance(result, Tensor | tuple | list):
            with self._aside():
                self._lines.after(name, called, args, kwargs, result)

    def _gated(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Gated | None:
        """Return what a product of two tensors is if one is an activation's output."""
        found = product_of(args, kwargs, self._lines, self._recent, self._thinned)
        if found is None:
            return None
        self._roles |= dict.fromkeys(found.gate, GATE)
        return found if found.use else None

    def _note(self, name: str, args: tuple[Any, ...], kwargs: Any, result: Any) -> None:
        """Record other calls that matter: those that hide activations, or tell what one is for."""
        if name in _GATED:
            self._unseen[self._path or "(model)"] = (
                f"the gates of {name.removesuffix('_cell')}, which torch computes in one call"
            )
        elif name == "glu":
            with self._aside("glu", "its slope fails"):
                gate, slope, product_slope = gate_of_glu(*args, **kwargs)
                line = self._lines.of(result)
                self._lines.after("sigmoid", torch.sigmoid, (result,), {}, gate)
                slope, product_slope = (self._thinned(t, line) for t in (slope, product_slope))
                self._roles |= dict.fromkeys(self._record("sigmoid", gate, slope), GATE)
                self._record("glu", result, product_slope)
        elif name in _CHOOSES and args:
            chosen = self._lines.of(args[0])
            if chosen is not None and chosen.source is not None:
                self._roles |= dict.fromkeys(chosen.source, ROUTER)

    @property
    def _path(self) -> str:
        return self._running[-1][1]

    def _see_own(
        self,
        own: Own,
        z: Tensor,
        a: Tensor,
        function: Callable[[Tensor], Tensor],
        module: nn.Module | None,
    ) -> None:
        """Record a call of a user's function, which for its slope is called once more."""
        if not self._running or self._ignored or unwatched():
            return
        slope = None
        with self._aside(own.use, "its slope fails"):
            if a.shape != z.shape:
                self._unseen[name_of(self._path, own.use, 1)] = (
                    f"not elementwise: shape {tuple(z.shape)} in, {tuple(a.shape)} out"
                )
                return
            with left_as_it_was(*() if module is None else (module,)):
                slope = slope_of(function, self._thinned(z, self._lines.of(a)))
        if slope is not None:
            self._record(own.use, a, slope)

    def _aside(self, use: str | None = None, what: str = "", number: int = 1) -> Aside:
        """Return a context to measure in, without harm to the model's run if that fails.

        Args:
            use: What is listed as unseen on a failure.
            what: What failed.
            number: Index of this use in a forward pass, from 1.
        """

        def failed(error: Exception) -> None:
            if use is not None:
                self._unseen[name_of(self._path, use, number)] = f"{what}: {describe(error)}"

        return Aside(failed)

    def _record(self, use: str, a: Any, slope: Tensor | None, z: Tensor | None = None) -> Source:
        """Add a call to the statistics, and return its keys."""
        module, path = self._running[-1]
        use, keys = self._labels.get(module, use), list[Key]()
        with self._aside(use, "cannot be measured", self._uses.get((path, use), 0) + 1):
            if not a.is_floating_point():
                return ()
            line, whole = self._lines.of(a), a
            a = self._thinned(plain(a.detach()), line)
            samples = len(a) if a.dim() and len(whole) == self._batch else self._batch
            flat = line
            if line is not None and len(line.axes) > 1:  # features that were split, as into heads
                axes = range(-len(line.axes), 0)
                a = a.movedim(line.axes, tuple(axes)).flatten(axes[0])
                if slope is not None:
                    slope = slope.movedim(line.axes, tuple(axes)).flatten(axes[0])
                flat = line._replace(axes=(-1,))
            if line is None or line.expert is None:
                keys.append(self._next(path, use))
                self._add(keys[0], a, slope, flat, samples)
            else:
                for expert, rows in self._lines.experts(line):
                    keys.append(self._next(f"{path}[{expert}]", use))
                    of_expert = a if rows is None else a[rows]
                    self._add(keys[-1], of_expert, _part(slope, rows), flat, samples)
                    self._experts.saw(path, use, expert)
            self._applied(tuple(keys), whole, slope, z, line)
        return tuple(keys)

    def _next(self, path: str, use: str) -> Key:
        """Return the key of the next call of an activation in this pass."""
        number = self._uses[path, use] = self._uses.get((path, use), 0) + 1
        return path, use, number

    def _applied(
        self, keys: Source, a: Tensor, slope: Tensor | None, z: Tensor | None, line: Lineage | None
    ) -> None:
        """Note that a tensor is an activation's output, until something multiplies it."""
        if line is not None and line.scores:
            self._roles |= dict.fromkeys(keys, ATTENTION)
        elif keys and keys[0][1].startswith("clamp") and _bounds(keys[0][1], a, line):
            self._roles |= dict.fromkeys(keys, BOUND)
        if line is None and a.dim():
            axis = self._axis(a, None) if a.dim() > 1 else -1
            line = self._lines.new((axis - a.dim() if axis >= 0 else axis,), a)
        if line is not None:
            self._lines.keep(a, line._replace(fresh=False, source=keys))
            self._recent = [each for each in self._recent if each.a() is not None]
            self._recent.append(Applied(weakref.ref(a), z, slope))

    def _add(
        self, key: Key, a: Tensor, slope: Tensor | None, line: Lineage | None, samples: int | None
    ) -> None:
        """Add a call of an activation to the statistics of its units."""
        if a.numel() == 0:
            return
        seen = self._seen.get(key)
        if seen is None or seen.row != a.shape[1:]:
            seen = self._place(key, a, seen, line)
            if seen is None:
                return
            self._seen[key] = seen
        if len(seen.row) == 0:
            a = _with_samples(a, line)
            slope = None if slope is None else _with_samples(slope, line)
        seen.units.update(a, slope, axis=seen.axis, samples=samples)

    def _thinned(self, t: Tensor, line: Lineage | None) -> Tensor:
        """Return what is measured of a tensor: all, or each n-th sample or position."""
        axis = self._thinning(t, line) if self._every > 1 and t.dim() > 1 else None
        if axis is None:
            return t
        start = self.passes % self._every  # so that many passes see every place in a batch
        some = t[(slice(None),) * axis + (slice(start, None, self._every),)]
        return some if axis == 0 else some.contiguous()  # or torch's kernels would be slow

    def _thinning(self, t: Tensor, line: Lineage | None) -> int | None:
        """Return the axis of samples, or else of positions, that is long enough to be thinned."""
        known = line.axes if line is not None and self.unit_dim is None else ()
        known = known or (self._axis(t, line),)
        units = {axis % t.dim() for axis in known}
        axes = range(t.dim()) if line is None or line.expert is None else range(1, t.dim())
        return next((i for i in axes if i not in units and t.shape[i] >= 2 * self._every), None)

    def _place(
        self, key: Key, a: Tensor, before: _Seen | None, line: Lineage | None
    ) -> _Seen | None:
        """Return the statistics with the axis of the units; None if the number of units changed."""
        axis = self._axis(a, line)
        units = _with_samples(a, line).shape[1] if a.dim() < 2 else a.shape[axis]
        if before is None:
            return _Seen(UnitAccumulator(units, self.eps, self._scratch), axis, a.shape[1:])
        if before.units.units != units:
            self._unseen[name_of(*key)] = (
                f"axis {axis} had {before.units.units} units and then {units}: choose the axis"
                " with --unit-dim (unit_dim=)"
            )
            return None
        return before._replace(axis=axis, row=a.shape[1:])

    def _axis(self, a: Tensor, line: Lineage | None) -> int:
        """Return the axis of the units: that of the layer which computed the pre-activations."""
        if a.dim() < 2:
            return 1
        if self.unit_dim is not None:
            a.size(self.unit_dim)  # raises IndexError if there is no such axis
            return self.unit_dim
        if line is not None and line.axes:
            return line.axes[-1]
        return -1 if a.dim() <= 3 else 1


def _part(slope: Tensor | None, rows: Tensor | None) -> Tensor | None:
    return slope if slope is None or rows is None else slope[rows]


def _bounds(use: str, a: Tensor, line: Lineage | None) -> bool:
    """Return whether a clamp bounds what is activated already, or boxes, and is no activation."""
    if line is not None:
        return line.source is not None
    return "max=" in use or (a.dim() > 0 and a.shape[-1] <= 4)


def _with_samples(a: Tensor, line: Lineage | None) -> Tensor:
    """Reshape one axis to two: the units of one sample, or the samples of one unit."""
    of_units = a.dim() == 1 and line is not None and line.axes
    return a[None] if of_units else a.reshape(-1, 1)


@cache
def _name(called: Callable[..., Any]) -> str:
    """Return the name of a function of torch; of a property for the call that reads it."""
    name = getattr(called, "__name__", "")
    return getattr(called.__self__, "__name__", "") if name == "__get__" else name  # type: ignore[attr-defined]


def _keywords() -> Mapping[str, Any]:
    """Return the keyword arguments of the module call whose global hook calls our caller.

    Torch passes them to no hook for all modules; they stand in the frame that calls the hook.
    """
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename != _MODULE_FILE:
        frame = frame.f_back  # type: ignore[assignment]
    found = frame.f_locals.get("kwargs") if frame is not None else None
    return found if isinstance(found, dict) else {}


_MODULE_FILE = nn.Module.__call__.__code__.co_filename


@cache
def _known_calls() -> dict[Any, Known | str]:
    """Return every call of torch that matters: activations, and others by name."""
    found: dict[Any, Known | str] = {}
    for name in (*LAYERS, *_GATED, *_CHOOSES, "glu", *RECTIFYING):
        for holder in (nn.functional, torch, torch.Tensor, torch._C._nn):
            if called := getattr(holder, name, None):
                found[called] = name
    return found | known_calls()


class _Mode(TorchFunctionMode):
    """A mode that passes every call of torch to a watch."""

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch

    def __exit__(self, *_: object) -> None:
        """Leave the stack of modes, from wherever others entered meanwhile have left this one."""
        set_function_modes([mode for mode in function_modes() if mode is not self])

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return self._watch.call(func, args, kwargs or {})


def watch(
    model: nn.Module,
    *,
    own: Sequence[str] = (),
    unit_dim: int | None = None,
    eps: float = EPS,
    every: int = 1,
) -> Watch:
    """Watch the activations of a model in your own loop.

        with actcompare.watch(model) as units:
            for x, _ in loader:
                model(x)
        units.frame()

    The model is not changed, and training goes on to the bit as without. Memory grows with the
    number of units, not of samples. For the verdicts of `inspect_model`, use `eval()`
    mode and `torch.no_grad()`. Calls in other threads or outside a module's forward pass are not
    seen. A function in `own` is called once more for its slope, with random numbers of its own.

    Args:
        model: The model; one compiled by torch.compile runs uncompiled.
        own: A user's elementwise functions or modules to watch, as `module:Name` or `file.py:Name`.
        unit_dim: Axis of the units; by default the columns of linear layers, the channels of
            convolutions, and the last axis of sequences.
        eps: Largest |f'| that counts as flat.
        every: Measure each n-th sample of a batch, or in a small batch each n-th position in space
            or time; which ones changes from pass to pass.

    Raises:
        UsageError: The model is no torch.nn.Module.
        ActcompareError: A function in `own` does not exist.
    """
    if not isinstance(model, nn.Module):
        raise UsageError(f"watch takes a torch.nn.Module, not {type(model).__name__}")
    if every < 1:
        raise UsageError(f"every must be at least 1, not {every}")
    return Watch(model, own=own, unit_dim=unit_dim, eps=eps, every=every)
