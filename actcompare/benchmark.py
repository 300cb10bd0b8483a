"""What activations cost: cases measured one by one, each activation against the first."""

import itertools
import math
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from actcompare.activations import Activation, Specs, parse_all
from actcompare.clocks import QUEUED_CALLS, captured, throttle_check, timer_for
from actcompare.environment import (
    Environment,
    describe_environment,
    resolve_device,
    resolve_dtype,
)
from actcompare.errors import ActcompareError, UsageError
from actcompare.memory import (
    allocator,
    can_keep_warm,
    free_memory,
    in_bytes,
    page_faults,
    peak_allocation,
)
from actcompare.stats import Estimate
from actcompare.timing import Timings, Work, time_paired
from actcompare.users import describe
from actcompare.workloads import (
    STEP_BATCH,
    Buffers,
    Case,
    build_function,
    check_memory,
    make_buffers,
    make_copy,
    make_work,
    subnormal_share,
    traffic,
)

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")

CHOICES = {
    "pass": ("forward", "backward", "both", "step"),
    "mode": ("eager", "compiled"),
    "cache": ("hot", "cold"),
    "memory": ("warm", "fresh"),
    "layout": ("contiguous", "strided"),
    "input": ("normal", "uniform", "tail"),
}
"""What each axis of conditions may be; the first is the default."""
SIZES = {"cpu": (2**10, 2**16, 2**23), "gpu": (2**10, 2**20, 2**26)}
"""Bound by the call itself, within the cache, and beyond it."""
HIDDEN = (64, 1024)
COPY = "copy_"
ASIDE_LIMIT = 0.2
"""Seconds for each measurement beside the main one."""


@dataclass(frozen=True)
class BenchConfig:
    """What was asked for."""

    activations: tuple[str, ...]
    cases: tuple[Case, ...]
    threads: int
    seed: int
    time_limit: float
    """Seconds for each case."""
    precision: float
    margin: float


@dataclass(frozen=True)
class Cost:
    """What else is known of one activation in one case."""

    activation: str
    error: str = ""
    """Why it could not be measured, or empty."""
    traffic_bytes: int | None = None
    """Bytes a call must read and write."""
    peak_bytes: int | None = None
    """Bytes a call holds at most beyond its input."""
    compile_s: float | None = None
    """Seconds of the first call of a compiled function."""
    one_element_s: float | None = None
    """Seconds per call on a single element."""
    page_faults: float = 0.0
    """New pages per call."""
    subnormal_share: float = 0.0
    """Share of results (or gradients) that are subnormal."""
    over_plain: float | None = None
    """Time over that of the same on a contiguous, N(0,1) input; None where this is one."""
    graph_s: float | None = None
    """Seconds per call within a captured CUDA graph."""


@dataclass(frozen=True)
class Measurement:
    """One case: the rounds, and what else was seen."""

    case: Case
    costs: tuple[Cost, ...]
    """One for each activation, in order, the failed ones included."""
    timings: Timings | None
    """Of the activations that did not fail, then of `copy_`; None where the first one failed."""
    new_pages: float | None = None
    """Time of a copy into new pages over that into touched ones, where memory is fresh."""

    def column(self, cost: Cost) -> int | None:
        """Where an activation stands in the timings; None if it was not measured."""
        if self.timings is None or cost.error:
            return None
        return [c for c in self.costs if not c.error].index(cost)

    def copy_bytes_per_s(self) -> float | None:
        """What `copy_` read and wrote per second."""
        if self.timings is None or COPY not in self.timings.labels:
            return None
        _, median, _ = self.timings.per_call(self.timings.labels.index(COPY))
        return 2 * self.case.nbytes / median

    def row(self, cost: Cost, margin: float) -> dict[str, Any]:
        """The tidy record of one activation."""
        case, timings, column = self.case, self.timings, self.column(cost)
        record: dict[str, Any] = {
            "activation": cost.activation,
            "device": case.device,
            "dtype": case.dtype,
            "size": case.size,
            "shape": "x".join(map(str, case.shape)),
            "pass": case.pass_,
            "mode": case.mode,
            "cache": case.cache,
            "memory": case.memory,
            "layout": case.layout,
            "input": case.input,
        }
        if timings is None or column is None:
            return record | dict.fromkeys(_MEASURED) | {"verdict": "failed"}
        q1, median, q3 = timings.per_call(column)
        ratio = timings.ratio(column) if column else Estimate(1.0, 1.0, 1.0)
        speed, copy_speed = _over(cost.traffic_bytes, median), self.copy_bytes_per_s()
        return record | {
            "median_s": median,
            "q1_s": q1,
            "q3_s": q3,
            "ratio": ratio.value,
            "ratio_low": ratio.low,
            "ratio_high": ratio.high,
            "verdict": timings.verdict(column, margin) if column else "baseline",
            "noise_floor": timings.noise_floor(),
            "bytes_per_s": speed,
            "copy_share": _over(speed, copy_speed),
            "peak_bytes": cost.peak_bytes,
            "compile_s": cost.compile_s,
            "rounds": len(timings.seconds),
            "stopped_by": timings.stopped_by,
        }


_MEASURED = (
    "median_s",
    "q1_s",
    "q3_s",
    "ratio",
    "ratio_low",
    "ratio_high",
    "verdict",
    "noise_floor",
    "bytes_per_s",
    "copy_share",
    "peak_bytes",
    "compile_s",
    "rounds",
    "stopped_by",
)
NUMBERS = ("size", *(name for name in _MEASURED if name not in ("verdict", "stopped_by")))
"""The columns that a gate can be set on."""


def _over(a: float | None, b: float | None) -> float | None:
    return None if a is None or not b else a / b


@dataclass(frozen=True)
class Benchmark:
    """Cases that were measured, with every round."""

    config: BenchConfig
    environment: Environment
    measurements: tuple[Measurement, ...] = field(repr=False)

    def columns(self) -> dict[str, list[Any]]:
        """Tidy columns: one record per case and activation."""
        rows = [m.row(cost, self.config.margin) for m in self.measurements for cost in m.costs]
        return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}

    def frame(self) -> "pd.DataFrame":
        """The tidy records as a DataFrame."""
        import pandas as pd

        return pd.DataFrame(self.columns())

    def failures(self) -> list[str]:
        """What could not be measured, and why, each once."""
        return list(
            dict.fromkeys(cost.error for m in self.measurements for cost in m.costs if cost.error)
        )


def bench(
    activations: Specs = ("relu", "softplus"),
    *,
    device: str | Sequence[str] = "cpu",
    dtype: str | torch.dtype | Sequence[str | torch.dtype] = "float32",
    size: int | Sequence[int] = (),
    shape: Sequence[int] | Sequence[Sequence[int]] = (),
    passes: str | Sequence[str] = ("forward", "both"),
    hidden: int | Sequence[int] = (),
    mode: str | Sequence[str] = "eager",
    cache: str | Sequence[str] = "hot",
    memory: str | Sequence[str] = "warm",
    layout: str | Sequence[str] = "contiguous",
    input: str | Sequence[str] = "normal",  # noqa: A002
    threads: int | None = None,
    seed: int = 0,
    time_limit: float = 1.5,
    precision: float = 0.005,
    margin: float = 0.01,
    progress: Callable[[Case, Estimate], None] | None = None,
) -> Benchmark:
    """Measure what activations cost, each against the first, under every combination of conditions.

    Args:
        activations: SPECs such as "softplus:beta=2", and functions or modules as themselves; the
            first is the baseline.
        device: cpu, cuda, cuda:N or mps; like all that follow, one or several.
        dtype: float32, float64, bfloat16 or float16.
        size: elements of the input; by default three sizes, from bound by the call to beyond the
            cache.
        shape: shapes of the input, such as (128, 4096).
        passes: forward, backward, both, or step: a training step of SimpleNet.
        hidden: widths of SimpleNet, for step; 64 and 1024 by default.
        mode: eager or compiled.
        cache: hot, or cold: buffers in turn, twice as many as the last level cache holds.
        memory: warm (freed memory is reused) or fresh (large results are new pages).
        layout: contiguous, or strided: every second element.
        input: normal: N(0,1); uniform: U(-1,1); tail: where exp(x) is subnormal.
        threads: of torch within an operation; as torch has it by default.
        seed: of the inputs and of the order within rounds.
        time_limit: seconds for each case.
        precision: a case is done when every ratio is known to this share.
        margin: ratios within this share of 1 are called the same.
        progress: told now and then the ratio of the second activation to the first.

    Raises:
        UsageError: a bad SPEC or option.
        ActcompareError: a device is not there, a user's function cannot be loaded, or a size does
            not fit into memory. What fails later is in `failures()`, and the rest is measured.
    """
    config, parsed = plan(
        activations,
        device=device,
        dtype=dtype,
        size=size,
        shape=shape,
        passes=passes,
        hidden=hidden,
        mode=mode,
        cache=cache,
        memory=memory,
        layout=layout,
        input=input,
        threads=threads,
        seed=seed,
        time_limit=time_limit,
        precision=precision,
        margin=margin,
    )
    measurements = tuple(measure(config, parsed, progress))
    return Benchmark(config, environment_of(config), measurements)


def plan(
    activations: Specs,
    *,
    device: str | Sequence[str],
    dtype: str | torch.dtype | Sequence[str | torch.dtype],
    size: int | Sequence[int],
    shape: Sequence[int] | Sequence[Sequence[int]],
    passes: str | Sequence[str],
    hidden: int | Sequence[int],
    mode: str | Sequence[str],
    cache: str | Sequence[str],
    memory: str | Sequence[str],
    layout: str | Sequence[str],
    input: str | Sequence[str],  # noqa: A002
    threads: int | None,
    seed: int,
    time_limit: float,
    precision: float,
    margin: float,
) -> tuple[BenchConfig, list[Activation]]:
    """What `bench` will measure, checked as far as that is possible beforehand."""
    devices, dtypes = _several(device), [resolve_dtype(d)[0] for d in _several(dtype)]
    for name in devices:
        resolve_device(name)
    conditions = {"mode": mode, "cache": cache, "memory": memory, "layout": layout, "input": input}
    axes = {name: _checked(name, given) for name, given in conditions.items()}
    kinds = _checked("pass", passes)
    for name, value in {"time limit": time_limit, "precision": precision}.items():
        if not 0 < value < math.inf:
            raise UsageError(f"the {name} must be above 0, not {value}")
    if not 0 <= margin < math.inf:
        raise UsageError(f"the margin must be 0 or more, not {margin}")
    if threads is not None and threads < 1:
        raise UsageError(f"threads must be 1 or more, not {threads}")
    if hidden != () and "step" not in kinds:
        raise UsageError("a hidden size goes with the pass step")
    if kinds == ("step",) and (_several(size) or shape):
        raise UsageError("the pass step takes hidden sizes in place of sizes and shapes")
    parsed = [activation.loaded() for activation in parse_all(activations)]
    cases: list[Case] = []
    for name, kind in itertools.product(devices, kinds):
        shapes = _shapes(name, _several(size), shape) if kind != "step" else _steps(hidden)
        # A training step makes its own inputs and results, so these axes are none of it.
        own = {"cache", "layout", "input"} if kind == "step" else set()
        varied = {key: CHOICES[key][:1] if key in own else given for key, given in axes.items()}
        if kind == "step":
            _refuse_for_step(axes, own, kinds)
        for form, number, *rest in itertools.product(shapes, dtypes, *varied.values()):
            cases.append(Case(name, number, form, kind, *rest))
    cases = list(dict.fromkeys(cases))
    for case in cases:
        if case.memory == "fresh" and (case.where.type != "cpu" or not can_keep_warm()):
            where = "a CPU" if case.where.type != "cpu" else f"glibc, not {platform.system()}'s"
            raise UsageError(f"fresh memory is a matter of the C library: measure it on {where}")
        if case.cache == "cold" and case.where.type == "mps":
            raise UsageError("an Apple GPU does not say how large its cache is: use a hot cache")
        check_memory(case, parsed, free_memory(case.where))
    labels = tuple(activation.label for activation in parsed)
    threads = threads or torch.get_num_threads()
    return (
        BenchConfig(labels, tuple(cases), threads, seed, time_limit, precision, margin),
        parsed,
    )


def environment_of(config: BenchConfig) -> Environment:
    """Where a benchmark runs: the first of its devices is named."""
    here = describe_environment(config.cases[0].where)
    return replace(here, threads=config.threads)


def measure(
    config: BenchConfig,
    activations: list[Activation],
    progress: Callable[[Case, Estimate], None] | None = None,
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
    progress: Callable[[Case, Estimate], None] | None,
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


def _try_out(
    activation: Activation, case: Case, buffers: Buffers, seed: int
) -> tuple[Work, Cost]:
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
    eager = case.mode == "eager" and case.pass_ != "step"
    peak = peak_allocation(work, case.where)
    faults = page_faults()
    timer(work, 4)
    cost = Cost(
        activation.label,
        traffic_bytes=traffic(function, case, buffers),
        peak_bytes=peak,
        compile_s=first if case.mode == "compiled" else None,
        one_element_s=_on_one_element(function, case, seed) if eager else None,
        page_faults=(page_faults() - faults) / 4,
        subnormal_share=subnormal_share(build_function(activation, replace(case, mode="eager")), case, buffers),
        over_plain=_over_plain(function, work, case, seed) if eager else None,
    )
    return work, cost


def _on_one_element(function: Callable[..., Any], case: Case, seed: int) -> float:
    small = replace(case, shape=(1,), cache="hot", layout="contiguous", input="normal")
    work, timer = make_work(function, small, make_buffers(small, seed), seed), timer_for(case.where)
    timer(work, 10)
    return min(timer(work, 100) for _ in range(5)) / 100


def _over_plain(function: Callable[..., Any], work: Work, case: Case, seed: int) -> float | None:
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


def _with_graphs(
    case: Case, costs: list[Cost], works: list[Work], timings: Timings
) -> list[Cost]:
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
    out_of_memory = isinstance(error, torch.OutOfMemoryError | MemoryError)
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


def _several(given: T | Iterable[T]) -> tuple[T, ...]:
    if isinstance(given, str | int | torch.dtype):
        return (given,)
    return tuple(given)  # type: ignore[arg-type]


def _checked(name: str, given: str | Sequence[str]) -> tuple[str, ...]:
    values = tuple(dict.fromkeys(_several(given)))
    for value in values:
        if value not in CHOICES[name]:
            raise UsageError(f"{name} {value!r} is not one of {', '.join(CHOICES[name])}")
    if not values:
        raise UsageError(f"no {name} given")
    return values


def _shapes(
    device: str, sizes: Sequence[int], shape: Sequence[int] | Sequence[Sequence[int]]
) -> list[tuple[int, ...]]:
    forms = [tuple(shape)] if shape and isinstance(shape[0], int) else [tuple(s) for s in shape]
    shapes = [(size,) for size in sizes] + forms
    if not shapes:
        shapes = [(size,) for size in SIZES["cpu" if device == "cpu" else "gpu"]]
    for form in shapes:
        if not form or any(length < 1 for length in form):
            raise UsageError(f"size {'x'.join(map(str, form))}: every length must be 1 or more")
    return shapes


def _steps(hidden: int | Sequence[int]) -> list[tuple[int, ...]]:
    widths = _several(hidden) or HIDDEN
    for width in widths:
        if width < 1:
            raise UsageError(f"hidden size {width}: it must be 1 or more")
    return [(STEP_BATCH, width) for width in widths]


def _refuse_for_step(
    axes: dict[str, tuple[str, ...]], own: set[str], kinds: tuple[str, ...]
) -> None:
    for name in sorted(own):
        if kinds == ("step",) and axes[name] != CHOICES[name][:1]:
            raise UsageError(f"the pass step has no {name} of its own to choose")


def as_dict(config: BenchConfig) -> dict[str, Any]:
    """The configuration as plain data."""
    return asdict(config)
