"""Confidence intervals, tests and verdicts: pure functions of numbers, each with its source."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

PARTS, FEWEST_IN_PART = 12, 4
"""To detect drift, a run is cut into PARTS parts, or fewer of FEWEST_IN_PART observations each."""


@dataclass(frozen=True)
class Estimate:
    """A number with the bounds of its confidence interval."""

    value: float
    low: float
    high: float


def _at_least(
    least: int, values: Sequence[float] | npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    x = np.asarray(values, dtype=np.float64)
    if len(x) < least:
        raise ValueError(f"{len(x)} values: at least {least} needed")
    return x


def median_interval(values: Sequence[float] | npt.NDArray[np.float64]) -> Estimate:
    """Return the median with its distribution-free 95 % interval.

    The bounds are order statistics: the number of values below the true median is binomial,
    whatever the distribution. A percentile bootstrap of the median approximates the same interval
    by resampling. With fewer than 6 values no such interval reaches 95 %, and the bounds are
    infinite.

    Source: Hahn and Meeker, Statistical Intervals (1991), section 5.2.

    Args:
        values: Independent observations, shape (observation,), at least one.

    Raises:
        ValueError: There are no values.
    """
    ordered = np.sort(_at_least(1, values))
    n, k = len(ordered), _rank_below(len(ordered))
    middle = float((ordered[(n - 1) // 2] + ordered[n // 2]) / 2)
    if k == 0:
        return Estimate(middle, -math.inf, math.inf)
    return Estimate(middle, float(ordered[k - 1]), float(ordered[n - k]))


@lru_cache
def _rank_below(n: int, level: float = 0.95) -> int:
    """Return the largest k for which order statistics k and n + 1 - k bound the median; 0 if none.

    The interval has at least the given confidence level.
    """
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
    """Return the median of observations that may drift, with an interval of at least 95 %.

    The interval contains the interval of independent observations and the median of every twelfth
    of the run (of fewer parts, if a twelfth would have fewer than four observations). The interval
    of independent observations alone shrinks with their number, however slowly the state of the
    machine drifts: computed from one second, it contained the ratio of the whole minute in 18 of
    100 cases; the wider interval did in 88 (softplus over relu on 65,536 floats, one thread, a
    shared machine).

    Args:
        values: Observations in order of time, shape (observation,), at least one.
    """
    estimate = median_interval(values)
    parts = np.array_split(values, max(1, min(PARTS, len(values) // FEWEST_IN_PART)))
    medians = [float(np.median(part)) for part in parts]
    return Estimate(estimate.value, min(estimate.low, *medians), max(estimate.high, *medians))


def ratio_interval(log_ratios: npt.NDArray[np.float64]) -> Estimate:
    """Return the median ratio with its interval, given log ratios of pairs in order of time."""
    log = drifting_median_interval(log_ratios)
    return Estimate(math.exp(log.value), math.exp(log.low), math.exp(log.high))


def unpaired_ratio_interval(new: npt.NDArray[np.float64], old: npt.NDArray[np.float64]) -> Estimate:
    """Return the ratio of the medians of two runs, with an interval of at least 95 %.

    The bounds combine the opposite bounds of the two runs, which is wider than needed if their
    errors are independent and do not drift.

    Args:
        new: Positive times in order of measurement, in seconds, shape (observation,).
        old: The same for the run to compare with.
    """
    a, b = (drifting_median_interval(np.log(seconds)) for seconds in (new, old))
    return Estimate(*map(_exp, (a.value - b.value, a.low - b.high, a.high - b.low)))


def _exp(value: float) -> float:
    return math.inf if value == math.inf else math.exp(value)


def ratio_verdict(ratio: Estimate, margin: float, noise_floor: float = 0.0) -> str:
    """Compare the interval of a time ratio with a margin of practical equivalence.

    Returns:
        "faster" or "slower" if the whole interval is beyond the margin and the noise floor, "same"
        if the whole interval is within the margin, otherwise "unclear".
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
    """Return a share with its 95 % score interval.

    Source: Wilson (1927), Probable inference, the law of succession, and statistical inference.

    Args:
        hits: Number of successes.
        n: Number of trials, at least 1.
    """
    z, share = NormalDist().inv_cdf(0.975), hits / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return Estimate(share, max(0.0, middle - half), min(1.0, middle + half))


# --- runs over several seeds ---------------------------------------------------------------------

MOST_EXACT = 40
"""Up to this many pairs, all sign assignments count; with more, a sample of DRAWS of them."""

DRAWS = 2**20
"""Sampled sign assignments."""

LEVEL = 0.05
"""Significance level."""

POWER = 0.8
"""Probability of detecting a difference."""


@lru_cache
def t_quantile(probability: float, df: int) -> float:
    """Return a quantile of Student's t distribution.

    Source: Abramowitz and Stegun (1964), 26.7.3 and 26.7.4, give the distribution function for
    whole degrees of freedom as a finite sum; it is inverted by bisection.

    Args:
        probability: Probability between 0.5 and 1.
        df: Degrees of freedom, at least 1.
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
    """Return the probability of a value below t, for t >= 0."""
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
    """Return the mean with its Student's t interval, which is infinite for a single value.

    Unlike a percentile bootstrap, which covers 75 % with three values and 84 % with five, the t
    interval keeps its level for any number of roughly normal values.

    Args:
        values: Independent observations, shape (observation,), at least one.
        level: Confidence level.

    Raises:
        ValueError: There are no values.
    """
    x = _at_least(1, values)
    mean = float(x.mean())
    if len(x) < 2:
        return Estimate(mean, -math.inf, math.inf)
    half = t_quantile(0.5 + level / 2, len(x) - 1) * float(x.std(ddof=1)) / math.sqrt(len(x))
    return Estimate(mean, mean - half, mean + half)


def interquartile_mean(values: Sequence[float] | npt.NDArray[np.float64]) -> float:
    """Return the interquartile mean (IQM): the mean without a quarter of the values at each end.

    The quarter is rounded down.

    Source: Agarwal et al. 2021, Deep reinforcement learning at the edge of the statistical
    precipice.

    Args:
        values: Observations, shape (observation,), at least one.

    Raises:
        ValueError: There are no values.
    """
    ordered = np.sort(_at_least(1, values))
    cut = len(ordered) // 4
    return float(ordered[cut : len(ordered) - cut].mean())


def sign_flip_p(differences: Sequence[float] | npt.NDArray[np.float64], seed: int = 0) -> float:
    """Return the two-sided p-value of paired differences under random signs.

    It is the share of all 2^n assignments of signs whose sum is at least as far from 0 as the
    observed one: exact up to MOST_EXACT pairs, from the sorted sums of both halves; with more
    pairs, of DRAWS random assignments, the observed one included. The smallest value is 2^(1-n).

    Source: Fisher 1935, The design of experiments, section 21; for random ones Phipson and Smyth
    2010, Permutation p-values should never be zero.

    Args:
        differences: Paired differences, shape (pair,); without any the p-value is 1.
        seed: Seed of the random assignments.

    Raises:
        ValueError: A difference is NaN or infinite.
    """
    given = np.asarray(differences, dtype=np.float64)
    if not np.isfinite(given).all():
        raise ValueError("differences must be finite")
    x = np.abs(given)
    # Sums that only rounding tells apart count as equal.
    rounding = 8 * np.finfo(np.float64).eps * len(x) * float(x.sum())
    least = abs(float(given.sum())) - rounding
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
    """Return the sums under all sign assignments, shape (2^n,)."""
    sums = np.zeros(1)
    for value in x:
        sums = np.concatenate([sums - value, sums + value])
    return sums


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm-adjusted p-values, which control the family-wise error rate.

    Source: Holm 1979, A simple sequentially rejective multiple test procedure.

    Raises:
        ValueError: A p-value does not lie in [0, 1].
    """
    if not all(0 <= p <= 1 for p in p_values):
        raise ValueError("p-values must lie in [0, 1]")
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = largest
    return corrected


def difference_verdict(difference: Estimate, p_value: float, margin: float) -> str:
    """Return the verdict on a difference in a metric, of which more is better.

    Returns:
        "same" if the whole interval is within the margin of practical equivalence; otherwise
        "better" or "worse" if the interval excludes 0 and the p-value is at most LEVEL; otherwise
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
    """Estimate how many pairs would give a verdict other than `unclear` with probability POWER.

    The estimate assumes the observed mean and standard deviation s, so it is rough:
    n = ((z1 + z2) s / d)^2 + z1^2 / 2, where d is the distance of the mean to 0 (for `better` or
    `worse`) or to the margin (for `same`), whichever needs fewer pairs. The result is at least the
    number of pairs at which the smallest possible p-value is significant.

    Source: Guenther 1981, Sample size formulas for normal theory t tests: the normal approximation
    with his correction.

    Args:
        differences: Paired differences, shape (pair,), at least two.
        margin: Margin of practical equivalence.
        comparisons: Number of comparisons that the p-value is adjusted for.

    Returns:
        A whole number, or infinity if no number of pairs would do.

    Raises:
        ValueError: There are fewer than two differences.
    """
    x = _at_least(2, differences)
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
