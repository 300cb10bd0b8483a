"""Measure what activations cost under every combination of the requested conditions."""

import itertools
import math
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from actcompare.activations.spec import Specs, parse_all
from actcompare.benchmark.explain import describe_benchmark
from actcompare.benchmark.measure import Progress, measure
from actcompare.benchmark.records import BenchConfig, Case, Measurement
from actcompare.benchmark.workloads import STEP_BATCH, bytes_per_element, check_memory
from actcompare.errors import UsageError
from actcompare.machine.allocator import can_keep_warm
from actcompare.machine.devices import resolve_device, resolve_dtype
from actcompare.machine.environment import Environment, describe_environment
from actcompare.machine.memory import free_memory
from actcompare.machine.processors import check_threads
from actcompare.table import Table, Tabular

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Benchmark(Tabular):
    """The measured cases of a benchmark, with every round."""

    config: BenchConfig
    environment: Environment
    measurements: tuple[Measurement, ...] = field(repr=False)

    @cached_property
    def table(self) -> Table:
        """The tidy records, one per case and activation."""
        rows = [m.row(cost, self.config.margin) for m in self.measurements for cost in m.costs]
        return Table.of(rows)

    def reading(self) -> str:
        """Describe what limits each case, and what would make it faster."""
        return describe_benchmark(self.measurements, self.config.margin)

    def failures(self) -> list[str]:
        """Return the reasons why activations could not be measured, without duplicates."""
        return list(
            dict.fromkeys(cost.error for m in self.measurements for cost in m.costs if cost.error)
        )


CHOICES = {
    "pass": ("forward", "backward", "both", "step"),
    "mode": ("eager", "compiled"),
    "cache": ("hot", "cold"),
    "memory": ("warm", "fresh"),
    "layout": ("contiguous", "strided"),
    "input": ("normal", "uniform", "tail"),
}
"""The values of each condition; the first is the default."""

SIZES = {"cpu": (2**10, 2**16, 2**23), "gpu": (2**10, 2**20, 2**26)}
"""Default sizes in elements: bound by call overhead, within the cache, and beyond it."""

HIDDEN = (64, 1024)

OF_ITSELF = ("cache", "layout", "input")
"""Conditions that do not apply to a training step, which makes its own tensors."""

Names = str | Sequence[str]


def bench(
    activations: Specs = ("relu", "softplus"),
    *,
    device: Names = "cpu",
    dtype: str | torch.dtype | Sequence[str | torch.dtype] = "float32",
    size: int | Sequence[int] = (),
    shape: Sequence[int] | Sequence[Sequence[int]] = (),
    passes: Names = ("forward", "both"),
    hidden: int | Sequence[int] = (),
    mode: Names = "eager",
    cache: Names = "hot",
    memory: Names = "warm",
    layout: Names = "contiguous",
    input: Names = "normal",  # noqa: A002
    threads: int | None = None,
    seed: int = 0,
    time_limit: float = 1.5,
    precision: float = 0.005,
    margin: float = 0.01,
    progress: Progress | None = None,
    keep: Callable[[Benchmark], None] | None = None,
) -> Benchmark:
    """Time activations against the first of them under every combination of conditions.

    The arguments from `device` to `input` take one value or several.

    Args:
        activations: SPECs such as "softplus:beta=2", functions or modules; the first is the
            baseline.
        device: cpu, cuda, cuda:N or mps.
        dtype: float32, float64, bfloat16 or float16.
        size: Number of input elements. By default three sizes: bound by call overhead, within the
            cache, and beyond it.
        shape: Input shapes, such as (128, 4096).
        passes: forward, backward, both, or step (a training step of SimpleNet).
        hidden: Widths of SimpleNet for the pass step; 64 and 1024 by default.
        mode: eager or compiled.
        cache: hot (one buffer), or cold (a cycle of buffers twice as large as the last-level
            cache).
        memory: warm (freed memory is reused) or fresh (large results get new pages).
        layout: contiguous, or strided (every second element).
        input: normal (N(0,1)), uniform (U(-1,1)) or tail (where exp(x) is subnormal).
        threads: Intra-op threads; by default torch's setting.
        seed: Seed of the inputs and of the order within rounds.
        time_limit: Seconds for the rounds of each case.
        precision: A case ends once every ratio is known to within this share.
        margin: Ratios within this share of 1 count as the same.
        progress: Called from time to time with a case and the current ratio of its second
            activation to the first.
        keep: Called with the benchmark so far, before the first case and after each case.

    Raises:
        UsageError: A SPEC or an option is invalid.
        ActcompareError: A device is not available, a user's function cannot be loaded, or a size
            does not fit into memory. Later failures are listed by `failures()`, and the other
            activations are still measured.
    """
    for name, value in {"time limit": time_limit, "precision": precision}.items():
        if not 0 < value < math.inf:
            raise UsageError(f"the {name} must be positive, not {value}")
    if not 0 <= margin < math.inf:
        raise UsageError(f"the margin must be 0 or more, not {margin}")
    if not 0 <= seed < 2**63:
        raise UsageError(f"the seed must be from 0 to 2^63 - 1, not {seed}")
    check_threads(threads)
    parsed = [activation.loaded() for activation in parse_all(activations)]
    given = {"mode": mode, "cache": cache, "memory": memory, "layout": layout, "input": input}
    conditions = {name: _choices(name, values) for name, values in given.items()}
    kinds = _choices("pass", passes)
    dtypes = [
        resolve_dtype(d)[0] for d in ([dtype] if isinstance(dtype, str | torch.dtype) else dtype)
    ]
    sizes, widths = _lengths("size", size), _lengths("hidden size", hidden)
    forms: list[tuple[int, ...]] = [(size,) for size in sizes] + _shapes(shape)
    _refuse_what_a_step_has_not(kinds, forms, widths, conditions)
    cases = []
    for name, kind in itertools.product([device] if isinstance(device, str) else device, kinds):
        resolve_device(name)
        if kind == "step":
            shapes: list[tuple[int, ...]] = [(STEP_BATCH, width) for width in widths or HIDDEN]
            varied = conditions | {axis: CHOICES[axis][:1] for axis in OF_ITSELF}
        else:
            shapes = forms or [(size,) for size in SIZES["cpu" if name == "cpu" else "gpu"]]
            varied = conditions
        for number, form in itertools.product(dtypes, shapes):
            cases += [
                Case(name, number, form, kind, *chosen)
                for chosen in itertools.product(*varied.values())
            ]
    cases = list(dict.fromkeys(cases))
    peaks: dict[tuple[str, ...], list[float]] = {}
    for case in cases:
        _refuse_what_a_device_has_not(case)
        kind_of_work = (case.dtype, case.device, case.pass_)
        if kind_of_work not in peaks:
            peaks[kind_of_work] = [bytes_per_element(a, *kind_of_work) for a in parsed]
        check_memory(case, peaks[kind_of_work], free_memory(case.where))
    config = BenchConfig(
        tuple(activation.label for activation in parsed),
        tuple(cases),
        threads or torch.get_num_threads(),
        seed,
        time_limit,
        precision,
        margin,
    )
    environment = _describe(config)
    done = Benchmark(config, environment, ())
    if keep is not None:
        keep(done)
    for measurement in measure(config, parsed, progress):
        done = replace(done, measurements=(*done.measurements, measurement))
        if keep is not None:
            keep(done)
    return done


def _describe(config: BenchConfig) -> Environment:
    """Return the environment of this process, naming every device of the benchmark."""
    each = [describe_environment(d) for d in dict.fromkeys(case.where for case in config.cases)]
    return replace(
        each[0],
        threads=config.threads,
        device=", ".join(e.device for e in each),
        device_name=", ".join(e.device_name for e in each),
    )


def _choices(name: str, given: Names) -> tuple[str, ...]:
    values = (given,) if isinstance(given, str) else tuple(given)
    for value in values:
        if value not in CHOICES[name]:
            raise UsageError(f"{name} {value!r} is not one of {', '.join(CHOICES[name])}")
    if not values:
        raise UsageError(f"no {name} given: {', '.join(CHOICES[name])}")
    return values


def _lengths(name: str, given: int | Sequence[int]) -> list[int]:
    lengths = [given] if isinstance(given, int) else list(given)
    for length in lengths:
        if length < 1:
            raise UsageError(f"{name} {length:,} must be 1 or more")
    return lengths


def _shapes(given: Sequence[int] | Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """Return a list of shapes from one shape or several."""
    shapes = []
    for shape in [given] if given and isinstance(given[0], int) else given:
        assert not isinstance(shape, int)
        shapes.append(tuple(_lengths("length of a shape", shape)))  # type: ignore[arg-type]
    return shapes


def _refuse_what_a_step_has_not(
    kinds: tuple[str, ...],
    forms: list[tuple[int, ...]],
    widths: list[int],
    conditions: dict[str, tuple[str, ...]],
) -> None:
    if widths and "step" not in kinds:
        raise UsageError("--hidden applies only to --pass step: add it, or omit --hidden")
    if set(kinds) != {"step"}:
        return
    if forms:
        raise UsageError("the pass step takes --hidden, not --size or --shape")
    for axis in OF_ITSELF:
        if set(conditions[axis]) != {CHOICES[axis][0]}:
            raise UsageError(f"the pass step makes its own tensors: omit --{axis}")


def _refuse_what_a_device_has_not(case: Case) -> None:
    device = case.where.type
    if case.memory == "fresh" and (device != "cpu" or not can_keep_warm()):
        where = (
            f"on {case.device}" if device != "cpu" else f"with the C library of {platform.system()}"
        )
        raise UsageError(f"--memory fresh needs a CPU and glibc; it is not available {where}")
    if case.cache == "cold" and device == "mps":
        raise UsageError("--cache cold: the cache size of an Apple GPU is unknown; use --cache hot")
