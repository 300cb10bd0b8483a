"""Measure what activations cost, case by case."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from actcompare.activations.spec import Specs, parse_all
from actcompare.benchmark.explain import describe_benchmark
from actcompare.benchmark.measure import Progress, measure
from actcompare.benchmark.plan import Settings, make_plan
from actcompare.benchmark.records import BenchConfig, Measurement
from actcompare.machine.environment import Environment, describe_environment
from actcompare.table import Table, Tabular


@dataclass(frozen=True)
class Benchmark(Tabular):
    """The measured cases of a benchmark, with every round."""

    config: BenchConfig
    environment: Environment
    measurements: tuple[Measurement, ...] = field(repr=False)

    def __post_init__(self) -> None:
        """Check that every measurement has the activations of the config."""
        for each in self.measurements:
            if tuple(cost.activation for cost in each.costs) != self.config.activations:
                raise ValueError("a measurement has other activations than the config")

    @cached_property
    def table(self) -> Table:
        """The tidy records, one per case and activation."""
        rows = [m.row(cost, self.config.margin) for m in self.measurements for cost in m.costs]
        return Table.of(rows)

    def reading(self) -> str:
        """Describe what limits each case, and what would make it faster."""
        return describe_benchmark(self.measurements, self.config)

    def failures(self) -> list[str]:
        """Return the reasons why activations could not be measured, without duplicates."""
        return list(
            dict.fromkeys(cost.error for m in self.measurements for cost in m.costs if cost.error)
        )


def bench(
    activations: Specs = ("relu", "softplus"),
    *,
    progress: Progress | None = None,
    keep: Callable[[Benchmark], None] | None = None,
    **settings: Any,
) -> Benchmark:
    """Measure what activations cost, each against the first, under every combination of conditions.

    Args:
        activations: SPECs such as "softplus:beta=2", functions, or modules; the first is the
            baseline.
        progress: Called occasionally with a case and the ratio of its second activation to the
            first.
        keep: Called with the benchmark so far, before the first case and after each case.
        settings: Fields of `actcompare.benchmark.plan.Settings`, such as device, dtype or size.

    Raises:
        UsageError: A SPEC or a setting is wrong.
        ActcompareError: A device is not available, a user's function cannot be loaded, or a size
            does not fit into memory. Later failures are in `failures()`; the rest is measured.
    """
    chosen = Settings(**settings)
    parsed = [activation.loaded() for activation in parse_all(activations)]
    config = make_plan(parsed, chosen)
    done = Benchmark(config, describe(config), ())
    if keep is not None:
        keep(done)
    for measurement in measure(config, parsed, progress):
        done = replace(done, measurements=(*done.measurements, measurement))
        if keep is not None:
            keep(done)
    return done


def describe(config: BenchConfig) -> Environment:
    """Return the environment of this process, naming every device of the benchmark."""
    each = [describe_environment(d) for d in dict.fromkeys(case.where for case in config.cases)]
    return replace(
        each[0],
        threads=config.threads,
        device=", ".join(e.device for e in each),
        device_name=", ".join(e.device_name for e in each),
    )
