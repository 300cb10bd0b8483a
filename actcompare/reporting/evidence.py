"""What a report rests on: its settings, and the results of the parts that ran."""

import math
import shlex
from dataclasses import dataclass

from actcompare.benchmark.bench import Benchmark
from actcompare.errors import UsageError
from actcompare.machine.environment import Environment
from actcompare.propagation.signal import Propagation
from actcompare.reporting.parts.functions import Functions
from actcompare.reporting.parts.outputs import Outputs
from actcompare.studies.study import Study

WAITING, RUNNING, DONE = "waiting", "running", "done"
NOT_RUN, FAILED, INTERRUPTED = "not run", "failed", "interrupted"
"""States of a part."""

ARRAYS = "arrays"
"""Name of data that were given as arrays."""

BUDGET = 60.0
"""Seconds by default."""


@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """The settings of a report.

    Raises:
        UsageError: A setting is wrong.
    """

    activations: tuple[str, ...]
    """Labels; the first is the baseline."""
    data: str
    target: str | None = None
    task: str | None = None
    scale: str | None = None
    device: str = "cpu"
    budget: float = BUDGET
    """Seconds for all parts."""
    margin: float = 0.01
    """Differences of the test metric within this margin do not matter."""
    seed: int = 0
    store: str | None = None
    """File that keeps the study."""

    def __post_init__(self) -> None:
        for name, kinds in (("budget", (int, float)), ("margin", (int, float)), ("seed", int)):
            if not isinstance(getattr(self, name), kinds):
                raise UsageError(f"{name} must be a number, not {getattr(self, name)!r}")
        if not 0 < self.budget < math.inf:
            raise UsageError(
                f"budget must be a positive number of seconds, such as {BUDGET:g}, not"
                f" {self.budget:g}"
            )
        if not 0 <= self.margin < math.inf:
            raise UsageError(f"margin must be 0 or more, and finite, not {self.margin}")
        if not 0 <= self.seed < 2**63:
            raise UsageError(f"seed must be from 0 to 2^63 - 1, not {self.seed}")

    def with_data(self) -> list[str]:
        """Return the options that name the data."""
        words = [] if self.data == "digits" else ["--data", self.data]
        for name in ("target", "task", "scale"):
            if getattr(self, name) is not None:
                words += [f"--{name}", getattr(self, name)]
        return words

    def with_activations(self, *, always: bool = False) -> list[str]:
        """Return the options that name the activations, unless they are the default."""
        if self.activations == ("relu", "softplus") and not always:
            return []
        return [word for activation in self.activations for word in ("--act", activation)]

    def with_machine(self) -> list[str]:
        """Return the options for device and seed."""
        words = [] if self.device == "cpu" else ["--device", self.device]
        return words + ([] if self.seed == 0 else ["--seed", str(self.seed)])

    def command(self, budget: float | None = None) -> str:
        """Return the command that makes the report again, with another budget if one is given.

        Of arrays, which have no name, it is the call in Python.
        """
        chosen = self.budget if budget is None else budget
        if self.data == ARRAYS:
            return f"actcompare.report({list(self.activations)!r}, (X, y), budget={chosen:g})"
        words = ["actcompare", "report", *self.with_data(), *self.with_activations()]
        words += self.with_machine()
        words += [] if chosen == BUDGET else ["--budget", f"{chosen:g}"]
        words += [] if self.margin == 0.01 else ["--margin", f"{self.margin:g}"]
        words += [] if self.store is None else ["--store", self.store]
        return shlex.join(words)


@dataclass(frozen=True)
class Part:
    """One part of a report, and how far it got."""

    name: str
    """The field of `Evidence` that it fills."""
    title: str
    command: str
    """The command that shows the same alone, or that fills a part that did not run."""
    state: str = WAITING
    seconds: float = 0.0
    why: str = ""
    """Why it is not done."""


@dataclass(frozen=True)
class Variation:
    """The study with one setting changed."""

    setting: str
    """What differs, such as optimizer adam."""
    study: Study


@dataclass(frozen=True)
class Evidence:
    """The results of the parts; None where a part did not run."""

    config: ReportConfig
    environment: Environment
    parts: tuple[Part, ...]
    why: str = ""
    """What the task was inferred from."""
    functions: Functions | None = None
    step: Benchmark | None = None
    study: Study | None = None
    alone: Benchmark | None = None
    depth: Propagation | None = None
    outputs: Outputs | None = None
    compiled: Benchmark | None = None
    variations: tuple[Variation, ...] | None = None

    def part(self, name: str) -> Part:
        """Return a part by name."""
        return next(part for part in self.parts if part.name == name)

    def failures(self) -> list[str]:
        """Return why parts, or activations within them, failed, without duplicates."""
        said = [f"{part.title}: {part.why}" for part in self.parts if part.state == FAILED]
        for made in (self.step, self.alone, self.compiled):
            said += [] if made is None else made.failures()
        if self.study is not None:
            said += [f"{each.cell.activation}: {each.error}" for each in self.study.failures]
        return list(dict.fromkeys(said))

    @property
    def missing(self) -> tuple[Part, ...]:
        """The parts that did not run to their end."""
        return tuple(part for part in self.parts if part.state != DONE)
