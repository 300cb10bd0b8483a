"""Timing callables side by side: paired rounds in random order, the first one run twice.

Each round runs every candidate once, so that what drifts (clock rate, load, temperature) is shared,
and statistics are of ratios within rounds. The baseline's second run is the control: the ratio of
the baseline to itself is the noise floor, below which nothing is claimed.
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
"""A block of calls is so long that reading the clock is less than this share of it.

That cost is taken off, so that what is left of it is less than a tenth of this. Shorter blocks are
more rounds: stalls then spoil a few of them, and the median passes over those.
"""

FEWEST_ROUNDS = 12
"""Before this many rounds nothing but the time limit stops a measurement."""

STALLED = 0.9
"""Noise has stopped falling where four times the rounds leave more than this of an interval."""


@dataclass(frozen=True)
class Timings:
    """Every round of a measurement. The first candidate is the baseline."""

    labels: tuple[str, ...]
    seconds: npt.NDArray[np.float64]
    """Seconds per call, shape (round, candidate + 1); the last column is the control."""
    order: npt.NDArray[np.int64]
    """The columns of `seconds` in the order they ran in, same shape."""
    calls: tuple[int, ...]
    """Calls per block of each candidate."""
    stopped_by: str
    """precision, noise (it has stopped falling) or time."""
    dropped: int = 0
    """Rounds that do not count, since the device's clock was held down in them."""

    def ratio(self, candidate: int) -> Estimate:
        """Its time over the baseline's, as the median over rounds with a 95 % interval.

        The baseline of a round is the geometric mean of its two runs.
        """
        logs = np.log(self.seconds)
        return ratio_interval(logs[:, candidate] - (logs[:, 0] + logs[:, -1]) / 2)

    def control(self) -> Estimate:
        """The baseline's second run over its first."""
        logs = np.log(self.seconds)
        return ratio_interval(logs[:, -1] - logs[:, 0])

    def noise_floor(self) -> float:
        """The largest difference that the control's interval admits, as a share."""
        control = self.control()
        return max(control.high, 1 / control.low if control.low > 0 else math.inf) - 1

    def verdict(self, candidate: int, margin: float = 0.01) -> str:
        """Compare with the baseline: faster, slower, same or unclear.

        Nothing within the margin or the noise floor, whichever is larger, is called a difference;
        and nothing is called the same unless it is so within the margin.
        """
        return ratio_verdict(self.ratio(candidate), margin, self.noise_floor())

    def per_call(self, candidate: int) -> tuple[float, float, float]:
        """Lower quartile, median and upper quartile of the seconds per call."""
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
        candidates: name to a callable without arguments, that finishes its work before it returns
            (or whose work `timer` waits for).
        time_limit: seconds in all, warming up included.
        precision: stop when every ratio's interval is within this share of the ratio.
        seed: of the random order.
        timer: what measures a block of calls.
        now: the clock of the time limit.
        progress: told the first ratio's interval now and then.
        throttled: asked after each round whether the clock is held down; if so it does not count.
        most_calls: the most calls of a block.

    Raises:
        UsageError: no candidates, or a time limit or precision that is not above 0.
        ActcompareError: every round was throttled.
    """
    if not candidates:
        raise UsageError("nothing to time")
    if not (time_limit > 0 and precision > 0):
        raise UsageError("the time limit and the precision must be above 0")
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
            f"the clock was held down (heat or power) in each of {rounds.dropped} rounds;"
            " let the device cool, or give it more power"
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
    """Doubled until the clock's own cost is lost in the block."""
    timer(work, 1)  # the first call of anything is special
    calls = 1
    # The least of three, since one slow call, of a thread that had to wait, says nothing.
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
    """Add rounds until there are enough of them; why it stopped."""
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
        # Drift is slow: in a short while the width not falling says nothing.
        late = now() > begin + time_limit / 2
        if late and earlier and widths[n] > STALLED * earlier[-1]:
            return "noise"
        look_at = math.ceil(n * 1.25)
    return "time"


def _widest(timings: Timings) -> float:
    """The widest interval of the log ratios, the control's included: half its width."""
    logs = np.log(timings.seconds)
    base = (logs[:, 0] + logs[:, -1]) / 2
    columns = [logs[:, i] - base for i in range(1, len(timings.labels))]
    estimates = [drifting_median_interval(c) for c in [*columns, logs[:, -1] - logs[:, 0]]]
    return max((e.high - e.low) / 2 for e in estimates)
