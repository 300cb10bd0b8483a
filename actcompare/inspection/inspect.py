"""Inspect a user's model on their data: which units are dead, and what a swap would change."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from actcompare.activations.user_code import users_code
from actcompare.errors import ActcompareError
from actcompare.inspection.explain import describe_inspection
from actcompare.inspection.records import InspectConfig, Settings, WhatIf
from actcompare.machine.devices import resolve_device, resolve_dtype
from actcompare.machine.environment import Environment, describe_environment
from actcompare.machine.processors import free_threads, threads_for
from actcompare.models.feed import Inputs, cut, prepare, select, slices
from actcompare.models.load import check_made
from actcompare.models.places import module_paths
from actcompare.models.state import left_as_it_was
from actcompare.models.swap import Swap, Swaps, swap_activations, swaps_of_calls
from actcompare.models.watching.gated import is_product
from actcompare.models.watching.records import Unseen, WatchedLayer, layer_columns, total_of
from actcompare.models.watching.watch import Watch, watch
from actcompare.table import Table, Tabular
from actcompare.units.statistics import SHARES, VERDICTS

if TYPE_CHECKING:
    import pandas as pd


NUMBERS = (*VERDICTS, *SHARES, "sparsity", "near_zero", "mean", "variance", "not_finite", "samples")
"""The columns that `--fail-on` can test in each layer of units."""

_EMPTY = 1000
"""Empty batches in a row after which data are taken for endless."""


@dataclass(frozen=True)
class Inspection(Tabular):
    """The units of a model as seen on some samples."""

    config: InspectConfig
    environment: Environment
    layers: tuple[WatchedLayer, ...] = field(repr=False)
    """The uses of activations, in the order of their first call."""
    unseen: tuple[Unseen, ...]
    never_called: tuple[str, ...]
    samples: int
    what_if: WhatIf | None = None

    @cached_property
    def table(self) -> Table:
        """Tidy columns: one record per use of an activation, and per `run` if there was a swap."""
        own = layer_columns(self.layers)
        if self.what_if is None:
            return own
        other = layer_columns(self.what_if.layers)
        runs = ["as it is"] * len(self.layers) + ["swapped"] * len(self.what_if.layers)
        return Table({"run": runs} | {name: [*own[name], *other[name]] for name in own})

    def unit_columns(self) -> dict[str, list[Any]]:
        """Return tidy columns: one record per unit of each use of an activation."""
        parts = [layer.unit_columns() for layer in self.layers]
        return {name: [v for part in parts for v in part[name]] for name in parts[0]}

    def units(self) -> "pd.DataFrame":
        """Return the records of all units as a DataFrame."""
        import pandas as pd

        return pd.DataFrame(self.unit_columns())

    def total(self) -> dict[str, Any]:
        """Return the totals over all layers."""
        return total_of(self.layers)

    def reading(self) -> str:
        """Describe which units are dead, and what to try."""
        return describe_inspection(
            self.layers,
            self.samples,
            self.what_if,
            self.unseen,
            self.never_called,
            self.config.every,
        )


Batches = Tensor | npt.NDArray[Any] | Iterable[Any]
"""Samples in one tensor or array, or an iterable of batches, such as a DataLoader."""

Progress = Callable[[int], None]


def threads_for_model(model: nn.Module, batch_size: int) -> int:
    """Choose torch's number of threads for a model that runs on batches of that size.

    Only the work of linear layers follows from their weights. Convolutions, recurrent layers,
    attention and a user's own use theirs at many positions, and count as large.
    """
    flops = elements = 0.0
    for module in model.modules():
        for weight in module.parameters(recurse=False):
            if weight.device.type == "cpu" and weight.dim() > 1:
                flops = max(flops, 2.0 * batch_size * weight.numel())
                elements = max(elements, float(batch_size * len(weight)))
                if not isinstance(module, nn.Linear):
                    return free_threads()
    return threads_for(flops, elements)


def inspect_model(
    model: nn.Module, batches: Batches, *, progress: Progress | None = None, **settings: Any
) -> Inspection:
    """Run a model over batches in `eval()` mode without gradients, and judge each of its units.

    The model is left as it was, to the bit, whatever its own code does and even if it raises:
    weights, buffers, modes, hooks, gradients and attributes. So are the samples, the generators of
    random numbers, and the settings of torch and numpy. A copy of the weights is kept meanwhile.

    Args:
        model: Any module, on any device.
        batches: A tensor or array of shape (sample, ...), or an iterable of batches. A batch is a
            tensor, a tuple (passed up to the number of arguments that `forward` requires), or a
            mapping (passed as keyword arguments).
        progress: Called with the number of samples so far after each batch.
        settings: Samples, device, eps, swap ...: the fields of
            `actcompare.inspection.records.Settings`.

    Raises:
        UsageError: It is ambiguous which parts of a batch the model takes, or a setting is wrong.
        ActcompareError: The model or the data fail, a sample holds NaN, or nothing can be watched.
    """
    return inspect_named(model, "model", batches, "data", Settings(**settings), progress)


def inspect_named(
    model: nn.Module,
    name: str,
    batches: Batches,
    source: str,
    settings: Settings,
    progress: Progress | None = None,
) -> Inspection:
    """Inspect a model as `inspect_model` does, with names of the model and the data."""
    if isinstance(batches, Tensor | np.ndarray):
        if batches.ndim == 0:
            raise ActcompareError(f"{source} holds a single number, not samples")
        batches = slices(batches, settings.batch_size)
    swap = settings.swap or {}
    with left_as_it_was(model):
        with users_code(f"{name} cannot be prepared"):
            check_made(model)
            _evaluating(model)
            here, number = _move(model, settings.device, settings.dtype)
            twin, swaps = swap_activations(model, swap) if swap else (None, ())
        other = _watch(twin, settings) if twin is not None else None
        with _watch(model, settings) as seen:
            total = 0
            for inputs in _inputs(model, batches, source, settings, (here, number)):
                if twin is not None and other is not None:
                    with other, other.taking(inputs.samples):
                        _run(twin, _copied(inputs), f"{name} with swapped activations")
                with seen.taking(inputs.samples):
                    _run(model, inputs, name)
                total += inputs.samples
                if progress is not None:
                    progress(total)
    if total == 0:
        raise ActcompareError(f"{source} holds no samples")
    result = Inspection(
        config=_config(name, source, settings, here, number),
        environment=describe_environment(here),
        layers=seen.layers,
        unseen=seen.unseen,
        never_called=seen.never_called,
        samples=total,
        what_if=None if other is None else _what_if(swap, swaps, seen, other),
    )
    if not result.layers:
        raise ActcompareError(_nothing_seen(result))
    return result


def _watch(model: nn.Module, settings: Settings) -> Watch:
    return watch(
        model, own=settings.own, unit_dim=settings.unit_dim, eps=settings.eps, every=settings.every
    )


def _inputs(
    model: nn.Module,
    batches: Iterable[Any],
    source: str,
    settings: Settings,
    place: tuple[torch.device, torch.dtype],
) -> Iterator[Inputs]:
    """Yield the model's inputs batch by batch, up to the largest number of samples."""
    total, most, empty = 0, settings.samples, 0
    for batch in batches:
        with users_code(f"{source}: a batch cannot be used"):
            args, kwargs = select(batch, model, settings.input_index, settings.input_key)
            if most is not None:
                args, kwargs = cut(args, kwargs, most - total)
            inputs = prepare(args, kwargs, *place, name=source, before=total)
        total += inputs.samples
        empty = 0 if inputs.samples else empty + 1
        if empty > _EMPTY:
            raise ActcompareError(f"{source} yields batch after batch without a sample")
        if inputs.samples:
            yield inputs
        if most is not None and total >= most:
            return


def _config(
    name: str, source: str, settings: Settings, device: torch.device, dtype: torch.dtype
) -> InspectConfig:
    return InspectConfig(
        model=name,
        data=source,
        samples=settings.samples,
        batch_size=settings.batch_size,
        device=str(device),
        dtype=str(dtype).removeprefix("torch."),
        input_index=tuple(settings.input_index),
        input_key=tuple(settings.input_key),
        watch=tuple(settings.own),
        unit_dim=settings.unit_dim,
        eps=settings.eps,
        every=settings.every,
        swap={old: _label(new) for old, new in (settings.swap or {}).items()},
    )


def _what_if(swap: Swaps, done: tuple[Swap, ...], seen: Watch, other: Watch) -> WhatIf:
    before, after = (
        [layer.name for layer in run.layers if not is_product(layer.use)] for run in (seen, other)
    )
    swaps = [*done, *swaps_of_calls(swap, done, before, after)]
    uses = {part for layer in seen.layers for part in (layer.use, layer.use.partition(":")[0])}
    missing = [old for old in swap if old not in uses and not any(s.old == old for s in swaps)]
    swaps += [Swap(old, old, "", "the model does not call it") for old in missing]
    return WhatIf(other.layers, tuple(swaps))


def _nothing_seen(result: Inspection) -> str:
    why = "; ".join(map(str, result.unseen))
    called = f"; {', '.join(result.never_called)} was never called" * bool(result.never_called)
    return (
        f"{result.config.model} calls no activation that can be watched"
        f"{f' ({why})' if why else ''}{called}: name your own with --watch module:Name"
    )


def _label(new: object) -> str:
    return str(getattr(new, "label", None) or getattr(new, "__name__", None) or new)


def _run(model: nn.Module, inputs: Inputs, name: str) -> None:
    shapes = [
        str(tuple(value.shape))
        for value in (*inputs.args, *inputs.kwargs.values())
        if isinstance(value, Tensor) and not value.is_nested
    ]
    with users_code(f"{name} fails on a batch of {', '.join(shapes)}"), torch.no_grad():
        model(*inputs.args, **inputs.kwargs)


def _copied(inputs: Inputs) -> Inputs:
    def copied(value: Any) -> Any:
        return value.clone() if isinstance(value, Tensor) else value

    args = tuple(copied(value) for value in inputs.args)
    return Inputs(args, {k: copied(v) for k, v in inputs.kwargs.items()}, inputs.samples)


def _move(
    model: nn.Module, device: str | None, dtype: str | None
) -> tuple[torch.device, torch.dtype]:
    """Move the model if asked to, and return its device and dtype."""
    weights = [*model.parameters(), *model.buffers()]
    floats = [p for p in weights if p.is_floating_point()]
    here = weights[0].device if weights else torch.device("cpu")
    number = floats[0].dtype if floats else torch.float32
    if device is not None and resolve_device(device) != here:
        here = resolve_device(device)
        model.to(here)
    if dtype is not None:
        _, number = resolve_dtype(dtype)
        model.to(number)
    return here, number


def _evaluating(model: nn.Module) -> None:
    """Put a model into `eval()` mode, by its own method if that works."""
    try:
        model.eval()
    except Exception:  # a user's own `eval` or `train`
        for _, module in module_paths(model):
            if isinstance(module, torch.jit.ScriptModule):
                module.training = False
            else:
                vars(module)["training"] = False
