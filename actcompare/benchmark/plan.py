"""Plan a benchmark: every combination of conditions, checked before any is measured."""

import itertools
import math
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from actcompare.activations.spec import Activation
from actcompare.benchmark.records import CHOICES, BenchConfig, Case
from actcompare.benchmark.workloads import STEP_BATCH, bytes_per_element, check_memory
from actcompare.errors import UsageError
from actcompare.machine.allocator import can_keep_warm
from actcompare.machine.devices import resolve_device, resolve_dtype
from actcompare.machine.memory import free_memory
from actcompare.machine.processors import check_threads, free_threads

SIZES = {"cpu": (2**10, 2**16, 2**23), "gpu": (2**10, 2**20, 2**26)}
"""Sizes bound by call overhead, within the cache, and beyond it."""

HIDDEN = (64, 1024)

LONE_CALLS = ("forward", "both")
"""The passes of the default, apart from `step`."""

NOT_FOR_STEP = ("cache", "layout", "input")
"""Axes that do not apply to a training step, which makes its own tensors."""

Names = str | Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of a benchmark. From `device` to `input`, each takes one value or several.

    Every combination of values is a case.
    """

    device: Names = "cpu"
    """Device to compute on: cpu, cuda, cuda:N or mps."""
    dtype: str | torch.dtype | Sequence[str | torch.dtype] = "float32"
    """Number format: float32, float64, bfloat16 or float16."""
    size: int | Sequence[int] = ()
    """Elements of the input; by default the sizes in SIZES."""
    shape: Sequence[int] | Sequence[Sequence[int]] = ()
    """Shapes of the input, such as (128, 4096)."""
    passes: Names | None = None
    """Pass to time: forward, backward, both, or step (a training step of SimpleNet). The default is
    forward and both, and step unless sizes or shapes are given."""
    hidden: int | Sequence[int] = ()
    """Widths of SimpleNet, for step; 64 and 1024 by default."""
    mode: Names = "eager"
    """Mode: eager, or compiled (torch.compile)."""
    cache: Names = "hot"
    """Cache: hot (one buffer), or cold (a cycle of buffers twice as large as the last level)."""
    memory: Names = "warm"
    """Memory: warm (freed memory is reused), or fresh (large results get new pages)."""
    layout: Names = "contiguous"
    """Layout: contiguous, or strided (every second element)."""
    input: Names = "normal"
    """Input: normal (N(0,1)), uniform (U(-1,1)), or tail (exp(x) is subnormal)."""
    threads: int | None = None
    """Threads that torch uses; None chooses as many as there are free cores."""
    seed: int = 0
    """Seed of the inputs and of the order within rounds."""
    time_limit: float = 1.5
    """Seconds per case."""
    precision: float = 0.005
    """Share to within which every ratio must be known before a case stops."""
    margin: float = 0.01
    """Ratios within this share of 1 count as the same."""

    def __post_init__(self) -> None:
        for name, value in {"time limit": self.time_limit, "precision": self.precision}.items():
            if not 0 < value < math.inf:
                raise UsageError(f"the {name} must be positive, not {value}")
        if not 0 <= self.margin < math.inf:
            raise UsageError(f"the margin must be 0 or more, not {self.margin}")
        if not 0 <= self.seed < 2**63:
            raise UsageError(f"the seed must be from 0 to 2^63 - 1, not {self.seed}")
        check_threads(self.threads)


def make_plan(activations: Sequence[Activation], settings: Settings) -> BenchConfig:
    """Return all combinations of conditions, after checking that each is possible and fits memory.

    Raises:
        UsageError: A setting is wrong.
        ActcompareError: A device is not available, or a size does not fit into memory.
    """
    cases = list(dict.fromkeys(_cases(settings)))
    peaks: dict[tuple[str, ...], list[float]] = {}
    for case in cases:
        _refuse_what_a_device_has_not(case)
        kind_of_work = (case.dtype, case.device, case.pass_)
        if kind_of_work not in peaks:
            peaks[kind_of_work] = [bytes_per_element(a, *kind_of_work) for a in activations]
        check_memory(case, peaks[kind_of_work], free_memory(case.where))
    return BenchConfig(
        tuple(activation.label for activation in activations),
        tuple(cases),
        settings.threads or free_threads(),
        settings.seed,
        settings.time_limit,
        settings.precision,
        settings.margin,
    )


def _cases(settings: Settings) -> Iterator[Case]:
    axes = ("mode", "cache", "memory", "layout", "input")
    conditions = {axis: choices(axis, getattr(settings, axis)) for axis in axes}
    passes = settings.passes
    if passes is None:
        passes = LONE_CALLS if settings.size or settings.shape else (*LONE_CALLS, "step")
    kinds, given = choices("pass", passes), settings.dtype
    dtypes = [resolve_dtype(d)[0] for d in several(given, str | torch.dtype)]
    sizes, widths = _lengths("size", settings.size), _lengths("hidden size", settings.hidden)
    forms: list[tuple[int, ...]] = [(size,) for size in sizes] + _shapes(settings.shape)
    _refuse_what_a_step_has_not(kinds, forms, widths, conditions)
    for device, kind in itertools.product(several(settings.device, str), kinds):
        resolve_device(device)
        if kind == "step":
            shapes: list[tuple[int, ...]] = [(STEP_BATCH, width) for width in widths or HIDDEN]
            varied = conditions | {axis: CHOICES[axis][:1] for axis in NOT_FOR_STEP}
        else:
            shapes = forms or [(size,) for size in SIZES["cpu" if device == "cpu" else "gpu"]]
            varied = conditions
        for dtype, form in itertools.product(dtypes, shapes):
            for chosen in itertools.product(*varied.values()):
                yield Case(device, dtype, form, kind, *chosen)


def several(given: Any, kind: Any) -> Sequence[Any]:
    """Return one value or several as a list."""
    return [given] if isinstance(given, kind) else given


def choices(name: str, given: Names) -> tuple[str, ...]:
    """Return the values of an axis.

    Raises:
        UsageError: There are none, or one is not in CHOICES.
    """
    values = tuple(several(given, str))
    for value in values:
        if value not in CHOICES[name]:
            raise UsageError(f"{name} {value!r} is not one of {', '.join(CHOICES[name])}")
    if not values:
        raise UsageError(f"no {name} given: choose from {', '.join(CHOICES[name])}")
    return values


def _lengths(name: str, given: int | Sequence[int]) -> list[int]:
    lengths = list(several(given, int))
    for length in lengths:
        if length < 1:
            raise UsageError(f"{name} must be 1 or more, not {length:,}")
    return lengths


def _shapes(given: Sequence[int] | Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """Return one shape or several as a list."""
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
        raise UsageError("--pass step takes --hidden, not --size or --shape")
    for axis in NOT_FOR_STEP:
        if set(conditions[axis]) != {CHOICES[axis][0]}:
            raise UsageError(f"--pass step makes its own tensors: omit --{axis}")


def _refuse_what_a_device_has_not(case: Case) -> None:
    device = case.where.type
    if case.memory == "fresh" and (device != "cpu" or not can_keep_warm()):
        where = (
            f"on {case.device}" if device != "cpu" else f"with the C library of {platform.system()}"
        )
        raise UsageError(f"--memory fresh needs a CPU and glibc; it is not available {where}")
    if case.cache == "cold" and device == "mps":
        raise UsageError("--cache cold: the cache size of an Apple GPU is unknown; use --cache hot")
