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

    def times(self, sign: int) -> "Estimate":
        """Return the same (sign 1), or its negative (-1)."""
        return self if sign == 1 else Estimate(-self.value, -self.high, -self.low)


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


def ratio_interval(*log_ratios: npt.NDArray[np.float64]) -> Estimate:
    """Return the median ratio with its interval, given log ratios of pairs in order of time.

    Those to several references that are alike give one estimate each, and their mean is returned.
    Its interval is the mean of theirs, which is wide enough: a mean varies no more than its terms.
    """
    logs = [drifting_median_interval(logs) for logs in log_ratios]
    ends = zip(*((log.value, log.low, log.high) for log in logs), strict=True)
    return Estimate(*(math.exp(sum(end) / len(logs)) for end in ends))


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


def unseen_share(n: float) -> float:
    """Return the 95 % upper bound of the share of what was not seen in n samples.

    This is the share p with (1 - p)^n = 0.05: p = 1 - 0.05^(1/n), about 3/n.

    Source: Hanley and Lippman-Hand 1983, If nothing goes wrong, is everything all right?
    """
    return float(1 - LEVEL ** (1 / n))


# --- runs over several seeds ---------------------------------------------------------------------

MOST_EXACT = 40
"""Up to this many pairs, all sign assignments count; with more, a sample of DRAWS of them."""

DRAWS = 2**20
"""Sampled sign assignments."""

LEVEL = 0.05
"""Significance level."""

POWER = 0.8
"""Probability of detecting a difference."""

FEWEST_PAIRS = 3
"""Fewer paired differences support no interval."""


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


def t_p_value(t: float, df: int) -> float:
    """Return the two-sided p-value of Student's t.

    Source: Abramowitz and Stegun (1964), 26.7.3 and 26.7.4 for small t; for large t, where the
    complement of that sum would cancel, the series of the incomplete beta function, 26.5.4 with
    6.6.8.

    Args:
        t: The statistic.
        df: Degrees of freedom, at least 1.

    Raises:
        ValueError: t is NaN.
    """
    t = abs(t)
    if math.isnan(t):
        raise ValueError("t must be a number")
    if math.isinf(t):
        return 0.0
    if t < 3:
        return 2 * (1 - _t_below(t, df))
    a, x = df / 2, df / (df + t * t)
    coefficient, total, k = 1.0, 1 / a, 0
    while coefficient > 1e-17 * a * total:
        k += 1
        coefficient *= (k - 0.5) / k * x
        total += coefficient / (a + k)
    logarithm = a * math.log(x) + math.lgamma(a + 0.5) - math.lgamma(a) - math.lgamma(0.5)
    return math.exp(logarithm) * total


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


def holm_levels(p_values: Sequence[float]) -> list[float]:
    """Return the confidence level of each interval that fits Holm's procedure.

    An interval of this level excludes 0 exactly if the Holm-adjusted p-value is at most LEVEL: the
    hypotheses that are rejected get the level of their step, and all others that of the step at
    which the procedure stops.

    Args:
        p_values: Unadjusted p-values, one per interval.

    Raises:
        ValueError: A p-value does not lie in [0, 1].
    """
    adjusted = holm(p_values)
    left = sum(p > LEVEL for p in adjusted)
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    tails = {i: LEVEL / (len(p_values) - rank) for rank, i in enumerate(order)}
    return [1 - (tails[i] if p <= LEVEL else LEVEL / left) for i, p in enumerate(adjusted)]


@dataclass(frozen=True)
class PairedMean:
    """The mean of paired differences, with its standard error."""

    value: float
    error: float
    """Standard error; infinite if it is unknown."""
    df: int
    """Degrees of freedom of the error."""

    def interval(self, level: float = 0.95) -> Estimate:
        """Return the mean with its t interval."""
        half = t_quantile(0.5 + level / 2, self.df) * self.error
        return Estimate(self.value, self.value - half, self.value + half)

    @property
    def p_value(self) -> float:
        """Two-sided p-value of the t test; 1 if the error is unknown."""
        return t_p_value(self.value / self.error, self.df) if self.error else 1.0


def paired_mean(
    differences: Sequence[float] | npt.NDArray[np.float64],
    more_variance: float = 0.0,
    clusters: float = math.inf,
) -> PairedMean:
    """Return the mean of paired differences, with its standard error.

    The error is unknown with fewer than FEWEST_PAIRS differences, or if all of them are equal but
    not 0: they then say nothing about their spread.

    Args:
        differences: Paired differences, shape (pair,).
        more_variance: Variance of the mean beyond that between pairs, such as
            `shared_sample_variance`.
        clusters: Number of clusters of the other kind, if `more_variance` comes from clusters. The
            fewer ones decide the degrees of freedom.

    Raises:
        ValueError: A difference is NaN or infinite, or there are none.
    """
    x = _at_least(1, differences)
    if not np.isfinite(x).all():
        raise ValueError("differences must be finite")
    mean = float(x.mean())
    if len(x) < FEWEST_PAIRS or clusters < 2:
        return PairedMean(mean, math.inf, 1)
    spread = float(x.var(ddof=1)) if np.ptp(x) > 0 else 0.0
    error = math.sqrt(spread / len(x) + more_variance)
    if error == 0 != mean:
        error = math.inf
    return PairedMean(mean, error, int(min(len(x), clusters)) - 1)


def shared_sample_variance(
    differences: Sequence[npt.NDArray[np.float64]], samples: Sequence[npt.NDArray[np.int64]]
) -> float:
    """Return the variance of a mean of seeds' means that comes from samples which seeds share.

    The spread between seeds does not show it: a sample that favours one side does so for every
    seed that tests it. With variances clustered by seed, by sample and by both, the variance of the
    mean is V(seed) + V(sample) - V(both); this function returns the last two terms, at least 0.

    Source: Cameron, Gelbach and Miller 2011, Robust inference with multiway clustering.

    Args:
        differences: For each seed, the differences on its test samples, shape (sample,).
        samples: For each seed, the numbers of these samples; equal numbers are the same sample.
    """
    seeds, observations = len(differences), sum(map(len, differences))
    mean = float(np.mean([each.mean() for each in differences]))
    away = np.concatenate([(each - mean) / (len(each) * seeds) for each in differences])
    _, which = np.unique(np.concatenate(samples), return_inverse=True)
    by_sample = np.bincount(which, away)
    if len(by_sample) < 2:
        return 0.0
    v_sample = float(np.square(by_sample).sum()) * len(by_sample) / (len(by_sample) - 1)
    v_both = float(np.square(away).sum()) * observations / (observations - 1)
    return max(0.0, v_sample - v_both)


def difference_verdict(difference: Estimate, margin: float) -> str:
    """Compare the interval of a difference in a metric, of which more is better, with a margin.

    Returns:
        "same" if the whole interval is within the margin of practical equivalence; otherwise
        "better" or "worse" if the interval excludes 0; otherwise "unclear".
    """
    if -margin < difference.low and difference.high < margin:
        return "same"
    if difference.low > 0:
        return "better"
    if difference.high < 0:
        return "worse"
    return "unclear"


def seeds_to_settle(
    differences: Sequence[float] | npt.NDArray[np.float64],
    margin: float,
    comparisons: int = 1,
    fixed_error: float = 0.0,
) -> float:
    """Estimate how many pairs would give a verdict other than `unclear` with probability POWER.

    The estimate assumes the observed mean and standard deviation s, so it is rough:
    n = (z1 + z2)^2 s^2 / (d^2 - (z1 + z2)^2 e^2) + z1^2 / 2, where d is the distance of the mean to
    0 (for `better` or `worse`) or to the margin (for `same`), whichever needs fewer pairs, and e
    the error that remains with any number of pairs. It is at least FEWEST_PAIRS.

    Source: Guenther 1981, Sample size formulas for normal theory t tests: the normal approximation
    with his correction.

    Args:
        differences: Paired differences, shape (pair,), at least two.
        margin: Margin of practical equivalence.
        comparisons: Number of comparisons that the p-value is adjusted for.
        fixed_error: Standard error of the mean that more pairs do not reduce.

    Returns:
        A whole number, or infinity if no number of pairs would do.

    Raises:
        ValueError: There are fewer than two differences.
    """
    x = _at_least(2, differences)
    mean, spread = abs(float(x.mean())), float(x.std(ddof=1))
    z1 = NormalDist().inv_cdf(1 - LEVEL / 2 / comparisons)
    z = z1 + NormalDist().inv_cdf(POWER)
    needed = [
        z * z * spread * spread / (distance**2 - (z * fixed_error) ** 2) + z1 * z1 / 2
        for distance in (mean, margin - mean)
        if distance > z * fixed_error
    ]
    return max(FEWEST_PAIRS, math.ceil(min(needed))) if needed else math.inf
