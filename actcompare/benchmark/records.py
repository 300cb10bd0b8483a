"""The configuration of a benchmark, and its raw measurements."""

import math
from dataclasses import dataclass
from typing import Annotated, Any

import torch

from actcompare.bounds import Amount, AtLeastOne, Count, Label, Positive, Share
from actcompare.errors import UsageError
from actcompare.machine.devices import DTYPES, device_named
from actcompare.machine.memory import last_level_cache
from actcompare.machine.timing import Timings
from actcompare.stats import Estimate
from actcompare.table import Columns

CHOICES = {
    "pass": ("forward", "backward", "both", "step"),
    "mode": ("eager", "compiled"),
    "cache": ("hot", "cold"),
    "memory": ("warm", "fresh"),
    "layout": ("contiguous", "strided"),
    "input": ("normal", "uniform", "tail"),
}
"""The values of each axis of conditions; the first is the default."""


@dataclass(frozen=True)
class Case:
    """One set of conditions under which activations are compared."""

    device: str
    dtype: str
    shape: Annotated[tuple[Positive, ...], AtLeastOne]
    """Shape of the activation's input."""
    pass_: str
    """forward, backward, both, or step (a training step of SimpleNet)."""
    mode: str
    """eager or compiled."""
    cache: str
    """hot (one buffer), or cold (a cycle of buffers twice as large as the last-level cache)."""
    memory: str
    """warm, or fresh (see `actcompare.machine.allocator`)."""
    layout: str
    """contiguous, or strided (every second element of a larger tensor)."""
    input: str
    """normal (N(0,1)), uniform (U(-1,1)) or tail (where exp(x) is subnormal)."""
    model: str = ""
    """Name of the user's model, whose input has this shape; empty for an activation by itself."""

    def __post_init__(self) -> None:
        for name, choices in (CHOICES | {"dtype": DTYPES}).items():
            value = getattr(self, "pass_" if name == "pass" else name)
            if value not in choices:
                raise ValueError(f"{name} {value!r} is not one of {', '.join(choices)}")
        try:
            device_named(self.device)
        except UsageError as error:
            raise ValueError(str(error)) from None
        if self.size >= 2**63:
            raise ValueError(f"no tensor has {self.size:,} elements")

    @property
    def size(self) -> int:
        """Number of elements of the activation's input."""
        return math.prod(self.shape)

    @property
    def kind(self) -> torch.dtype:
        """The torch dtype."""
        return DTYPES[self.dtype]

    @property
    def where(self) -> torch.device:
        """The torch device."""
        return torch.device(self.device)

    @property
    def nbytes(self) -> int:
        """Size of the activation's input in bytes."""
        return self.size * self.kind.itemsize

    @property
    def needs_grad(self) -> bool:
        """Whether the case includes a backward pass."""
        return self.pass_ != "forward"

    def buffers(self) -> int:
        """Return how many tensors take turns as the input."""
        if self.cache == "hot" or self.pass_ == "step":
            return 1
        return max(2, math.ceil(2 * last_level_cache(self.where) / self.nbytes))


# --- bench ---------------------------------------------------------------------------------------

AXES = ("device", "dtype", "pass", "mode", "cache", "memory", "layout", "input")

COPY = "copy_"
"""Label of the candidate that only copies the input: the reference for bandwidth."""

IDENTITY = "identity"
"""Label of a user's model with the identity in place of the activation: what the rest takes."""


@dataclass(frozen=True)
class BenchConfig:
    """The settings of a benchmark."""

    activations: Annotated[tuple[Label, ...], AtLeastOne]
    cases: tuple[Case, ...]
    threads: Positive
    seed: Count
    time_limit: Amount
    """Seconds per case."""
    precision: Amount
    """A case ends once every ratio is known to within this share."""
    margin: Amount
    """Ratios within this share of 1 count as the same."""
    model: str = ""
    """Name of the user's model, if one is measured."""
    optimizer: str = ""
    """Optimizer of its training steps."""
    swapped: str = ""
    """SPEC of the activation that is swapped in it."""
    calls: Count = 0
    """How often a pass calls that activation."""


@dataclass(frozen=True)
class Cost:
    """What is measured for one activation in one case besides its rounds."""

    activation: Label
    error: str = ""
    """Why the activation could not be measured; empty if it was."""
    traffic_bytes: Count | None = None
    """Bytes that a call must read and write; None for a training step."""
    peak_bytes: Count | None = None
    """Peak memory of a call beyond its input, in bytes."""
    saved_bytes: Count | None = None
    """Bytes kept for the backward pass, apart from parameters; None if there is none."""
    compile_s: Amount | None = None
    """Seconds that the first call of a compiled function takes."""
    over_one_element: Amount | None = None
    """Time divided by the time of the same pass on a single element (CPU only)."""
    over_identity: Amount | None = None
    """Time of a training step divided by that of a step with the identity as activation."""
    page_faults: Amount = 0.0
    """New memory pages per call."""
    subnormal_share: Share = 0.0
    """Share of results (or gradients) that are subnormal."""
    over_contiguous: Amount | None = None
    """Time divided by the time on a contiguous input; None if the input is contiguous."""
    over_normal: Amount | None = None
    """Time divided by the time on N(0,1) input; None if the input is N(0,1)."""
    graph_s: Amount | None = None
    """Seconds per call in a captured CUDA graph."""
    over_one_thread: Amount | None = None
    """Time divided by the time with one thread; None with one thread, or if compiled."""
    busy: bool = False
    """Whether the machine was too busy to compare the time with others, which are then None."""


@dataclass(frozen=True)
class Measurement:
    """All measurements of one case."""

    case: Case
    costs: tuple[Cost, ...]
    """One per activation, in order, including those that failed."""
    timings: Timings | None
    """The activations that did not fail, then `copy_`, or the model with the identity; None if the
    baseline failed."""
    new_pages: Amount | None = None
    """Time of a copy into new pages divided by that into used ones; None if memory is warm."""

    def __post_init__(self) -> None:
        measured = [not cost.error for cost in self.costs]
        if not measured or measured[0] != (self.timings is not None):
            raise ValueError("there are rounds exactly if the baseline was measured")
        if self.timings is not None:
            labels = self.timings.labels
            reference = IDENTITY if self.case.model else COPY
            if len(labels) != sum(measured) + 1 or labels[-1] != reference:
                raise ValueError("the rounds do not match the activations")

    def column(self, cost: Cost) -> int | None:
        """Return the column of an activation in the timings; None if it was not measured."""
        if self.timings is None or cost.error:
            return None
        measured = [c for c in self.costs if not c.error]
        return next(i for i, c in enumerate(measured) if c is cost)

    def copy_s(self) -> float:
        """Return the median seconds per call of `copy_` in the same rounds."""
        assert self.timings is not None
        return self.timings.per_call(self.timings.labels.index(COPY))[1]

    def copy_share(self, cost: Cost) -> float | None:
        """Return the bandwidth of an activation's pass divided by that of `copy_`."""
        column = self.column(cost)
        if self.timings is None or column is None or cost.traffic_bytes is None:
            return None
        moving_s = self.copy_s() * cost.traffic_bytes / (2 * self.case.nbytes)
        return moving_s / self.timings.per_call(column)[1]

    def activation_share(self, cost: Cost) -> Estimate | None:
        """Return the share of a model's time that its swapped activations take."""
        column = self.column(cost)
        if self.timings is None or column is None or not self.case.model:
            return None
        rest = self.timings.ratio(len(self.timings.labels) - 1, column)
        return Estimate(1 - rest.value, 1 - rest.high, 1 - rest.low)

    def row(self, cost: Cost, margin: float) -> dict[str, Any]:
        """Return the tidy record of one activation."""
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
        if case.model:
            for name in NOTOF_MODELS:
                del record[name]
            record |= {"model": case.model, "samples": case.shape[0]}
        if timings is None or column is None:
            of_models = OF_MODELS if case.model else ()
            return record | dict.fromkeys([*_MEASURED, *of_models]) | {"verdict": "failed"}
        q1, median, q3 = timings.per_call(column)
        ratio = timings.ratio(column) if column else Estimate(1.0, 1.0, 1.0)
        share = self.activation_share(cost)
        more: dict[str, Any] = {}
        if share is not None:
            more = {
                "samples_per_s": case.shape[0] / median,
                "saved_bytes": cost.saved_bytes,
                "activation_share": share.value,
                "activation_share_low": share.low,
                "activation_share_high": share.high,
            }
        return (
            record
            | more
            | {
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
                "disturbed_rounds": timings.disturbed,
                "stopped_by": timings.stopped_by,
            }
        )


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
    "disturbed_rounds",
    "stopped_by",
)

OF_MODELS = (
    *("samples_per_s", "saved_bytes"),
    *("activation_share", "activation_share_low", "activation_share_high"),
)
"""The columns that only benchmarks of a user's model have."""

NOTOF_MODELS = ("cache", "memory", "layout", "input")
"""Conditions of an activation by itself, which a user's model does not have."""

NUMBERS = ("size", *(name for name in _MEASURED if name not in ("verdict", "stopped_by")))
"""The columns that `--fail-on` can test; of a model, also OF_MODELS."""

VERDICTS = ("slower", "faster", "same", "unclear", "failed")
"""The verdicts on activations other than the baseline."""


def varied_axes(columns: Columns) -> list[str]:
    """Return the conditions, apart from the size, in which the records differ."""
    return [name for name in AXES if len(set(columns.get(name, ()))) > 1]
