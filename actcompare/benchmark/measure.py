"""Measure cases one by one: first each activation alone, then all of them in paired rounds."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module
from statistics import median
from typing import Any

import torch
from torch import Tensor

from actcompare.activations.derivatives import Function
from actcompare.activations.spec import Activation
from actcompare.activations.user_code import describe
from actcompare.benchmark.records import COPY, BenchConfig, Case, Cost, Measurement
from actcompare.benchmark.workloads import (
    Buffers,
    build_function,
    bytes_per_element,
    make_buffers,
    make_copy,
    make_work,
    memory_needed,
    refuse_in_place,
    subnormal_share,
    traffic,
)
from actcompare.errors import ActcompareError
from actcompare.machine.allocator import allocator
from actcompare.machine.cuda import captured, own_stream
from actcompare.machine.memory import (
    SAFE_SHARE,
    free_memory,
    is_shortage,
    page_faults,
    peak_allocation,
)
from actcompare.machine.processors import torch_threads
from actcompare.machine.stopwatch import Work, stopwatch_for, timer_for
from actcompare.machine.timing import Timings, time_paired
from actcompare.stats import Estimate
from actcompare.text import in_bytes

ASIDE_LIMIT = 0.1
"""Seconds for each side measurement, such as the time on a single element."""

Progress = Callable[[Case, Estimate], None]
"""Called from time to time with a case and the ratio of its second activation to the first."""


def measure(
    config: BenchConfig, activations: list[Activation], progress: Progress | None = None
) -> Iterator[Measurement]:
    """Measure the cases of a benchmark, and yield each as it is done."""
    for case in config.cases:
        with (
            torch_threads(config.threads),
            allocator(case.memory),
            torch.set_grad_enabled(case.needs_grad),
            own_stream(case.where),
            compiler(case.mode),
        ):
            measurement = _measure(case, activations, config, progress)
        yield measurement


@contextlib.contextmanager
def compiler(mode: str) -> Iterator[None]:
    """Let torch.compile compile every function anew, without caches or a limit on recompiling."""
    if mode == "eager":
        yield
        return
    dynamo, inductor = (
        import_module("torch._dynamo.config"),
        import_module("torch._inductor.config"),
    )
    limit = "recompile_limit" if hasattr(dynamo, "recompile_limit") else "cache_size_limit"
    with dynamo.patch({limit: 10_000}), inductor.patch({"force_disable_caches": True}):
        try:
            # The compiler's one-time set-up must not count for the first activation.
            with contextlib.suppress(Exception):
                torch.compile(torch.neg, dynamic=False)(torch.zeros(8))
            yield
        finally:
            torch.compiler.reset()


def _measure(
    case: Case, activations: list[Activation], config: BenchConfig, progress: Progress | None
) -> Measurement:
    costs: list[Cost] = []
    works: list[Work] = []
    try:
        buffers = make_buffers(case, config.seed)
        for activation in activations:
            try:
                work, cost = _try_out(activation, case, buffers, config.seed)
                cost = replace(cost, over_one_thread=_over_one_thread(work, case))
            except (Exception, SystemExit) as error:  # the others are still measured
                reason = _reason(activation.label, case, activations, error)
                costs.append(Cost(activation.label, error=reason))
                continue
            works.append(work)
            costs.append(cost)
        if costs[0].error:
            first = activations[0].label
            raise ActcompareError(f"the baseline {first} failed: there is nothing to compare with")
        timings = _time(case, works, buffers, config, progress)
        if case.where.type == "cuda" and case.cache == "hot":
            costs = _with_graphs(case, costs, works, timings)
        return Measurement(case, tuple(costs), timings, _new_pages(case, buffers))
    except (Exception, SystemExit) as error:  # other cases are still measured
        reason = _reason("the measurement", case, activations, error)
        known = {cost.activation: cost.error for cost in costs}
        failed = (Cost(a.label, error=known.get(a.label) or reason) for a in activations)
        return Measurement(case, tuple(failed), None)


def _time(
    case: Case, works: list[Work], buffers: Buffers, config: BenchConfig, progress: Progress | None
) -> Timings:
    candidates = {str(i): work for i, work in enumerate(works)}
    candidates[COPY] = make_copy(case, buffers)
    return time_paired(
        candidates,
        time_limit=config.time_limit,
        precision=config.precision,
        seed=config.seed,
        stopwatch=stopwatch_for(case.where),
        progress=None if progress is None else lambda ratio: progress(case, ratio),
    )


def _try_out(activation: Activation, case: Case, buffers: Buffers, seed: int) -> tuple[Work, Cost]:
    """Prepare the work of one activation, and measure what a few calls of it show."""
    plain = build_function(activation, replace(case, mode="eager"))
    refuse_in_place(plain, case, activation.label)
    timer = timer_for(case.where)
    began = time.perf_counter()
    function = build_function(activation, case)
    work = make_work(function, case, buffers, seed)
    timer(work, 1)
    first_s = time.perf_counter() - began
    peak = peak_allocation(work, case.where)
    timer(work, 4)  # until the allocator reuses memory
    faults = page_faults()
    timer(work, 4)
    cost = Cost(
        activation.label,
        traffic_bytes=traffic(function, case, buffers),
        peak_bytes=peak,
        compile_s=first_s if case.mode == "compiled" else None,
        page_faults=(page_faults() - faults) / 4,
        subnormal_share=subnormal_share(plain, case, buffers),
    )
    with contextlib.suppress(_BusyError):
        return work, replace(cost, **_asides(function, work, case, buffers, seed))
    return work, replace(cost, busy=True)


def _asides(
    function: Function, work: Work, case: Case, buffers: Buffers, seed: int
) -> dict[str, Any]:
    """Return the fields of `Cost` that compare the work with other work."""
    if case.pass_ == "step":
        idle = make_work(_identity, case, buffers, seed)
        return {"over_identity": _ratio(idle, work, case)}

    def over(other: Case) -> float | None:
        if other == case:
            return None
        return _ratio(make_work(function, other, make_buffers(other, seed), seed), work, case)

    one = replace(case, shape=(1,), cache="hot", layout="contiguous", input="normal")
    return {
        "over_one_element": over(one) if case.where.type == "cpu" else None,
        "over_contiguous": over(replace(case, layout="contiguous")),
        "over_normal": over(replace(case, input="normal")),
    }


def _identity(x: Tensor) -> Tensor:
    return x


class _BusyError(Exception):
    """The machine was too busy for a measurement aside."""


def _ratio(reference: Work, work: Work, case: Case) -> float:
    """Measure briefly the time of `work` divided by that of `reference`.

    Raises:
        _BusyError: The machine was too busy, also for a longer time.
    """
    for patience in (1, 5):
        timings = time_paired(
            {"reference": reference, "work": work},
            time_limit=patience * ASIDE_LIMIT,
            precision=0.02,
            stopwatch=replace(stopwatch_for(case.where), throttled=None),
        )
        if not timings.busy:
            return timings.ratio(1).value
    raise _BusyError


def _over_one_thread(work: Work, case: Case) -> float | None:
    """Measure briefly the time of `work` divided by its time with one thread."""
    threads = torch.get_num_threads()
    if threads == 1 or case.where.type != "cpu" or case.mode != "eager":
        return None
    timer = timer_for(case.where)
    calls = max(1, int(ASIDE_LIMIT / 50 / max(1e-9, timer(work, 1))))
    times: dict[int, list[float]] = {1: [], threads: []}
    begin = time.perf_counter()
    while len(times[1]) < 9 and time.perf_counter() < begin + 2 * ASIDE_LIMIT:
        for count, seconds in times.items():
            with torch_threads(count):
                seconds.append(timer(work, calls))
    return median(times[threads]) / median(times[1])


def _new_pages(case: Case, buffers: Buffers) -> float | None:
    """Return the time of a copy into new pages divided by that into used ones."""
    if case.memory != "fresh" or case.pass_ == "step":
        return None
    touched = make_copy(replace(case, memory="warm"), buffers)
    with contextlib.suppress(_BusyError):
        return _ratio(touched, make_copy(case, buffers), case)
    return None


def _with_graphs(case: Case, costs: list[Cost], works: list[Work], timings: Timings) -> list[Cost]:
    """Return the costs with the time of each call in a CUDA graph, that is without launches."""
    timer, out = timer_for(case.where), []
    remaining = iter(zip(works, timings.calls, strict=False))
    for cost in costs:
        if cost.error:
            out.append(cost)
            continue
        work, calls = next(remaining)
        try:
            replay = captured(work, calls)
        except RuntimeError:  # a function that synchronises cannot be captured
            out.append(cost)
            continue
        timer(replay, 1)
        out.append(replace(cost, graph_s=sorted(timer(replay, 1) for _ in range(9))[4] / calls))
    return out


def _reason(label: str, case: Case, activations: list[Activation], error: BaseException) -> str:
    """Return why something could not be measured, and what to do about it."""
    text = f"{type(error).__name__}: {error}"
    if "CxxCompiler" in text or "C++ compiler" in text:
        return "--mode compiled needs a C++ compiler, but none was found: install g++ or clang"
    if is_shortage(error):
        free = free_memory(case.where)
        peaks = [bytes_per_element(a, case.dtype, case.device, case.pass_) for a in activations]
        share = min(0.5, SAFE_SHARE * free / memory_needed(case, peaks))
        what, amount = ("hidden", case.shape[-1]) if case.pass_ == "step" else ("size", case.size)
        return (
            f"{label} ran out of memory at {what} {amount:,} ({in_bytes(free)} is free on"
            f" {case.device}): try {what} {max(1, int(amount * share)):,}"
        )
    if isinstance(error, ActcompareError):
        return str(error)
    return f"{label} failed ({case.pass_}, {case.mode}, {case.dtype}): {describe(error)}"
