"""Intervals and verdicts: pure functions of numbers, each with its source."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

PARTS, FEWEST_IN_PART = 12, 4
"""A run is cut in so many parts to see drift, fewer where one would have less than so much."""


@dataclass(frozen=True)
class Estimate:
    """A number with the ends of its confidence interval."""

    value: float
    low: float
    high: float


def median_interval(values: Sequence[float] | npt.NDArray[np.float64]) -> Estimate:
    """The median with its distribution-free 95 % interval.

    The ends are order statistics: the number of values below the true median is binomial, whatever
    the distribution. This is what a percentile bootstrap of the median approximates by resampling.
    Below 6 values no such interval reaches 95 %, and the ends are infinite.

    Source: Hahn and Meeker, Statistical Intervals (1991), section 5.2.

    Args:
        values: independent observations, shape (observation,), at least one.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    n, k = len(ordered), _rank_below(len(ordered))
    middle = float((ordered[(n - 1) // 2] + ordered[n // 2]) / 2)
    if k == 0:
        return Estimate(middle, -math.inf, math.inf)
    return Estimate(middle, float(ordered[k - 1]), float(ordered[n - k]))


@lru_cache
def _rank_below(n: int, level: float = 0.95) -> int:
    """The largest k such that order statistics k and n + 1 - k enclose the median at that level."""
    tail = (1 - level) / 2
    if n > 1000:
        z = NormalDist().inv_cdf(1 - tail)
        return math.floor((n - z * math.sqrt(n)) / 2)
    total, k = 0, 0
    while total + math.comb(n, k) <= tail * 2**n:
        total += math.comb(n, k)
        k += 1
    return k


def drifting_median_interval(values: npt.NDArray[np.float64]) -> Estimate:
    """The median of observations that may drift in time, with an interval of at least 95 %.

    It holds the interval of independent observations, and the median of every twelfth of the run
    (of fewer parts, lest one have less than four observations). The first alone shrinks with the
    number of observations, however slowly the machine's state wanders: of a second's rounds it held
    the ratio of a minute's in 18 of 100 seconds, both in 88 (softplus over relu on 65,536 floats,
    one thread, a shared machine).

    Args:
        values: observations in the order they were made, shape (observation,), at least one.
    """
    estimate = median_interval(values)
    parts = np.array_split(values, max(1, min(PARTS, len(values) // FEWEST_IN_PART)))
    medians = [float(np.median(part)) for part in parts]
    return Estimate(estimate.value, min(estimate.low, *medians), max(estimate.high, *medians))


def ratio_interval(log_ratios: npt.NDArray[np.float64]) -> Estimate:
    """The median ratio with its interval, from logarithms of paired ratios in order of time."""
    log = drifting_median_interval(log_ratios)
    return Estimate(math.exp(log.value), math.exp(log.low), math.exp(log.high))


def unpaired_ratio_interval(new: npt.NDArray[np.float64], old: npt.NDArray[np.float64]) -> Estimate:
    """The ratio of the medians of two runs, with an interval of at least 95 %.

    The ends are those of both runs' own intervals against each other, which is wider than were
    their errors independent and without drift.

    Args:
        new: seconds above 0 in the order they were measured, shape (observation,).
        old: the same, of the run to compare with.
    """
    a, b = (drifting_median_interval(np.log(seconds)) for seconds in (new, old))
    return Estimate(*map(_exp, (a.value - b.value, a.low - b.high, a.high - b.low)))


def _exp(value: float) -> float:
    return math.inf if value == math.inf else math.exp(value)


def ratio_verdict(ratio: Estimate, margin: float, noise_floor: float = 0.0) -> str:
    """Compare a time ratio's whole interval with a margin of practical equivalence.

    Returns:
        "faster" or "slower" where the interval lies wholly beyond the margin and the noise floor,
        "same" where it lies wholly within the margin, else "unclear".
    """
    beyond = 1 + max(margin, noise_floor)
    if ratio.low > beyond:
        return "slower"
    if ratio.high < 1 / beyond:
        return "faster"
    if ratio.low >= 1 / (1 + margin) and ratio.high <= 1 + margin:
        return "same"
    return "unclear"


def share_interval(hits: int, n: int) -> Estimate:
    """A share with its 95 % interval.

    Source: Wilson (1927), Probable inference, the law of succession, and statistical inference.

    Args:
        hits: how many of n.
        n: at least 1.
    """
    z, share = NormalDist().inv_cdf(0.975), hits / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return Estimate(share, max(0.0, middle - half), min(1.0, middle + half))
