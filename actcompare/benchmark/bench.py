"""What activations cost: every combination of conditions planned, checked and measured."""

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
    """Cases that were measured, with every round."""

    config: BenchConfig
    environment: Environment
    measurements: tuple[Measurement, ...] = field(repr=False)

    @cached_property
    def table(self) -> Table:
        """Tidy columns: one record per case and activation."""
        rows = [m.row(cost, self.config.margin) for m in self.measurements for cost in m.costs]
        return Table.of(rows)

    def reading(self) -> str:
        """In words: what dominates each case and what would change it, from what was measured."""
        return describe_benchmark(self.measurements, self.config.margin)

    def failures(self) -> list[str]:
        """What could not be measured, and why, each once."""
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
"""What each axis of conditions may be; the first is the ordinary one."""

SIZES = {"cpu": (2**10, 2**16, 2**23), "gpu": (2**10, 2**20, 2**26)}
"""Bound by the call itself, within the cache, and beyond it."""

HIDDEN = (64, 1024)

OF_ITSELF = ("cache", "layout", "input")
"""Axes that a training step has no choice in: it makes its own inputs and results."""

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
    """Measure what activations cost, each against the first, under every combination of conditions.

    Args:
        activations: SPECs such as "softplus:beta=2", and functions or modules as themselves; the
            first is the baseline.
        device: cpu, cuda, cuda:N or mps; like all up to `input`, one or several.
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
        threads: of torch within an operation; by default as torch has it.
        seed: of the inputs and of the order within rounds.
        time_limit: seconds for the rounds of each case.
        precision: a case is done when every ratio is known to this share.
        margin: ratios within this share of 1 are called the same.
        progress: told now and then the ratio of the second activation to the first.
        keep: given what there is: once before the first case, and after each.

    Raises:
        UsageError: a bad SPEC or option.
        ActcompareError: a device is not there, a user's function cannot be loaded, or a size does
            not fit into memory. What fails later is in `failures()`, and the rest is measured.
    """
    for name, value in {"time limit": time_limit, "precision": precision}.items():
        if not 0 < value < math.inf:
            raise UsageError(f"the {name} must be above 0, not {value}")
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
    """This machine, with each of the devices named."""
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
            raise UsageError(f"{name} {length:,}: it must be 1 or more")
    return lengths


def _shapes(given: Sequence[int] | Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """One shape or several."""
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
        raise UsageError("a hidden size is the pass step's: add --pass step, or leave out --hidden")
    if set(kinds) != {"step"}:
        return
    if forms:
        raise UsageError("the pass step takes hidden sizes (--hidden), not sizes and shapes")
    for axis in OF_ITSELF:
        if set(conditions[axis]) != {CHOICES[axis][0]}:
            raise UsageError(f"the pass step has no {axis} to choose: it makes its own tensors")


def _refuse_what_a_device_has_not(case: Case) -> None:
    device = case.where.type
    if case.memory == "fresh" and (device != "cpu" or not can_keep_warm()):
        where = (
            f"on {case.device}" if device != "cpu" else f"with the C library of {platform.system()}"
        )
        raise UsageError(f"memory fresh is glibc's way on a CPU; there is no such choice {where}")
    if case.cache == "cold" and device == "mps":
        raise UsageError("cache cold: an Apple GPU does not say how large its cache is; use hot")
