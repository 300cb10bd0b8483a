"""Intervals and verdicts: pure functions of numbers, each with its source."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

PARTS, FEWEST_IN_PART = 12, 4
"""A run is cut in so many parts to see drift, if each has so many observations."""


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

    It holds the interval of independent observations and also the median of every twelfth of the
    run. The first alone shrinks with the number of observations, however slowly the machine's state
    wanders: of a second's rounds it held the ratio of a minute's in 18 of 100 seconds, this one in
    88 (softplus over relu on 65,536 floats, one thread, a shared machine).

    Args:
        values: observations in the order they were made, shape (observation,), at least one.
    """
    estimate = median_interval(values)
    if len(values) < PARTS * FEWEST_IN_PART:
        return estimate
    medians = [float(np.median(part)) for part in np.array_split(values, PARTS)]
    return Estimate(estimate.value, min(estimate.low, *medians), max(estimate.high, *medians))


def ratio_interval(log_ratios: npt.NDArray[np.float64]) -> Estimate:
    """The median ratio with its interval, from logarithms of paired ratios in order of time."""
    log = drifting_median_interval(log_ratios)
    return Estimate(math.exp(log.value), math.exp(log.low), math.exp(log.high))


def unpaired_ratio_interval(new: npt.NDArray[np.float64], old: npt.NDArray[np.float64]) -> Estimate:
    """The ratio of the medians of two independent samples of times, with its 95 % interval.

    Source: Price and Bonett, "Distribution-free confidence intervals for difference and ratio of
    medians", J. Stat. Comput. Simul. 72 (2002): the medians of the logarithms, with the standard
    error of each from two of its order statistics.

    Args:
        new: seconds above 0, shape (observation,).
        old: the same, of the sample to compare with.
    """
    (a, se_a), (b, se_b) = (_median_and_error(np.log(sample)) for sample in (new, old))
    half = NormalDist().inv_cdf(0.975) * math.hypot(se_a, se_b)
    high = math.inf if half == math.inf else math.exp(a - b + half)
    return Estimate(math.exp(a - b), math.exp(a - b - half), high)


def _median_and_error(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    ordered = np.sort(values)
    n = len(ordered)
    c = max(1, round((n + 1) / 2 - math.sqrt(n)))
    below = sum(math.comb(n, i) for i in range(c)) / 2**n
    if n < 6:  # no interval of order statistics reaches 95 %
        return float(np.median(ordered)), math.inf
    z = NormalDist().inv_cdf(1 - below)
    return float(np.median(ordered)), float(ordered[n - c] - ordered[c - 1]) / (2 * z)


def ratio_verdict(ratio: Estimate, margin: float) -> str:
    """Compare a time ratio's whole interval with a margin of practical equivalence.

    Returns:
        "faster" or "slower" where the interval lies wholly beyond the margin, "same" where it lies
        wholly within, else "unclear".
    """
    if ratio.low > 1 + margin:
        return "slower"
    if ratio.high < 1 / (1 + margin):
        return "faster"
    if ratio.low >= 1 / (1 + margin) and ratio.high <= 1 + margin:
        return "same"
    return "unclear"
