"""`report`: which activation to use, for whom, and what it costs, on one page."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from actcompare.activations.spec import Specs, parse_all
from actcompare.data.datasets import Source
from actcompare.data.sources import load_data
from actcompare.machine.devices import resolve_device
from actcompare.machine.environment import describe_environment
from actcompare.reporting.answers import answer_rows, reading
from actcompare.reporting.claims import Claim, judge_claims
from actcompare.reporting.evidence import ARRAYS, Evidence, Part, ReportConfig
from actcompare.reporting.parts.budget import gather
from actcompare.reporting.parts.job import Clock, Job
from actcompare.table import Table, Tabular

Listener = Callable[[Sequence[Part], float], None]


@dataclass(frozen=True)
class Report(Tabular):
    """The evidence, and what follows from it."""

    evidence: Evidence

    @cached_property
    def table(self) -> Table:
        """The tidy records, one per activation."""
        return Table.of(answer_rows(self.evidence))

    @cached_property
    def claims(self) -> tuple[Claim, ...]:
        """The claims of popular articles, each with its verdict here."""
        return judge_claims(self.evidence)

    def reading(self) -> str:
        """Return the answer in words."""
        return reading(self.evidence)

    def html(self) -> str:
        """Return the page.

        Raises:
            MissingExtraError: jinja2 or matplotlib is not installed.
        """
        from actcompare.reporting.page import page

        return page(self.evidence)

    def _repr_html_(self) -> str:
        """Return the page in a frame of its own, as a notebook shows it."""
        from actcompare.reporting.page import framed

        return framed(self.html())


def report(
    activations: Specs = ("relu", "softplus"),
    data: Source = "digits",
    *,
    listen: Listener | None = None,
    clock: Clock = time.monotonic,
    **settings: Any,
) -> Report:
    """Measure what is needed to choose an activation, within a budget of seconds.

    Args:
        activations: SPECs, functions or modules; the first is the baseline.
        data: `digits`, `randhie`, `sklearn:NAME`, `random`, a file's path, or arrays X and y.
        listen: Called with the parts, and the seconds left, whenever a part begins or ends.
        clock: Seconds that pass.
        settings: Budget, device, margin, seed, store, target, task and scale: the fields of
            `actcompare.reporting.evidence.ReportConfig`.

    Raises:
        UsageError: A setting is wrong.
        ActcompareError: The data cannot be used, the device is not available, or an activation
            cannot be evaluated. Later failures are in `evidence.parts`.
        KeyboardInterrupt: It was interrupted; `carry_out` returns what there is by then.
    """
    job = prepare(activations, data, clock, **settings)
    found, stopped = carry_out(job, listen)
    if stopped is not None:
        raise stopped
    return found


def prepare(
    activations: Specs, data: Source, clock: Clock = time.monotonic, **settings: Any
) -> Job:
    """Check the settings, and load the data and the activations; raise as `report` does."""
    data = str(data) if isinstance(data, os.PathLike) else data
    parsed = tuple(activation.loaded() for activation in parse_all(activations))
    config = ReportConfig(
        activations=tuple(activation.label for activation in parsed),
        data=data if isinstance(data, str) else ARRAYS,
        **settings,
    )
    resolve_device(config.device)
    dataset = load_data(data, target=config.target, task=config.task, seed=config.seed)
    job = Job(config, parsed, data, dataset, clock)
    job.check()
    return job


def carry_out(job: Job, listen: Listener | None = None) -> tuple[Report, BaseException | None]:
    """Run the parts; return the report, and the interrupt that cut it short, if any."""
    environment = describe_environment(resolve_device(job.config.device))
    evidence, stopped = gather(job, environment, listen)
    return Report(evidence), stopped
