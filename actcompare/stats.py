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


# --- runs that differ in their seed --------------------------------------------------------------

MOST_EXACT = 40
"""Up to so many pairs all signs are tried; beyond, DRAWS of them."""

DRAWS = 2**20

LEVEL = 0.05

POWER = 0.8


@lru_cache
def t_quantile(probability: float, df: int) -> float:
    """The quantile of Student's t distribution.

    Source: the distribution function is the finite sum for whole degrees of freedom in Abramowitz
    and Stegun (1964), 26.7.3 and 26.7.4; it is inverted by bisection.

    Args:
        probability: between 0.5 and 1.
        df: degrees of freedom, at least 1.
    """
    low, high = 0.0, 1.0
    while _t_below(high, df) < probability:
        low, high = high, 2 * high
    while True:
        middle = (low + high) / 2
        if middle in (low, high):
            return middle
        low, high = (middle, high) if _t_below(middle, df) < probability else (low, middle)


def _t_below(t: float, df: int) -> float:
    """The probability of a smaller value than t >= 0."""
    angle = math.atan2(t, math.sqrt(df))
    cosine, odd = math.cos(angle), df % 2
    term = cosine if odd else 1.0
    total = 0.0 if df == 1 else term
    for k in range(2 + odd, df - 1, 2):
        term *= (k - 1) / k * cosine * cosine
        total += term
    total *= math.sin(angle)
    inside = 2 / math.pi * (angle + total) if odd else total
    return 0.5 + inside / 2


def t_interval(values: Sequence[float] | npt.NDArray[np.float64], level: float = 0.95) -> Estimate:
    """The mean with its interval by Student's t; infinite of a single value.

    Unlike a percentile bootstrap, which covers 75 % at three values and 84 % at five, it keeps its
    level at any number of them where they are roughly normal.

    Args:
        values: independent observations, shape (observation,), at least one.
        level: of confidence.
    """
    x = np.asarray(values, dtype=np.float64)
    mean = float(x.mean())
    if len(x) < 2:
        return Estimate(mean, -math.inf, math.inf)
    half = t_quantile(0.5 + level / 2, len(x) - 1) * float(x.std(ddof=1)) / math.sqrt(len(x))
    return Estimate(mean, mean - half, mean + half)


def interquartile_mean(values: Sequence[float] | npt.NDArray[np.float64]) -> float:
    """The mean of the middle half: a quarter of the values is left out at each end, rounded down.

    Source: Agarwal et al. 2021, Deep reinforcement learning at the edge of the statistical
    precipice.

    Args:
        values: shape (observation,), at least one.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    cut = len(ordered) // 4
    return float(ordered[cut : len(ordered) - cut].mean())


def sign_flip_p(differences: Sequence[float] | npt.NDArray[np.float64], seed: int = 0) -> float:
    """The two-sided p-value of paired differences under the hypothesis that signs are chance.

    The share of all 2^n assignments of signs whose sum is at least as far from 0 as the observed
    one: exact up to MOST_EXACT pairs, by the sorted sums of either half; beyond, of DRAWS drawn
    assignments, the observed one among them. The smallest possible value is 2^(1-n).

    Source: Fisher 1935, The design of experiments, section 21; for the drawn ones Phipson and Smyth
    2010, Permutation p-values should never be zero.

    Args:
        differences: shape (pair,); of none the value is 1.
        seed: of the drawn assignments.
    """
    x = np.abs(np.asarray(differences, dtype=np.float64))
    observed = abs(float(np.sum(differences)))
    least = observed - 1e-9 * float(x.sum())  # sums that only rounding tells apart are equal
    x = x[x > 0]
    if len(x) == 0:
        return 1.0
    if len(x) <= MOST_EXACT:
        one, other = (_signed_sums(half) for half in np.array_split(x, 2))
        other.sort()
        below = int(np.searchsorted(other, least - one, side="left").sum())
        beyond = len(one) * len(other) - below
        return min(1.0, 2 * beyond / len(one) / len(other))
    rng, hits = np.random.default_rng(seed), 1
    for _ in range(64):
        signs = rng.integers(0, 2, (DRAWS // 64, len(x)), dtype=np.int8)
        hits += int((np.abs((2.0 * signs - 1.0) @ x) >= least).sum())
    return hits / (DRAWS + 1)


def _signed_sums(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The sums under all assignments of signs, shape (2^n,)."""
    sums = np.zeros(1)
    for value in x:
        sums = np.concatenate([sums - value, sums + value])
    return sums


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number, so that one false claim among all is as rare as asked.

    Source: Holm 1979, A simple sequentially rejective multiple test procedure.
    """
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = largest
    return corrected


def difference_verdict(difference: Estimate, p_value: float, margin: float) -> str:
    """What a difference, of which more is better, comes to.

    Returns:
        "same" where the whole interval lies within the margin of practical equivalence, else
        "better" or "worse" where the interval excludes 0 and the p-value is at most LEVEL, else
        "unclear".
    """
    if -margin < difference.low and difference.high < margin:
        return "same"
    if p_value <= LEVEL and difference.low > 0:
        return "better"
    if p_value <= LEVEL and difference.high < 0:
        return "worse"
    return "unclear"


def seeds_to_settle(
    differences: Sequence[float] | npt.NDArray[np.float64], margin: float, comparisons: int = 1
) -> float:
    """How many pairs would likely (POWER) tell the difference from 0, or show it within the margin.

    At the mean and spread that were seen, so a rough guess: n = ((z1 + z2) s / d)^2 + z1^2 / 2,
    with the distance d to 0 or to the margin, whichever is farther; and as many as the least
    possible p-value needs.

    Source: the normal approximation with Guenther's correction: Guenther 1981, Sample size formulas
    for normal theory t tests.

    Args:
        differences: shape (pair,), at least two.
        margin: of practical equivalence.
        comparisons: among how many this one is corrected.

    Returns:
        A whole number, or infinity.
    """
    x = np.asarray(differences, dtype=np.float64)
    mean, spread = abs(float(x.mean())), float(x.std(ddof=1))
    needed = [
        ((z + NormalDist().inv_cdf(POWER)) * spread / distance) ** 2 + z * z / 2
        for distance, z in (
            (mean, NormalDist().inv_cdf(1 - LEVEL / 2 / comparisons)),
            (margin - mean, NormalDist().inv_cdf(1 - LEVEL / 2)),
        )
        if distance > 0
    ]
    fewest = 1 + math.ceil(math.log2(comparisons / LEVEL))
    return max(fewest, math.ceil(min(needed))) if needed else math.inf
