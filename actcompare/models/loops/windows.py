"""Statistics of units at intervals of a training loop, for any logger."""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol, Self

from torch import nn

from actcompare.errors import ActcompareError, UsageError
from actcompare.models.watching.records import WatchedLayer, layer_columns, total_of
from actcompare.table import Table
from actcompare.units.wording import UNIT

Log = Callable[[Mapping[str, float], int], object]
"""Takes numbers by name, and the number of the training pass."""

_SHARES = ("zero_dead", "gradient_dead", "saturated")


class Watching(Protocol):
    """What is asked of a `Watch`, which imports this module."""

    model: nn.Module

    def __enter__(self) -> object: ...

    def __exit__(self, *_: object) -> None: ...

    def begin(self, args: tuple[Any, ...]) -> None:
        """Begin a pass."""

    def take(self) -> tuple[WatchedLayer, ...]:
        """Return the layers seen, and forget them."""


class Windows(contextlib.AbstractContextManager["Windows"]):
    """A context that measures some of a model's training passes; see `Watch.every`.

    Between them the model runs as without it, compiled if it is; only passes are counted.
    """

    def __init__(self, watch: Watching, every: int, window: int, log: object) -> None:
        if not 1 <= window <= every:
            raise UsageError(f"a window of {window} passes does not fit every {every} passes")
        self._watch, self._every, self._window = watch, every, window
        self._log = None if log is None else sink_of(log)
        self._kept: contextlib.ExitStack | None = None
        self._open = False
        self.passes = 0
        """Passes in training mode so far."""
        self.history: list[tuple[int, tuple[WatchedLayer, ...]]] = []
        """The number of the last pass of each window, and the layers over the window."""

    def __enter__(self) -> Self:
        """Count the model's passes in training mode from now on."""
        if self._kept is not None:
            raise ActcompareError("these windows are open already: leave them first")
        model = self._watch.model
        with contextlib.ExitStack() as kept:
            before, after = _Hook(self._before), _Hook(self._after)
            kept.callback(model.register_forward_pre_hook(before, prepend=True).remove)
            kept.callback(model.register_forward_hook(after, always_call=True).remove)
            kept.callback(self._close)
            self._kept = kept.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.close()

    def _before(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        if module.training:
            self.begin(*args)

    def _after(self, *_: object) -> None:
        self.end()

    def begin(self, *args: Any) -> None:
        """Begin a pass, as the model's call does; for loops that call its parts.

        Args:
            args: What the model is called with, for the number of samples.
        """
        if self._open:
            return
        self.passes += 1
        if (self.passes - 1) % self._every >= self._every - self._window:
            self._watch.__enter__()
            self._open = True
            self._watch.begin(args)

    def end(self) -> None:
        """End a pass, before its gradients are computed."""
        if not self._open:
            return
        self._close()
        if self.passes % self._every == 0:
            layers = self._watch.take()
            self.history.append((self.passes, layers))
            if self._log is not None:
                self._log(numbers_of(layers), self.passes)

    def _close(self) -> None:
        if self._open:
            self._open = False
            self._watch.__exit__(None, None, None)

    def columns(self) -> Table:
        """Return tidy columns: one record per window and layer."""
        return Table.of(
            [
                {"pass": number} | record
                for number, layers in self.history
                for record in layer_columns(layers).records
            ]
        )


class _Hook:
    """A hook that does nothing in copies of the model, or when the model is loaded again."""

    def __init__(self, call: Callable[..., None] | None = None) -> None:
        self._call = call

    def __call__(self, *args: Any) -> None:
        if self._call is not None:
            self._call(*args)

    def __reduce__(self) -> tuple[Any, ...]:
        return _Hook, ()


def numbers_of(layers: tuple[WatchedLayer, ...]) -> dict[str, float]:
    """Return what is logged: shares of units by layer, and over all of them."""
    found: dict[str, float] = {}
    for layer in layers:
        if layer.role == UNIT:
            row, name = layer.row(), f"units/{layer.name.replace(' / ', '.')}"
            found |= {f"{name}/{key}_share": row[key] / layer.units for key in _SHARES}
            found |= {f"{name}/{key}": row[key] for key in ("sparsity", "near_zero", "mean")}
    total = total_of(layers)
    return found | {f"units/{key}_share": total[f"{key}_share"] for key in _SHARES}


def sink_of(target: object) -> Log:
    """Return what logs to a target.

    Args:
        target: A list; a function of numbers by name and a step; TensorBoard's SummaryWriter; or
            what has `log_metrics` (MLflow, a logger of Lightning) or `log` (a run of W&B, trackio).

    Raises:
        UsageError: It is none of these.
    """
    if isinstance(target, list):
        rows: list[Any] = target
        return lambda row, step: rows.append({"step": step, **row})
    writes: Any = target
    if hasattr(target, "add_scalar"):

        def write(row: Mapping[str, float], step: int) -> None:
            for name, value in row.items():
                writes.add_scalar(name, value, step)

        return write
    for name in ("log_metrics", "log"):
        if hasattr(target, name):
            return lambda row, step: getattr(writes, name)(dict(row), step=step)
    if callable(target):
        return target
    raise UsageError(
        f"log is of type {type(target).__name__}: give a list, a function log(numbers, step), a"
        " SummaryWriter, or a logger with log or log_metrics"
    )
