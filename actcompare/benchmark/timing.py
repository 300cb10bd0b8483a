"""Time callables side by side, in paired rounds in random order.

Each round runs every candidate once, so that drift (clock rate, load, temperature) affects all of
them alike; statistics are computed from ratios within rounds. The first candidate, the baseline,
runs twice: its second run is the control. The ratio of the baseline to itself gives the noise
floor, and smaller differences are not reported as real.
"""

import gc
import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from actcompare.errors import ActcompareError, UsageError
from actcompare.machine.timers import Timer, Work, cpu_timer
from actcompare.stats import (
    FEWEST_IN_PART,
    PARTS,
    Estimate,
    drifting_median_interval,
    ratio_interval,
    ratio_verdict,
)

CLOCK_SHARE = 1e-3
"""Reading the clock takes less than this share of a block of calls.

That time is subtracted, so the error that remains is less than a tenth of this share. Short blocks
leave time for more rounds: a stall then spoils only a few of them, which the median ignores.
"""

FEWEST_ROUNDS = 12
"""Fewer rounds than this are stopped only by the time limit."""

STALLED = 0.9
"""Noise no longer falls if four times the rounds leave more than this share of an interval."""


@dataclass(frozen=True)
class Timings:
    """All rounds of a measurement. Candidate 0 is the baseline."""

    labels: tuple[str, ...]
    seconds: npt.NDArray[np.float64]
    """Seconds per call, shape (round, candidate + 1); the last column is the control."""
    order: npt.NDArray[np.int64]
    """The columns of `seconds` in the order they ran; same shape as `seconds`."""
    calls: tuple[int, ...]
    """Calls per block, for each candidate."""
    stopped_by: str
    """precision, noise (which no longer falls) or time."""
    dropped: int = 0
    """Rounds that were discarded because the device's clock was throttled."""

    def ratio(self, candidate: int) -> Estimate:
        """Return the time over the baseline's: the median over rounds, with a 95 % interval.

        The baseline's time in a round is the geometric mean of its two runs.
        """
        logs = np.log(self.seconds)
        return ratio_interval(logs[:, candidate] - (logs[:, 0] + logs[:, -1]) / 2)

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
        requires the whole interval to lie within the margin.
        """
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
    timer: Timer = cpu_timer,
    now: Callable[[], float] = time.perf_counter,
    progress: Callable[[Estimate], None] | None = None,
    throttled: Callable[[], bool] | None = None,
    most_calls: int | None = None,
) -> Timings:
    """Time callables against the first of them.

    Args:
        candidates: Maps a label to a callable without arguments, which must finish its work before
            it returns unless `timer` waits for it.
        time_limit: Seconds in total, including the warm-up.
        precision: Stop once every ratio's interval is within this share of the ratio.
        seed: Seed of the random order.
        timer: Measures a block of calls.
        now: The clock of the time limit.
        progress: Called from time to time with the interval of the first ratio.
        throttled: Called after each round; if it returns True, the round is discarded.
        most_calls: The largest number of calls in a block.

    Raises:
        UsageError: There are no candidates, or the time limit or the precision is not positive.
        ActcompareError: Every round was throttled.
    """
    if not candidates:
        raise UsageError("nothing to time")
    if not (time_limit > 0 and precision > 0):
        raise UsageError("the time limit and the precision must be positive")
    begin = now()
    work = [*candidates.values(), next(iter(candidates.values()))]
    collecting = gc.isenabled()
    gc.disable()
    try:
        clock_s = min(timer(_nothing, 0) for _ in range(20))
        calls: list[int] = []
        for i, one in enumerate(work[:-1]):
            until = begin + time_limit / 4 * (i + 1) / (len(work) - 1)
            calls.append(
                _calls_per_block(one, clock_s / CLOCK_SHARE, timer, now, until, most_calls)
            )
        calls.append(calls[0])
        rng, columns = random.Random(seed), list(range(len(work)))

        def one_round() -> tuple[list[float], list[int]]:
            rng.shuffle(columns)
            row = [0.0] * len(work)
            for i in columns:
                row[i] = max(timer(work[i], calls[i]) - clock_s, clock_s) / calls[i]
            return row, columns.copy()

        rounds = _Rounds(tuple(candidates), tuple(calls[:-1]))
        rounds.stopped_by = _run(
            rounds, one_round, begin, time_limit, precision, now, progress, throttled
        )
    finally:
        if collecting:
            gc.enable()
    if not rounds.seconds:
        raise ActcompareError(
            f"the clock was throttled (heat or power) in all {rounds.dropped} rounds:"
            " let the device cool, or raise its power limit"
        )
    return rounds.timings()


def _nothing() -> None:
    pass


def _calls_per_block(
    work: Work,
    wanted: float,
    timer: Timer,
    now: Callable[[], float],
    until: float,
    most_calls: int | None,
) -> int:
    """Return a number of calls, a power of 2, whose time dwarfs that of reading the clock."""
    timer(work, 1)  # the first call includes set-up
    calls = 1
    # The minimum of three: a single slow call, of a thread that had to wait, proves nothing.
    while min(timer(work, calls) for _ in range(3)) < wanted and now() < until:
        if most_calls is not None and 2 * calls > most_calls:
            break
        calls *= 2
    return calls


@dataclass
class _Rounds:
    """The rounds so far."""

    labels: tuple[str, ...]
    calls: tuple[int, ...]
    seconds: list[list[float]] = field(default_factory=list)
    order: list[list[int]] = field(default_factory=list)
    dropped: int = 0
    stopped_by: str = "time"

    def timings(self) -> Timings:
        return Timings(
            self.labels,
            np.array(self.seconds, dtype=np.float64),
            np.array(self.order, dtype=np.int64),
            self.calls,
            self.stopped_by,
            self.dropped,
        )


def _run(
    rounds: _Rounds,
    one_round: Callable[[], tuple[list[float], list[int]]],
    begin: float,
    time_limit: float,
    precision: float,
    now: Callable[[], float],
    progress: Callable[[Estimate], None] | None,
    throttled: Callable[[], bool] | None,
) -> str:
    """Add rounds until one of the stopping rules applies, and return its name."""
    widths: dict[int, float] = {}
    look_at = FEWEST_ROUNDS
    while not (rounds.seconds or rounds.dropped) or now() < begin + time_limit:
        row, order = one_round()
        if throttled is not None and throttled():
            rounds.dropped += 1
            continue
        rounds.seconds.append(row)
        rounds.order.append(order)
        n = len(rounds.seconds)
        if n < look_at:
            continue
        timings = rounds.timings()
        widths[n] = _widest(timings)
        if progress is not None:
            progress(timings.ratio(min(1, len(timings.labels) - 1)))
        if widths[n] <= precision:
            return "precision"
        earlier = [w for m, w in widths.items() if PARTS * FEWEST_IN_PART <= m <= n / 4]
        # Drift is slow: early on, a width that does not fall proves nothing.
        late = now() > begin + time_limit / 2
        if late and earlier and widths[n] > STALLED * earlier[-1]:
            return "noise"
        look_at = math.ceil(n * 1.25)
    return "time"


def _widest(timings: Timings) -> float:
    """Return half the width of the widest interval of the log ratios, the control's included."""
    logs = np.log(timings.seconds)
    base = (logs[:, 0] + logs[:, -1]) / 2
    columns = [logs[:, i] - base for i in range(1, len(timings.labels))]
    estimates = [drifting_median_interval(c) for c in [*columns, logs[:, -1] - logs[:, 0]]]
    return max((e.high - e.low) / 2 for e in estimates)
