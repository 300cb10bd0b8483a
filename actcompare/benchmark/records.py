"""What `bench` was asked for, and what was measured."""

import math
from dataclasses import dataclass
from typing import Any

import torch

from actcompare.benchmark.timing import Timings
from actcompare.machine.devices import DTYPES
from actcompare.machine.memory import last_level_cache
from actcompare.stats import Estimate
from actcompare.table import Columns


@dataclass(frozen=True)
class Case:
    """One set of conditions, under which activations are compared."""

    device: str
    dtype: str
    shape: tuple[int, ...]
    """Of the activation's input."""
    pass_: str
    """forward, backward, both, or step: a training step of SimpleNet."""
    mode: str
    """eager or compiled."""
    cache: str
    """hot, or cold: buffers in turn, twice as many as the last level cache holds."""
    memory: str
    """warm, or fresh (see `actcompare.machine.allocator`)."""
    layout: str
    """contiguous, or strided: every second element of a larger tensor."""
    input: str
    """normal: N(0,1); uniform: U(-1,1); tail: where exp(x) is subnormal."""

    @property
    def size(self) -> int:
        """Elements of the activation's input."""
        return math.prod(self.shape)

    @property
    def kind(self) -> torch.dtype:
        """The dtype itself."""
        return DTYPES[self.dtype]

    @property
    def where(self) -> torch.device:
        """The device itself."""
        return torch.device(self.device)

    @property
    def nbytes(self) -> int:
        """Bytes of the activation's input."""
        return self.size * self.kind.itemsize

    @property
    def needs_grad(self) -> bool:
        """Whether a backward pass is part of it."""
        return self.pass_ != "forward"

    def buffers(self) -> int:
        """How many tensors take turns as the input."""
        if self.cache == "hot" or self.pass_ == "step":
            return 1
        return max(2, math.ceil(2 * last_level_cache(self.where) / self.nbytes))


# --- bench ---------------------------------------------------------------------------------------

AXES = ("device", "dtype", "pass", "mode", "cache", "memory", "layout", "input")

COPY = "copy_"
"""The candidate beside the activations that only moves the bytes."""


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
    over_one_element: float | None = None
    """Time over that of the same on a single element, on a CPU."""
    over_identity: float | None = None
    """A training step's time over that of one that has no activation to compute."""
    page_faults: float = 0.0
    """New pages per call."""
    subnormal_share: float = 0.0
    """Share of results (or gradients) that are subnormal."""
    over_contiguous: float | None = None
    """Time over that of the same on a contiguous input, where it is strided."""
    over_normal: float | None = None
    """Time over that of the same on N(0,1) input, where it is other."""
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
        measured = [c for c in self.costs if not c.error]
        return next(i for i, c in enumerate(measured) if c is cost)

    def copy_s(self) -> float:
        """Seconds a call that `copy_` of the input took in the same rounds."""
        assert self.timings is not None
        return self.timings.per_call(self.timings.labels.index(COPY))[1]

    def copy_share(self, cost: Cost) -> float | None:
        """Bytes per second of an activation's pass, over those of `copy_`."""
        column = self.column(cost)
        if self.timings is None or column is None or cost.traffic_bytes is None:
            return None
        moving_s = self.copy_s() * cost.traffic_bytes / (2 * self.case.nbytes)
        return moving_s / self.timings.per_call(column)[1]

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
        return record | {
            "median_s": median,
            "q1_s": q1,
            "q3_s": q3,
            "ratio": ratio.value,
            "ratio_low": ratio.low,
            "ratio_high": ratio.high,
            "verdict": timings.verdict(column, margin) if column else "baseline",
            "noise_floor": timings.noise_floor(),
            "bytes_per_s": None if cost.traffic_bytes is None else cost.traffic_bytes / median,
            "copy_share": self.copy_share(cost),
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


def varied_axes(columns: Columns) -> list[str]:
    """The conditions that records of a benchmark differ in, the size aside."""
    return [name for name in AXES if len(set(columns[name])) > 1]
