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
from dataclasses import dataclass
from itertools import repeat

import numpy as np
import numpy.typing as npt

from actcompare.errors import ActcompareError, UsageError
from actcompare.stats import Estimate, median_interval, ratio_interval, ratio_verdict

Work = Callable[[], object]
Timer = Callable[[Work, int], float]
"""Seconds that a number of calls of some work took."""

CLOCK_SHARE = 1e-4
"""A block of calls is so long that reading the clock is less than this share of it."""
FEWEST_ROUNDS = 12
"""Before this many rounds nothing but the time limit stops a measurement."""
STALLED = 0.9
"""Noise has stopped falling where twice the rounds leave the interval wider than this share."""


def cpu_timer(work: Work, calls: int) -> float:
    """Seconds that `calls` calls took, by the monotonic clock."""
    begin = time.perf_counter()
    for _ in repeat(None, calls):
        work()
    return time.perf_counter() - begin


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
        ratio = self.ratio(candidate)
        claimed = ratio_verdict(ratio, max(margin, self.noise_floor()))
        if claimed == "same":
            return "same" if ratio_verdict(ratio, margin) == "same" else "unclear"
        return claimed

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
    labels = tuple(candidates)
    work = [*candidates.values(), candidates[labels[0]]]
    collecting = gc.isenabled()
    gc.disable()
    try:
        calls = _calibrate(work[:-1], timer, begin + time_limit / 4, now, most_calls)
        calls.append(calls[0])
        until = begin + time_limit
        return _run(labels, work, calls, until, precision, seed, timer, now, progress, throttled)
    finally:
        if collecting:
            gc.enable()


def _calibrate(
    work: list[Work],
    timer: Timer,
    until: float,
    now: Callable[[], float],
    most_calls: int | None,
) -> list[int]:
    """Calls per block: doubled until the clock's own cost is lost in the block."""

    def nothing() -> None:
        pass

    wanted = min(timer(nothing, 0) for _ in range(20)) / CLOCK_SHARE
    calls = []
    for one in work:
        timer(one, 1)  # the first call of anything is special
        n = 1
        # The least of three, since one slow call, of a thread that had to wait, says nothing.
        while min(timer(one, n) for _ in range(3)) < wanted and now() < until:
            if most_calls is not None and 2 * n > most_calls:
                break
            n *= 2
        calls.append(n)
    return calls


def _run(
    labels: tuple[str, ...],
    work: list[Work],
    calls: list[int],
    until: float,
    precision: float,
    seed: int,
    timer: Timer,
    now: Callable[[], float],
    progress: Callable[[Estimate], None] | None,
    throttled: Callable[[], bool] | None,
) -> Timings:
    rng = random.Random(seed)
    columns = list(range(len(work)))
    seconds: list[list[float]] = []
    orders: list[list[int]] = []
    widths: dict[int, float] = {}
    stopped_by, look_at, dropped = "time", FEWEST_ROUNDS, 0
    while not (seconds or dropped) or now() < until:
        rng.shuffle(columns)
        row = [0.0] * len(work)
        for i in columns:
            row[i] = timer(work[i], calls[i]) / calls[i]
        if throttled is not None and throttled():
            dropped += 1
            continue
        seconds.append(row)
        orders.append(columns.copy())
        if len(seconds) < look_at:
            continue
        timings = _timings(labels, seconds, orders, calls, "time", dropped)
        widths[len(seconds)] = _widest(timings)
        if progress is not None:
            progress(timings.ratio(min(1, len(labels) - 1)))
        if widths[len(seconds)] <= precision:
            stopped_by = "precision"
            break
        earlier = [w for n, w in widths.items() if n <= len(seconds) / 2 and math.isfinite(w)]
        enough = len(seconds) >= 8 * FEWEST_ROUNDS
        if enough and earlier and widths[len(seconds)] > STALLED * earlier[-1]:
            stopped_by = "noise"
            break
        look_at = math.ceil(len(seconds) * 1.25)
    if not seconds:
        raise ActcompareError(
            f"the clock was held down (heat or power) in each of {dropped} rounds;"
            " let the device cool, or give it more power"
        )
    return _timings(labels, seconds, orders, calls, stopped_by, dropped)


def _timings(
    labels: tuple[str, ...],
    seconds: list[list[float]],
    orders: list[list[int]],
    calls: list[int],
    stopped_by: str,
    dropped: int,
) -> Timings:
    return Timings(
        labels,
        np.array(seconds, dtype=np.float64),
        np.array(orders, dtype=np.int64),
        tuple(calls[:-1]),
        stopped_by,
        dropped,
    )


def _widest(timings: Timings) -> float:
    """The widest interval of the log ratios, the control's included: half its width."""
    logs = np.log(timings.seconds)
    base = (logs[:, 0] + logs[:, -1]) / 2
    columns = [logs[:, i] - base for i in range(1, len(timings.labels))]
    estimates = [median_interval(c) for c in [*columns, logs[:, -1] - logs[:, 0]]]
    return max((e.high - e.low) / 2 for e in estimates)
