"""Measure copies of a user's model side by side, in paired rounds."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from actcompare.activations.spec import Activation
from actcompare.activations.user_code import describe, users_code
from actcompare.benchmark.measure import Progress, compiler
from actcompare.benchmark.nets.copies import identity, make_copies
from actcompare.benchmark.nets.workloads import make_work, run_model, saved_bytes
from actcompare.benchmark.records import IDENTITY, BenchConfig, Case, Cost, Measurement
from actcompare.errors import ActcompareError
from actcompare.machine.allocator import allocator
from actcompare.machine.cuda import own_stream
from actcompare.machine.memory import free_memory, is_shortage, peak_allocation
from actcompare.machine.processors import torch_threads
from actcompare.machine.stopwatch import Work, stopwatch_for, timer_for
from actcompare.machine.timing import Timings, time_paired
from actcompare.models.feed import Inputs, prepare, samples_of, select
from actcompare.models.load import check_made, in_dtype
from actcompare.models.swap import copied
from actcompare.models.uses import activation_of
from actcompare.text import in_bytes


@dataclass(frozen=True)
class Net:
    """A user's model and a batch of its input."""

    name: str
    model: nn.Module
    batch: object
    """A tensor, tuple or mapping, as a DataLoader yields it."""

    def on(self, case: Case) -> tuple[nn.Module, Inputs]:
        """Return a copy of the model in a case's mode, and its input, both on the device."""
        weights = next((p for p in self.model.parameters() if p.is_floating_point()), None)
        dtype = torch.float32 if weights is None else weights.dtype
        model = copied(self.model).to(case.where).train(case.needs_grad)
        if case.dtype == "float64":
            dtype = case.kind
            in_dtype(model, dtype)
        with users_code(f"{self.name}: the batch cannot be used"):
            args, kwargs = select(self.batch, model)
            return model, prepare(args, kwargs, case.where, dtype, name=self.name, before=0)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the first tensor that the model takes; its first length is that of the batch."""
        args, kwargs = select(self.batch, self.model)
        values = [*args, *kwargs.values()]
        first = next((v for v in values if isinstance(v, torch.Tensor) and v.dim()), None)
        if first is not None and first.numel():
            return tuple(first.shape)
        return (samples_of(args, kwargs) or 1,)


def find_swap(net: Net, case: Case, asked: str) -> tuple[str, int]:
    """Return the activation to swap, and how often the model calls it.

    Raises:
        UsageError: The model does not call it.
        ActcompareError: The model cannot be copied or run.
    """
    check_made(net.model)
    model, inputs = net.on(replace(case, pass_="forward"))
    with users_code(f"{net.name} fails on the batch"):
        return activation_of(model, lambda each: run_model(each, inputs, case), asked)


def measure_net(
    config: BenchConfig, net: Net, activations: Sequence[Activation | None],
    progress: Progress | None = None,
) -> Iterator[Measurement]:  # fmt: skip
    """Measure the cases of a benchmark of a model, and yield each as it is done.

    Args:
        config: What to measure.
        net: The model.
        activations: The new ones; None for the model as it is, which the first one always is.
        progress: As for `actcompare.benchmark.measure.measure`.
    """
    for case in config.cases:
        with (
            torch_threads(config.threads),
            allocator("warm"),
            torch.set_grad_enabled(case.needs_grad),
            own_stream(case.where),
            compiler(case.mode),
            torch.random.fork_rng(devices=[]),
        ):
            torch.manual_seed(config.seed)
            measurement = _measure(case, config, net, activations, progress)
        yield measurement


def _measure(
    case: Case, config: BenchConfig, net: Net, activations: Sequence[Activation | None],
    progress: Progress | None,
) -> Measurement:  # fmt: skip
    costs: list[Cost] = []
    try:
        model, inputs = net.on(case)
        weights = [p.detach().clone() for p in model.parameters()]
        news = [*activations, Activation(IDENTITY, {}, function=identity)]
        twins = make_copies(model, config.swapped, news, lambda m: run_model(m, inputs, case))
        works = []
        for label, twin in zip([*config.activations, IDENTITY], twins, strict=True):
            try:
                if not isinstance(twin, nn.Module):
                    raise twin
                work, cost = _try_out(label, twin, inputs, case, config)
                _check_weights(model, weights)
            except (Exception, SystemExit) as error:  # the others are still measured
                costs.append(Cost(label, error=_reason(label, case, error)))
                continue
            works.append(work)
            costs.append(cost)
        for needed in (costs[0], costs[-1]):
            if needed.error:
                raise ActcompareError(needed.error)
        timings = _time(case, works, config, progress)
        return Measurement(case, tuple(costs[:-1]), timings)
    except (Exception, SystemExit) as error:  # other cases are still measured
        reason = _reason(net.name, case, error)
        known = {cost.activation: cost.error for cost in costs}
        labels = config.activations
        return Measurement(case, tuple(Cost(a, error=known.get(a) or reason) for a in labels), None)


def _check_weights(model: nn.Module, before: Sequence[torch.Tensor]) -> None:
    """Check that a step left weights finite, which copies share; restore them if not.

    Raises:
        ActcompareError: They were not.
    """
    if all(bool(p.isfinite().all()) for p in model.parameters()):
        return
    with torch.no_grad():
        for p, values in zip(model.parameters(), before, strict=True):
            p.copy_(values)
    raise ActcompareError("its gradients are not finite: with it the model cannot be trained")


def _time(
    case: Case, works: Sequence[Work], config: BenchConfig, progress: Progress | None
) -> Timings:
    names = [*map(str, range(len(works) - 1)), IDENTITY]
    return time_paired(
        dict(zip(names, works, strict=True)),
        time_limit=config.time_limit,
        precision=config.precision,
        seed=config.seed,
        stopwatch=stopwatch_for(case.where),
        progress=None if progress is None else lambda ratio: progress(case, ratio),
    )


def _try_out(
    label: str, twin: nn.Module, inputs: Inputs, case: Case, config: BenchConfig
) -> tuple[Work, Cost]:
    """Prepare the work of one copy, and measure what a few calls of it show."""
    kept = saved_bytes(twin, inputs, case)
    timer = timer_for(case.where)
    began = time.perf_counter()
    work = make_work(twin, inputs, case, config.optimizer)
    timer(work, 1)
    first_s = time.perf_counter() - began
    return work, Cost(
        label,
        peak_bytes=peak_allocation(work, case.where),
        saved_bytes=kept,
        compile_s=first_s if case.mode == "compiled" else None,
    )


def _reason(label: str, case: Case, error: BaseException) -> str:
    """Return why something could not be measured, and what to do about it."""
    text = f"{type(error).__name__}: {error}"
    if "CxxCompiler" in text or "C++ compiler" in text:
        return "--mode compiled needs a C++ compiler, but none was found: install g++ or clang"
    if is_shortage(error):
        return (
            f"{label} ran out of memory with {case.shape[0]} samples"
            f" ({in_bytes(free_memory(case.where))} is free on {case.device}): choose a smaller"
            " --batch-size"
        )
    if isinstance(error, ActcompareError):
        return str(error)
    return f"{label} failed ({case.pass_}, {case.mode}, {case.dtype}): {describe(error)}"
