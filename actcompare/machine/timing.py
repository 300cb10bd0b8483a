"""Time callables side by side, in paired rounds in random order.

Each round runs every candidate once, so that drift (clock rate, load, temperature) affects all of
them alike; statistics are computed from ratios within rounds. The first candidate, the baseline,
runs twice: its second run is the control. The ratio of the baseline to itself gives the noise
floor, and smaller differences are not reported as real.
"""

import contextlib
import gc
import itertools
import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch

from actcompare.bounds import Count, Positive
from actcompare.errors import ActcompareError, UsageError
from actcompare.machine.stopwatch import Stopwatch, Work, stopwatch_for
from actcompare.stats import FEWEST_IN_PART, PARTS, Estimate, ratio_interval, ratio_verdict

CLOCK_SHARE = 1e-3
"""Largest share of a block of calls that reading the clock may take.

That cost is subtracted, which leaves less than a tenth of it. Shorter blocks allow more rounds, so
that stalls affect only a few of them, and the median ignores those.
"""

SHORT_CALL, FEWEST_CALLS = 250e-6, 4
"""A call of fewer seconds is made at least this many times in a block, after one that is not timed.

The first calls after another candidate find its data in the caches: of 50 to 150 us on 65,536
numbers, the first takes 5 to 8 % longer and the second 3 %; of 0.5 ms, the first takes 1 to 2 %
longer. A candidate with four calls per block would seem faster than the same one with a single one.
"""

FEWEST_ROUNDS = 12
"""Rounds before which only the time limit stops a measurement."""

SHORTEST, LONGEST = 1e-18, 1e9
"""Times of a call beyond these, in seconds, are no measurements."""

WAITED_SHARE = 0.05
"""A round is disturbed if threads waited for a core for more than this share of one of its blocks.

What remains changes a ratio by less than this share of its distance to 1. A slice of the scheduler,
of some milliseconds, is many times a short block.
"""

MACHINE_BUSY = "unclear (machine busy)"
"""The verdict if fewer than FEWEST_ROUNDS rounds were undisturbed, and most were not."""

STALLED = 0.9
"""Noise no longer falls if four times the rounds leave more than this share of an interval."""


@dataclass(frozen=True)
class _SavedRows:
    """Marks a matrix that is saved as a list of rows of numbers."""

    number: type[float | int]

    def __get_pydantic_core_schema__(self, _: object, handler: Callable[[Any], Any]) -> Any:
        """Tell pydantic how to read it."""
        from pydantic_core import core_schema

        rows = handler(list[list[self.number]])  # type: ignore[name-defined]
        return core_schema.no_info_after_validator_function(_matrix, rows)


def _matrix(rows: list[list[float]] | list[list[int]]) -> npt.NDArray[Any]:
    if len(set(map(len, rows))) > 1:
        raise ValueError("its rows have different lengths")
    return np.array(rows)


@dataclass(frozen=True)
class Timings:
    """All rounds of a measurement. Candidate 0 is the baseline."""

    labels: tuple[str, ...]
    seconds: Annotated[npt.NDArray[np.float64], _SavedRows(float)]
    """Seconds per call, shape (round, candidate + 1); the last column is the control."""
    order: Annotated[npt.NDArray[np.int64], _SavedRows(int)]
    """The columns of `seconds` in the order they ran; same shape as `seconds`."""
    calls: tuple[Positive, ...]
    """Calls per block, for each candidate."""
    stopped_by: str
    """Why the measurement stopped: precision, noise (it no longer falls) or time."""
    dropped: Count = 0
    """Rounds dropped because the device's clock was throttled."""
    disturbed: Count = 0
    """Rounds in which the kernel kept threads of this process waiting for a core."""
    busy: bool = False
    """Whether so few other rounds were left that `seconds` contains the disturbed ones. Otherwise
    those were dropped."""

    def __post_init__(self) -> None:
        columns = len(self.labels) + 1
        shape = max(1, len(self.seconds)), columns
        fits = self.seconds.shape == self.order.shape == shape
        if not self.labels or len(self.calls) != len(self.labels) or not fits:
            raise ValueError("the rounds do not match the candidates")
        if not ((self.seconds > SHORTEST) & (self.seconds < LONGEST)).all():
            raise ValueError(f"a time is not between {SHORTEST:g} and {LONGEST:g} seconds")
        if not ((self.order >= 0) & (self.order < columns)).all():
            raise ValueError("the order of a round names a candidate that does not exist")

    def ratio(self, candidate: int, other: int = 0) -> Estimate:
        """Return the time over that of another candidate, by default the baseline.

        It is the median over rounds, with a 95 % interval: where the baseline takes part, the mean
        of the ratios with its two runs, on a logarithmic scale. (Ratios to the mean of the two runs
        would be biased: times are skewed, and the mean of two is less so.)
        """
        logs = np.log(self.seconds)
        pairs = itertools.product(self._columns(candidate), self._columns(other))
        return ratio_interval(*(logs[:, i] - logs[:, j] for i, j in pairs))

    def _columns(self, candidate: int) -> list[int]:
        return [candidate] if candidate else [0, -1]

    def control(self) -> Estimate:
        """Return the ratio of the baseline's second run to its first."""
        logs = np.log(self.seconds)
        return ratio_interval(logs[:, -1] - logs[:, 0])

    def noise_floor(self) -> float:
        """Return the largest difference within the control's interval, as a share."""
        control = self.control()
        return max(control.high, 1 / control.low if control.low > 0 else math.inf) - 1

    def verdict(self, candidate: int, margin: float = 0.01) -> str:
        """Return the verdict of a comparison with the baseline: faster, slower, same or unclear.

        A difference must exceed both the margin and the noise floor to be reported as real; `same`
        requires the whole interval to lie within the margin. The times of disturbed rounds are
        those of the scheduler, and prove nothing.
        """
        if self.busy:
            return MACHINE_BUSY
        return ratio_verdict(self.ratio(candidate), margin, self.noise_floor())

    def per_call(self, candidate: int) -> tuple[float, float, float]:
        """Return the lower quartile, median and upper quartile of the seconds per call."""
        q1, median, q3 = np.quantile(self.seconds[:, candidate], [0.25, 0.5, 0.75])
        return float(q1), float(median), float(q3)


def time_paired(
    candidates: Mapping[str, Work],
    *,
    time_limit: float = 1.0,
    precision: float = 0.005,
    seed: int = 0,
    stopwatch: Stopwatch | None = None,
    progress: Callable[[Estimate], None] | None = None,
) -> Timings:
    """Time callables against the first of them.

    Args:
        candidates: Callables without arguments, by name. Each finishes its work before it returns,
            unless the stopwatch waits for it.
        time_limit: Total seconds, including warm-up.
        precision: Stop when every ratio's interval is within this share of the ratio.
        seed: Seed of the random order.
        stopwatch: Times blocks of calls; by default that of the CPU.
        progress: Called occasionally with the first ratio's interval.

    Raises:
        UsageError: There are no candidates, or the time limit or precision is not positive.
        ActcompareError: Every round was throttled.
    """
    if not candidates:
        raise UsageError("nothing to time")
    if not (time_limit > 0 and precision > 0):
        raise UsageError("the time limit and the precision must be positive")
    if stopwatch is None:
        stopwatch = stopwatch_for(torch.device("cpu"))
    begin = stopwatch.now()
    with _no_garbage_collection():
        blocks = _Blocks([*candidates.values()], stopwatch, begin, time_limit / 4, seed)
        rounds = _Rounds(tuple(candidates), blocks.calls)
        while not rounds.begun or stopwatch.now() < begin + time_limit:
            row, order, disturbed = blocks.one_round()
            if stopwatch.throttled is not None and stopwatch.throttled():
                rounds.dropped += 1
                continue
            if disturbed:
                rounds.disturbed.append((row, order))
                continue
            # Drift is slow, so early on an interval that does not shrink says nothing.
            late = stopwatch.now() > begin + time_limit / 2
            if rounds.add(row, order, precision, late, progress):
                break
    if not (rounds.seconds or rounds.disturbed):
        raise ActcompareError(
            f"the device's clock was throttled (heat or power) in all {rounds.dropped} rounds:"
            " let the device cool, or raise its power limit"
        )
    return rounds.timings()


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


@dataclass(frozen=True)
class _Column:
    """A candidate with its number of calls per block."""

    work: Work
    calls: int
    short: bool
    """Whether a call that is not timed precedes each block."""


class _Blocks:
    """The candidates, each with its number of calls per block."""

    def __init__(
        self, works: list[Work], stopwatch: Stopwatch, begin: float, limit: float, seed: int
    ) -> None:
        """Choose the numbers of calls, within `limit` seconds from `begin`."""
        self._stopwatch = stopwatch
        self._clock_s = min(stopwatch.timer(lambda: None, 0) for _ in range(20))
        for work in works:
            stopwatch.timer(work, 1)  # the first call is atypical
        left = max(0.0, begin + limit - stopwatch.now())
        ends = [stopwatch.now() + left * (i + 1) / len(works) for i in range(len(works))]
        columns = [self._column(work, end) for work, end in zip(works, ends, strict=True)]
        self.calls = tuple(column.calls for column in columns)
        self._columns = [*columns, columns[0]]
        self._rng, self._order = random.Random(seed), list(range(len(self._columns)))

    def _column(self, work: Work, until: float) -> _Column:
        """Double the number of calls until the clock's cost is negligible in a block."""
        timer, most = self._stopwatch.timer, self._stopwatch.most_calls or math.inf
        calls, wanted = 1, self._clock_s / CLOCK_SHARE
        # Take the minimum of three, since a single block may have been interrupted.
        while True:
            took = min(timer(work, calls) for _ in range(3))
            short = took < calls * SHORT_CALL
            enough = took >= wanted and not (short and calls < FEWEST_CALLS)
            if enough or self._stopwatch.now() >= until or 2 * calls > most:
                return _Column(work, calls, short)
            calls *= 2

    def one_round(self) -> tuple[list[float], list[int], bool]:
        """Run every block once, the baseline's twice.

        Returns:
            Seconds per call, the order, and whether the kernel kept threads waiting.
        """
        self._rng.shuffle(self._order)
        row, disturbed = [0.0] * len(self._columns), False
        waited = self._stopwatch.waited or (lambda: 0.0)
        before = waited()
        for i in self._order:
            column = self._columns[i]
            if column.short:
                self._stopwatch.timer(column.work, 1)
            block_s = self._stopwatch.timer(column.work, column.calls)
            took = max(block_s - self._clock_s, self._clock_s)
            row[i] = took / column.calls
            after = waited()
            disturbed |= after - before > WAITED_SHARE * took
            before = after
        return row, self._order.copy(), disturbed


@dataclass
class _Rounds:
    """The rounds so far, and whether they are enough."""

    labels: tuple[str, ...]
    calls: tuple[int, ...]
    seconds: list[list[float]] = field(default_factory=list)
    order: list[list[int]] = field(default_factory=list)
    dropped: int = 0
    disturbed: list[tuple[list[float], list[int]]] = field(default_factory=list)
    """The rounds that were disturbed, with their order."""
    stopped_by: str = "time"
    _widths: dict[int, float] = field(default_factory=dict)
    _look_at: int = FEWEST_ROUNDS

    @property
    def begun(self) -> bool:
        """Whether any round has run."""
        return bool(self.seconds or self.dropped or self.disturbed)

    def add(
        self,
        row: list[float],
        order: list[int],
        precision: float,
        late: bool,
        progress: Callable[[Estimate], None] | None,
    ) -> bool:
        """Add a round, and return whether there are enough."""
        self.seconds.append(row)
        self.order.append(order)
        n = len(self.seconds)
        if n < self._look_at:
            return False
        self._look_at = math.ceil(n * 1.25)
        timings = self.timings()
        width = self._widths[n] = _widest(timings)
        if progress is not None:
            progress(timings.ratio(min(1, len(timings.labels) - 1)))
        earlier = [w for m, w in self._widths.items() if PARTS * FEWEST_IN_PART <= m <= n / 4]
        if width <= precision:
            self.stopped_by = "precision"
        elif late and earlier and width > STALLED * earlier[-1]:
            self.stopped_by = "noise"
        return self.stopped_by != "time"

    def timings(self) -> Timings:
        kept = len(self.seconds)
        busy = kept < min(FEWEST_ROUNDS, len(self.disturbed))
        more = self.disturbed if busy else []
        seconds = [*self.seconds, *(row for row, _ in more)]
        order = [*self.order, *(order for _, order in more)]
        return Timings(
            self.labels,
            np.array(seconds, dtype=np.float64),
            np.array(order, dtype=np.int64),
            self.calls,
            self.stopped_by,
            self.dropped,
            len(self.disturbed),
            busy,
        )


def _widest(timings: Timings) -> float:
    """Return half the width of the widest interval of the log ratios, including the control's."""
    ratios = [timings.ratio(i) for i in range(1, len(timings.labels))]
    return max(math.log(e.high / e.low) / 2 for e in [*ratios, timings.control()])
