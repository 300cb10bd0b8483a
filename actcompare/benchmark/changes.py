"""Compare two runs of the same cases: new over old, with the change of the machine itself."""

from dataclasses import dataclass
from functools import cached_property

from actcompare.benchmark.bench import Benchmark
from actcompare.benchmark.records import COPY, BenchConfig, Cost, Measurement
from actcompare.errors import UsageError
from actcompare.machine.timing import MACHINE_BUSY
from actcompare.stats import Estimate, ratio_verdict, unpaired_ratio_interval
from actcompare.table import Table, Tabular


@dataclass(frozen=True)
class Change:
    """The change of one activation in one case."""

    measurement: Measurement
    cost: Cost
    old_median_s: float
    ratio: Estimate
    """New time over old time."""
    machine: Estimate | None
    """The same ratio for `copy_`, which does not depend on any activation."""
    noise_floor: float
    """The largest of the noise floors of both runs and the change of `copy_`, as a share."""
    busy: bool
    """Whether the machine was busy in either run."""

    def verdict(self, margin: float) -> str:
        """Return the verdict of the new time on the old one."""
        return MACHINE_BUSY if self.busy else ratio_verdict(self.ratio, margin, self.noise_floor)


@dataclass(frozen=True)
class Changes(Tabular):
    """Two benchmarks compared case by case."""

    new: Benchmark
    old: Benchmark
    found: tuple[Change, ...]

    @cached_property
    def table(self) -> Table:
        """The columns of `Benchmark`; ratios and verdicts are relative to the old run."""
        margin = self.new.config.margin
        rows = [
            change.measurement.row(change.cost, margin)
            | {
                "old_median_s": change.old_median_s,
                "ratio": change.ratio.value,
                "ratio_low": change.ratio.low,
                "ratio_high": change.ratio.high,
                "verdict": change.verdict(margin),
                "noise_floor": change.noise_floor,
            }
            for change in self.found
        ]
        return Table.of(rows)

    def reading(self) -> str:
        """Describe what differs between the runs apart from the activations."""
        lines = []
        then, now = self.old.environment.as_dict(), self.new.environment.as_dict()
        changed = [f"{key} was {then[key]}, is {now[key]}" for key in now if then[key] != now[key]]
        if changed:
            lines.append(
                f"The environments differ: {'; '.join(changed)}. The environment may explain the"
                " change."
            )
        machine = [c.machine for c in self.found if c.machine is not None]
        if machine:
            ends = dict.fromkeys(f"{pick(m.value for m in machine):.3g}" for pick in (min, max))
            lines.append(
                f"Machine: copy_ takes {' to '.join(ends)} times as long as in the old run."
                " Differences that this or the noise of either run could explain are not reported"
                " as real."
            )
        for which, run in (("new", self.new), ("old", self.old)):
            alone = sum(len(m.costs) for m in run.measurements) - len(self.found)
            if alone:
                lines.append(f"Not compared: {alone} measurements only in the {which} run.")
        return "\n".join(lines)


def compare_runs(new: Benchmark, old: Benchmark) -> Changes:
    """Compare the measurements that two benchmarks have in common.

    Raises:
        UsageError: The benchmarks have no case in common.
    """
    then = {m.case: m for m in old.measurements}
    found = []
    for m in new.measurements:
        earlier = then.get(m.case)
        if earlier is None or earlier.timings is None or m.timings is None:
            continue
        used: set[int] = set()
        for cost in m.costs:
            now, before = m.column(cost), _same_activation(earlier, cost, used)
            if now is None or before is None:
                continue
            used.add(before)
            found.append(_change(m, cost, earlier, now, before))
    if not found:
        refuse_nothing_in_common(new.config, old)
    return Changes(new, old, tuple(found))


def refuse_nothing_in_common(config: BenchConfig, old: Benchmark) -> None:
    """Check, before measuring, that a saved run holds some of the requested cases.

    Raises:
        UsageError: The saved run holds none of them.
    """
    labels = {cost.activation for m in old.measurements for cost in m.costs}
    if {m.case for m in old.measurements} & {*config.cases} and labels & {*config.activations}:
        return
    cases = old.config.cases
    held = [
        dict.fromkeys(case.pass_ for case in cases),
        dict.fromkeys(case.device for case in cases),
        dict.fromkeys(case.dtype for case in cases),
        dict.fromkeys("x".join(map(str, case.shape)) for case in cases),
    ]
    raise UsageError(
        "the saved run holds none of the requested cases: request some that it measured,"
        f" {', '.join(old.config.activations)} ({'; '.join(map(', '.join, held))})"
    )


def _same_activation(earlier: Measurement, cost: Cost, used: set[int]) -> int | None:
    for other in earlier.costs:
        column = earlier.column(other)
        if other.activation == cost.activation and column is not None and column not in used:
            return column
    return None


def _change(m: Measurement, cost: Cost, earlier: Measurement, now: int, before: int) -> Change:
    assert m.timings is not None
    assert earlier.timings is not None
    machine = None
    floor = max(m.timings.noise_floor(), earlier.timings.noise_floor())
    if COPY in m.timings.labels and COPY in earlier.timings.labels:
        machine = unpaired_ratio_interval(
            m.timings.seconds[:, m.timings.labels.index(COPY)],
            earlier.timings.seconds[:, earlier.timings.labels.index(COPY)],
        )
        floor = max(floor, machine.value - 1, 1 / machine.value - 1)
    ratio = unpaired_ratio_interval(m.timings.seconds[:, now], earlier.timings.seconds[:, before])
    busy = m.timings.busy or earlier.timings.busy
    return Change(m, cost, earlier.timings.per_call(before)[1], ratio, machine, floor, busy)
