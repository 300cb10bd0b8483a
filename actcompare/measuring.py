"""Cases measured one by one: each activation tried out, then all of them in paired rounds."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch

from actcompare.activations import Activation
from actcompare.clocks import QUEUED_CALLS, captured, throttle_check, timer_for
from actcompare.costs import COPY, BenchConfig, Cost, Measurement
from actcompare.derivatives import Function
from actcompare.errors import ActcompareError
from actcompare.memory import allocator, free_memory, page_faults, peak_allocation
from actcompare.stats import Estimate
from actcompare.timing import Timings, Work, time_paired
from actcompare.units import in_bytes
from actcompare.users import describe
from actcompare.workloads import (
    Buffers,
    Case,
    build_function,
    make_buffers,
    make_copy,
    make_work,
    subnormal_share,
    traffic,
)

ASIDE_LIMIT = 0.2
"""Seconds for each measurement beside the main one."""

Progress = Callable[[Case, Estimate], None]
"""Told now and then the ratio of a case's second activation to its first."""


def measure(
    config: BenchConfig,
    activations: list[Activation],
    progress: Progress | None = None,
) -> Iterator[Measurement]:
    """Measure the cases of a plan, each given out as it is done."""
    threads = torch.get_num_threads()
    for case in config.cases:
        torch.set_num_threads(config.threads)
        try:
            with allocator(case.memory), torch.set_grad_enabled(case.needs_grad):
                measurement = _measure(case, activations, config, progress)
        finally:
            torch.set_num_threads(threads)
            if case.mode == "compiled":
                torch.compiler.reset()
        yield measurement


def _measure(
    case: Case,
    activations: list[Activation],
    config: BenchConfig,
    progress: Progress | None,
) -> Measurement:
    labels = [activation.label for activation in activations]
    try:
        buffers = make_buffers(case, config.seed)
    except (RuntimeError, TypeError) as error:
        reason = f"{case.device} cannot take {case.dtype} numbers: {describe(error)}"
        return Measurement(case, tuple(Cost(label, error=reason) for label in labels), None)
    works: list[Work] = []
    costs: list[Cost] = []
    for activation in activations:
        try:
            work, cost = _try_out(activation, case, buffers, config.seed)
        except (Exception, SystemExit) as error:
            costs.append(Cost(activation.label, error=_reason(activation.label, case, error)))
            continue
        works.append(work)
        costs.append(cost)
    if not costs or costs[0].error:
        reason = f"without the baseline {labels[0]} there is nothing to compare with"
        costs = [c if c.error else Cost(c.activation, error=reason) for c in costs]
        return Measurement(case, tuple(costs), None)
    candidates = {str(i): work for i, work in enumerate(works)}
    if case.pass_ != "step":
        candidates[COPY] = make_copy(case, buffers)
    device = case.where
    on_gpu = QUEUED_CALLS if device.type == "cuda" else None
    told = None if progress is None else lambda ratio: progress(case, ratio)
    timings = time_paired(
        candidates,
        time_limit=config.time_limit,
        precision=config.precision,
        seed=config.seed,
        timer=timer_for(device),
        progress=told,
        throttled=throttle_check(device),
        most_calls=on_gpu,
    )
    if device.type == "cuda":
        costs = _with_graphs(case, costs, works, timings)
    return Measurement(case, tuple(costs), timings, _new_pages(case, buffers))


def _try_out(activation: Activation, case: Case, buffers: Buffers, seed: int) -> tuple[Work, Cost]:
    """The work of one activation, done a few times, and what is seen on the way."""
    function, x = build_function(activation, case), buffers.x[0]
    before = x._version
    work = make_work(function, case, buffers, seed)
    timer = timer_for(case.where)
    first = timer(work, 1)
    if x._version != before:
        raise ActcompareError(
            f"{activation.label} changes its input in place, so that the others would be timed on"
            " something else"
        )
    step = case.pass_ == "step"
    plain = build_function(activation, replace(case, mode="eager"))
    peak = peak_allocation(work, case.where)
    timer(work, 4)  # until memory that is kept has been handed out
    faults = page_faults()
    timer(work, 4)
    cost = Cost(
        activation.label,
        traffic_bytes=traffic(function, case, buffers),
        peak_bytes=peak,
        compile_s=first if case.mode == "compiled" else None,
        one_element_s=None if step else _on_one_element(function, case, seed),
        alone_s=_alone(plain, case, seed) if step else None,
        page_faults=(page_faults() - faults) / 4,
        subnormal_share=subnormal_share(plain, case, buffers),
        over_plain=None if step else _over_plain(function, work, case, seed),
    )
    return work, cost


def _on_one_element(function: Function, case: Case, seed: int) -> float:
    small = replace(case, shape=(1,), cache="hot", layout="contiguous", input="normal")
    work, timer = make_work(function, small, make_buffers(small, seed), seed), timer_for(case.where)
    timer(work, 10)
    return min(timer(work, 100) for _ in range(5)) / 100


def _alone(function: Function, case: Case, seed: int) -> float:
    """What the activation itself takes of a training step: its forward and backward pass."""
    both = replace(case, pass_="both", mode="eager")
    work, timer = make_work(function, both, make_buffers(both, seed), seed), timer_for(case.where)
    timer(work, 10)
    return min(timer(work, 20) for _ in range(5)) / 20


def _over_plain(function: Function, work: Work, case: Case, seed: int) -> float | None:
    """What strides or unusual numbers cost: the time over that on an ordinary input."""
    plain = replace(case, layout="contiguous", input="normal", cache="hot")
    if plain == replace(case, cache="hot"):
        return None
    ordinary = make_work(function, plain, make_buffers(plain, seed), seed)
    timings = time_paired(
        {"plain": ordinary, "as asked": work},
        time_limit=ASIDE_LIMIT,
        precision=0.02,
        timer=timer_for(case.where),
    )
    return timings.ratio(1).value


def _new_pages(case: Case, buffers: Buffers) -> float | None:
    """What new pages cost a copy: its time over that of one into memory touched before."""
    if case.memory != "fresh" or case.pass_ == "step":
        return None
    touched = make_copy(replace(case, memory="warm"), buffers)
    timings = time_paired(
        {"touched": touched, "new": make_copy(case, buffers)},
        time_limit=ASIDE_LIMIT,
        precision=0.02,
    )
    return timings.ratio(1).value


def _with_graphs(case: Case, costs: list[Cost], works: list[Work], timings: Timings) -> list[Cost]:
    """The costs with the time each call takes where launching it is not part of it."""
    device, out = case.where, []
    timer = timer_for(device)
    remaining = iter(zip(works, timings.calls, strict=False))
    for cost in costs:
        if cost.error:
            out.append(cost)
            continue
        work, calls = next(remaining)
        try:
            replay = captured(work, calls, device)
        except RuntimeError:  # what reads results back cannot be captured; its graph has no time
            out.append(cost)
            continue
        timer(replay, 1)
        out.append(replace(cost, graph_s=sorted(timer(replay, 1) for _ in range(9))[4] / calls))
    return out


def _reason(label: str, case: Case, error: BaseException) -> str:
    """Why an activation could not be measured, and what to do."""
    text = f"{type(error).__name__}: {error}"
    if "CxxCompiler" in text or "C++ compiler" in text:
        return "--mode compiled needs a C++ compiler, and none was found: install g++ (or clang)"
    out_of_memory = isinstance(error, torch.cuda.OutOfMemoryError | MemoryError)
    if out_of_memory or "DefaultCPUAllocator" in text or "out of memory" in text:
        free = free_memory(case.where)
        fits = max(1, int(case.size * min(0.5, free / (8 * case.nbytes))))
        return (
            f"{label} ran out of memory at size {case.size:,} ({in_bytes(free)} free on"
            f" {case.device}): size {fits:,} should fit"
        )
    if isinstance(error, ActcompareError):
        return str(error)
    return f"{label} fails ({case.pass_}, {case.mode}, {case.dtype}): {describe(error)}"
