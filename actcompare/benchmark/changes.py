"""The same cases measured twice: new over old, with the machine's own change beside it."""

from dataclasses import dataclass
from functools import cached_property

from actcompare.benchmark.bench import Benchmark
from actcompare.benchmark.records import COPY, BenchConfig, Cost, Measurement
from actcompare.errors import UsageError
from actcompare.stats import Estimate, ratio_verdict, unpaired_ratio_interval
from actcompare.table import Table, Tabular


@dataclass(frozen=True)
class Change:
    """One activation in one case, now and then."""

    measurement: Measurement
    cost: Cost
    old_median_s: float
    ratio: Estimate
    """New over old."""
    machine: Estimate | None
    """The same for `copy_`, which no change of an activation can make slower."""
    noise_floor: float
    """The largest of both runs' noise floors and of the copy's change."""


@dataclass(frozen=True)
class Changes(Tabular):
    """Two benchmarks, compared case by case."""

    new: Benchmark
    old: Benchmark
    found: tuple[Change, ...]

    @cached_property
    def table(self) -> Table:
        """As `Benchmark.columns`, but ratios and verdicts are to the old run."""
        margin = self.new.config.margin
        rows = [
            change.measurement.row(change.cost, margin)
            | {
                "old_median_s": change.old_median_s,
                "ratio": change.ratio.value,
                "ratio_low": change.ratio.low,
                "ratio_high": change.ratio.high,
                "verdict": ratio_verdict(change.ratio, margin, change.noise_floor),
                "noise_floor": change.noise_floor,
            }
            for change in self.found
        ]
        return Table.of(rows)

    def reading(self) -> str:
        """In words: what differs between the runs besides the activations."""
        lines = []
        then, now = self.old.environment.as_dict(), self.new.environment.as_dict()
        changed = [
            f"{key} {then[key]} then, {now[key]} now" for key in now if then[key] != now[key]
        ]
        if changed:
            lines.append(
                f"The environments differ: {'; '.join(changed)}. What changed may be they, and not"
                " the activations."
            )
        machine = [c.machine for c in self.found if c.machine is not None]
        if machine:
            ends = dict.fromkeys(f"{pick(m.value for m in machine):.3g}" for pick in (min, max))
            lines.append(
                f"The machine itself: copy_ takes {' to '.join(ends)} times what it took. A"
                " difference that this or the noise of either run could explain is not called one."
            )
        for words, run in (("Only now", self.new), ("Only then", self.old)):
            alone = sum(len(m.costs) for m in run.measurements) - len(self.found)
            if alone:
                lines.append(f"{words}: {alone} measurements, which are not compared.")
        return "\n".join(lines)


def compare_runs(new: Benchmark, old: Benchmark) -> Changes:
    """Compare what two benchmarks have in common.

    Raises:
        UsageError: they have no case in common.
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
    """Say, before measuring for nothing, that a saved run holds none of what is asked for.

    Raises:
        UsageError: it is so.
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
        f"the saved run holds none of these cases: ask for what it measured,"
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
    return Change(m, cost, earlier.timings.per_call(before)[1], ratio, machine, floor)
