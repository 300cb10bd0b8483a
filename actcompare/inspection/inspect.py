"""A user's own model on their data: which of its units are dead, and what if they were others."""

import contextlib
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from actcompare.activations.user_code import users_error
from actcompare.errors import ActcompareError, UsageError
from actcompare.inspection.explain import describe_inspection
from actcompare.inspection.records import InspectConfig, WhatIf
from actcompare.machine.devices import resolve_device, resolve_dtype
from actcompare.machine.environment import Environment, describe_environment
from actcompare.models.feed import Inputs, cut, prepare, select, slices
from actcompare.models.load import check_made
from actcompare.models.records import Unseen, WatchedLayer, layer_columns, total_of
from actcompare.models.swap import Swap, Swaps, swap_activations, swaps_of_calls
from actcompare.models.watch import Watch, watch
from actcompare.table import Table, Tabular
from actcompare.units.statistics import EPS, SHARES, VERDICTS

if TYPE_CHECKING:
    import pandas as pd


NUMBERS = (*VERDICTS, *SHARES, "sparsity", "mean", "variance", "not_finite", "samples")
"""What a gate can be set on, layer by layer."""


@dataclass(frozen=True)
class Inspection(Tabular):
    """What the units of a model do on some samples."""

    config: InspectConfig
    environment: Environment
    layers: tuple[WatchedLayer, ...] = field(repr=False)
    """In the order in which the model calls them."""
    unseen: tuple[Unseen, ...]
    never_called: tuple[str, ...]
    samples: int
    what_if: WhatIf | None = None

    @cached_property
    def table(self) -> Table:
        """Tidy columns: one record per use of an activation, with `run` where two were made."""
        own = layer_columns(self.layers)
        if self.what_if is None:
            return own
        other = layer_columns(self.what_if.layers)
        runs = ["as it is"] * len(self.layers) + ["swapped"] * len(self.what_if.layers)
        return Table({"run": runs} | {name: [*own[name], *other[name]] for name in own})

    def unit_columns(self) -> dict[str, list[Any]]:
        """Tidy columns: what was seen of each unit of each use of an activation."""
        parts = [layer.unit_columns() for layer in self.layers]
        return {name: [v for part in parts for v in part[name]] for name in parts[0]}

    def units(self) -> "pd.DataFrame":
        """What was seen of each unit as a DataFrame."""
        import pandas as pd

        return pd.DataFrame(self.unit_columns())

    def total(self) -> dict[str, Any]:
        """All layers together."""
        return total_of(self.layers)

    def reading(self) -> str:
        """In words: what is dead, and what to try."""
        return describe_inspection(
            self.layers, self.samples, self.what_if, self.unseen, self.never_called
        )


Batches = Tensor | npt.NDArray[Any] | Iterable[Any]
"""Samples in one tensor or array, or batches as a model or a loader has them."""

Progress = Callable[[int], None]


def inspect_model(
    model: nn.Module,
    batches: Batches,
    *,
    samples: int | None = None,
    batch_size: int = 64,
    device: str | None = None,
    dtype: str | None = None,
    input_index: Sequence[int] = (),
    input_key: Sequence[str] = (),
    own: Sequence[str] = (),
    unit_dim: int | None = None,
    eps: float = EPS,
    swap: Swaps | None = None,
    floats_only: bool = False,
    names: tuple[str, str] = ("model", "data"),
    progress: Progress | None = None,
) -> Inspection:
    """Run a model over batches in `eval()` mode without gradients, and judge every unit of it.

    The model is left as it was: modes, hooks, gradients, buffers, and so are the samples and the
    state of random number generators, also where the model raises.

    Args:
        model: any module, on any device.
        batches: a tensor or array of shape (sample, ...), or an iterable of batches. A batch is a
            tensor; a tuple, of which as many parts go in as `forward` must have; or a mapping,
            which goes in by names.
        samples: stop after so many.
        batch_size: samples in a batch, where a tensor or array was given.
        device: where to run it; where it is by default. Moved to another, it moves back.
        dtype: what to run it in; what its weights are by default.
        input_index: which parts of a tuple go in.
        input_key: which parts of a mapping go in.
        own: a user's own elementwise functions to watch, as `module:Name` or `file.py:Name`.
        unit_dim: the axis on which units lie; found out by default.
        eps: the |f'| up to which a slope counts as flat.
        swap: what if, such as `{"relu": "softplus"}`: run a copy with other activations too.
        floats_only: whether whole numbers go in as floating point.
        names: of model and data, for messages and the result.
        progress: told the number of samples after each batch.

    Raises:
        UsageError: it is open what of a batch goes in, or an option is wrong.
        ActcompareError: the model or the data fail, hold no number, or nothing can be watched.
    """
    name, data = names
    if batch_size < 1 or (samples is not None and samples < 1):
        raise UsageError("samples and batch_size must be at least 1")
    if not eps >= 0:
        raise UsageError(f"eps must be at least 0, not {eps}")
    check_made(model)
    if isinstance(batches, Tensor | np.ndarray):
        if batches.ndim == 0:
            raise ActcompareError(f"{data} holds a single number, not samples")
        batches = slices(batches, batch_size)
    with _as_it_was(model), contextlib.ExitStack() as kept:
        here, number = _move(model, device, dtype)
        twin, swaps = swap_activations(model, swap) if swap else (None, ())
        seen = kept.enter_context(watch(model, own=own, unit_dim=unit_dim, eps=eps))
        other = watch(twin, own=own, unit_dim=unit_dim, eps=eps) if twin is not None else None
        total = 0
        for batch in batches:
            if samples is not None and total >= samples:
                break
            part = batch if samples is None else cut(batch, samples - total)
            args, kwargs = select(part, model, input_index, input_key)
            inputs = prepare(
                args, kwargs, here, number, floats_only=floats_only, name=data, before=total
            )
            if inputs.samples == 0:
                continue
            if other is not None and twin is not None:
                with other:
                    _run(twin, _copied(inputs), f"{name} with swapped activations")
            _run(model, inputs, name)
            total += inputs.samples
            if progress is not None:
                progress(total)
        if total == 0:
            raise ActcompareError(f"{data} holds no sample")
        result = Inspection(
            config=InspectConfig(
                model=name,
                data=data,
                samples=samples,
                batch_size=batch_size,
                device=str(here),
                dtype=str(number).removeprefix("torch."),
                input_index=tuple(input_index),
                input_key=tuple(input_key),
                watch=tuple(own),
                unit_dim=unit_dim,
                eps=eps,
                swap={old: _label(new) for old, new in (swap or {}).items()},
            ),
            environment=describe_environment(here),
            layers=seen.layers,
            unseen=seen.unseen,
            never_called=seen.never_called,
            samples=total,
            what_if=None if other is None else _what_if(swap or {}, swaps, seen, other),
        )
    if not result.layers:
        raise ActcompareError(_nothing_seen(result))
    return result


def _what_if(swap: Swaps, done: tuple[Swap, ...], seen: Watch, other: Watch) -> WhatIf:
    before, after = ([layer.name for layer in run.layers] for run in (seen, other))
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
    try:
        with torch.no_grad():
            model(*inputs.args, **inputs.kwargs)
    except (Exception, SystemExit) as error:
        shapes = [
            str(tuple(value.shape))
            for value in (*inputs.args, *inputs.kwargs.values())
            if isinstance(value, Tensor)
        ]
        raise users_error(f"{name} fails on a batch of {', '.join(shapes)}", error) from error


def _copied(inputs: Inputs) -> Inputs:
    def copied(value: Any) -> Any:
        return value.clone() if isinstance(value, Tensor) else value

    args = tuple(copied(value) for value in inputs.args)
    return Inputs(args, {k: copied(v) for k, v in inputs.kwargs.items()}, inputs.samples)


def _move(
    model: nn.Module, device: str | None, dtype: str | None
) -> tuple[torch.device, torch.dtype]:
    """Where the model is and what it computes in, after it was moved there."""
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


@contextlib.contextmanager
def _as_it_was(model: nn.Module) -> Iterator[None]:
    """A model in `eval()` mode, and afterwards as it was, to the bit."""
    modes = [(module, module.training) for module in model.modules()]
    weights = [(p, p.data, p.grad) for p in model.parameters()]
    buffers = [
        (module, name, buffer, buffer.clone())
        for module in model.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    on_gpu = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    model.eval()
    for p in model.parameters():
        p.grad = None  # which moving the model would move in place
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        for p, values, gradient in weights:
            if (p.device, p.dtype) != (values.device, values.dtype):
                p.data = values
            p.grad = gradient
        for module, name, buffer, values in buffers:
            module._buffers[name] = buffer
            if not torch.equal(buffer, values):
                buffer.copy_(values)
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
        if on_gpu:
            torch.cuda.set_rng_state_all(on_gpu)
