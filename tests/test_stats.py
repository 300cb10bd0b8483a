import itertools
import math
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from actcompare.stats import (
    FEWEST_PAIRS,
    LEVEL,
    MOST_EXACT,
    Estimate,
    difference_verdict,
    holm,
    holm_levels,
    interquartile_mean,
    median_interval,
    paired_mean,
    ratio_interval,
    ratio_verdict,
    seeds_to_settle,
    shared_sample_variance,
    sign_flip_p,
    t_interval,
    t_p_value,
    t_quantile,
    unpaired_ratio_interval,
)


@pytest.mark.parametrize("n", [6, 7, 10, 25, 100, 1001])
@pytest.mark.parametrize("shape", ["normal", "lognormal", "uniform", "standard_cauchy"])
def test_the_interval_of_a_median_covers_it(n: int, shape: str) -> None:
    rng = np.random.default_rng(n)
    median = {"normal": 0, "lognormal": 1, "uniform": 0.5, "standard_cauchy": 0}[shape]
    trials = 1000
    estimates = [median_interval(getattr(rng, shape)(size=n)) for _ in range(trials)]
    covered = sum(e.low <= median <= e.high for e in estimates) / trials
    assert covered >= 0.93  # 0.95, less three standard errors of 1000 trials
    assert covered <= 0.95 + 1 / n**0.5  # order statistics come in steps


def test_the_ranks_are_those_of_the_binomial_table() -> None:
    # Conover (1999), table A3: P(Binomial(n, 1/2) < k) <= 0.025
    for n, k in [(6, 1), (8, 1), (9, 2), (10, 2), (20, 6), (50, 18), (100, 40)]:
        estimate = median_interval(np.arange(1.0, n + 1))
        assert (estimate.low, estimate.high) == (k, n + 1 - k)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60))
def test_the_median_lies_in_its_interval(values: list[float]) -> None:
    estimate = median_interval(values)
    assert estimate.value == pytest.approx(float(np.median(values)))
    assert estimate.low <= estimate.value <= estimate.high
    if len(values) < 6:
        assert (estimate.low, estimate.high) == (-math.inf, math.inf)


def test_a_ratio_turned_round_is_its_reciprocal() -> None:
    logs = np.random.default_rng(0).normal(0.1, 0.02, 41)
    one, other = ratio_interval(logs), ratio_interval(-logs)
    assert one.value == pytest.approx(1 / other.value)
    assert (one.low, one.high) == pytest.approx((1 / other.high, 1 / other.low))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1.02, 1.05, "slower"), (0.9, 0.95, "faster"), (0.995, 1.005, "same"),
        (0.9, 1.1, "unclear"), (1.005, 1.05, "unclear"), (0.95, 0.995, "unclear"),
        (0.0, math.inf, "unclear"), (1.0, 1.0, "same"),
    ],
)  # fmt: skip
def test_verdicts(low: float, high: float, expected: str) -> None:
    assert ratio_verdict(Estimate((low + high) / 2, low, high), 0.01) == expected
    turned = {"slower": "faster", "faster": "slower"}.get(expected, expected)
    if low > 0:
        assert ratio_verdict(Estimate(1, 1 / high, 1 / low), 0.01) == turned


def test_the_interval_of_two_independent_medians_covers() -> None:
    rng, covered = np.random.default_rng(0), 0
    for _ in range(500):
        new = 1.1 * np.exp(rng.standard_t(3, size=60) * 0.05)
        old = np.exp(rng.standard_t(3, size=40) * 0.05)
        ratio = unpaired_ratio_interval(new, old)
        assert ratio.low <= ratio.value <= ratio.high
        covered += ratio.low <= 1.1 <= ratio.high
    assert covered >= 0.93 * 500


def test_few_observations_of_either_leave_it_open() -> None:
    ratio = unpaired_ratio_interval(np.ones(5), np.ones(100))
    assert (ratio.low, ratio.value, ratio.high) == (0, 1, math.inf)


@pytest.mark.parametrize("df", [1, 2, 3, 4, 5, 10, 19, 63, 500])
def test_quantiles_of_t_are_those_of_scipy(df: int) -> None:
    for probability in (0.5, 0.6, 0.9, 0.975, 0.995, 0.9999):
        expected = scipy.stats.t.ppf(probability, df)
        assert t_quantile(probability, df) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("n", [2, 3, 5, 10, 20])
def test_the_t_interval_covers_the_mean(n: int) -> None:
    rng = np.random.default_rng(n)
    intervals = [t_interval(rng.normal(3, 2, n)) for _ in range(4000)]
    covered = sum(interval.low <= 3 <= interval.high for interval in intervals) / 4000
    assert 0.93 <= covered <= 0.97


def test_one_value_has_no_interval() -> None:
    assert t_interval([0.5]) == Estimate(0.5, -math.inf, math.inf)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_the_interquartile_mean_is_the_trimmed_mean_of_scipy(values: list[float]) -> None:
    expected = scipy.stats.trim_mean(values, 0.25)
    assert interquartile_mean(values) == pytest.approx(expected, rel=1e-9, abs=1e-6)


@given(st.lists(st.integers(-9, 9), min_size=1, max_size=9))
def test_the_sign_flip_p_is_that_of_all_assignments(differences: list[int]) -> None:
    observed = abs(sum(differences))
    flips = itertools.product((-1, 1), repeat=len(differences))
    sums = [abs(sum(s * d for s, d in zip(signs, differences, strict=True))) for signs in flips]
    share = sum(total >= observed for total in sums) / len(sums)
    scaled = [0.1 * d for d in differences]  # sums that are equal but for rounding
    assert sign_flip_p(scaled) == pytest.approx(share)


def test_the_least_p_value_is_that_of_all_signs_alike() -> None:
    for n in (1, 5, 6, 20, MOST_EXACT):
        assert sign_flip_p([0.1] * n) == pytest.approx(2.0 ** (1 - n))
    assert sign_flip_p([]) == sign_flip_p([0.0, 0.0]) == 1


def test_many_pairs_are_drawn_and_agree_with_the_exact_value() -> None:
    x = np.random.default_rng(3).normal(0.3, 1, MOST_EXACT)
    exact = sign_flip_p(x)
    more = sign_flip_p(np.append(x, [1e-9] * 5))  # which change no sum that matters
    assert more == pytest.approx(exact, rel=0.1)
    assert sign_flip_p(np.ones(100)) == pytest.approx(1 / (2**20 + 1))


def test_the_seed_draws_the_signs() -> None:
    x = np.random.default_rng(3).normal(0.3, 1, MOST_EXACT + 5)
    drawn = {seed: sign_flip_p(x, seed) for seed in range(4)}
    assert len(set(drawn.values())) > 1
    assert drawn == {seed: sign_flip_p(x, seed) for seed in range(4)}
    exact = [sign_flip_p(x[:MOST_EXACT], seed) for seed in range(4)]
    assert len(set(exact)) == 1


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_corrects_upwards_and_keeps_the_order(p_values: list[float]) -> None:
    corrected = holm(p_values)
    assert all(p <= c <= 1 for p, c in zip(p_values, corrected, strict=True))
    assert min(corrected) == pytest.approx(min(1, len(p_values) * min(p_values)))
    order = np.argsort(p_values, kind="stable")
    assert list(np.array(corrected)[order]) == sorted(corrected)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_an_interval_of_holm_s_level_excludes_0_exactly_if_holm_rejects(p: list[float]) -> None:
    levels = holm_levels(p)
    assert all(0.95 <= level < 1 for level in levels)
    for own, adjusted, level in zip(p, holm(p), levels, strict=True):
        assert (own <= 1 - level + 1e-12) >= (adjusted <= LEVEL)
        assert (own < 1 - level - 1e-12) <= (adjusted <= LEVEL)


@pytest.mark.parametrize("df", [1, 2, 3, 5, 19, 500])
def test_p_values_of_t_are_those_of_scipy(df: int) -> None:
    for t in (0, 0.1, 1, 2.9999, 3, -3.1, 10, 100, 1e6):
        expected = 2 * scipy.stats.t.sf(abs(t), df)
        assert t_p_value(t, df) == pytest.approx(expected, rel=1e-9, abs=1e-300)
    assert t_p_value(math.inf, df) == 0


@given(st.lists(st.integers(-9, 9), min_size=3, max_size=9).filter(lambda x: len({*x}) > 1))
def test_the_paired_mean_is_the_t_test_of_scipy(differences: list[int]) -> None:
    mean, expected = paired_mean(differences), scipy.stats.ttest_1samp(differences, 0)
    assert mean.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    between = expected.confidence_interval()
    interval = mean.interval()
    assert (interval.low, interval.high) == pytest.approx((between.low, between.high))


@pytest.mark.parametrize("differences", [[0.8], [0.8, 0.9], [0.8, 0.8, 0.8], [0.1] * 7])
def test_without_spread_or_with_two_pairs_the_error_is_unknown(differences: list[float]) -> None:
    mean = paired_mean(differences)
    assert (mean.error, mean.p_value) == (math.inf, 1)
    assert mean.interval().low == -math.inf
    assert paired_mean([0.0] * 4).interval() == Estimate(0, 0, 0)


def test_more_variance_and_fewer_clusters_widen_the_interval() -> None:
    x = [0.1, 0.2, 0.4, 0.3]
    plain, wide = paired_mean(x), paired_mean(x, 0.01)
    assert wide.error == pytest.approx(math.hypot(plain.error, 0.1))
    assert (plain.df, wide.df, paired_mean(x, 0.01, clusters=3).df) == (3, 3, 2)


def _test_sets(
    rng: np.random.Generator, seeds: int, sticky: float, rows: int = 200, size: int = 40
) -> tuple[list[Any], list[Any]]:
    """Test sets of one data set; a share of the outcomes belongs to the sample, not to the seed."""
    own = rng.choice([-1.0, 0.0, 1.0], rows, p=[0.1, 0.8, 0.1])
    samples = [np.sort(rng.permutation(rows)[:size]) for _ in range(seeds)]
    drawn = [rng.choice([-1.0, 0.0, 1.0], size, p=[0.1, 0.8, 0.1]) for _ in range(seeds)]
    stuck = [rng.random(size) < sticky for _ in range(seeds)]
    values = [np.where(k, own[s], d) for k, s, d in zip(stuck, samples, drawn, strict=True)]
    return values, samples


@pytest.mark.parametrize("seeds", [3, 6, 20])
@pytest.mark.parametrize("sticky", [0.2, 0.9])
def test_intervals_cover_the_truth_though_seeds_share_samples(seeds: int, sticky: float) -> None:
    rng, held, alone = np.random.default_rng(seeds), 0, 0
    for _ in range(400):
        values, samples = _test_sets(rng, seeds, sticky)
        means = [each.mean() for each in values]
        interval = paired_mean(means, shared_sample_variance(values, samples)).interval()
        held += interval.low <= 0 <= interval.high
        bare = t_interval(means)
        alone += bare.low <= 0 <= bare.high
    assert held / 400 >= 0.93
    assert alone <= held
    if (seeds, sticky) == (20, 0.9):  # what the spread between seeds does not show
        assert alone / 400 < 0.75


def test_samples_that_no_two_seeds_share_add_nothing() -> None:
    rng = np.random.default_rng(0)
    values, samples = _test_sets(rng, 6, 0.9)
    apart = [each + 1000 * k for k, each in enumerate(samples)]
    assert shared_sample_variance(values, apart) == 0
    assert shared_sample_variance([np.ones(1)] * 3, [np.zeros(1, dtype=int)] * 3) == 0


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.02, 0.05, "better"), (-0.05, -0.02, "worse"), (-0.005, 0.005, "same"),
        (0.001, 0.005, "same"), (-0.02, 0.02, "unclear"), (-math.inf, math.inf, "unclear"),
    ],
)  # fmt: skip
def test_difference_verdicts(low: float, high: float, expected: str) -> None:
    assert difference_verdict(Estimate((low + high) / 2, low, high), 0.01) == expected


def test_so_many_seeds_do_settle_it() -> None:
    rng, found = np.random.default_rng(0), 0
    n = int(seeds_to_settle(rng.normal(0.5, 1, 2000), 0.0))
    assert 30 <= n <= 40
    for _ in range(500):
        x = rng.normal(0.5, 1, n)
        found += difference_verdict(t_interval(x), 0.0) == "better"
    assert 0.72 <= found / 500 <= 0.88


def test_what_no_number_of_seeds_settles() -> None:
    assert seeds_to_settle([0.1, -0.1], 0.0) == math.inf
    assert seeds_to_settle([0.5, 0.5], 0.0) == FEWEST_PAIRS
    x = np.random.default_rng(0).normal(0.5, 1, 2000)
    assert seeds_to_settle(x, 0.0, comparisons=4) > seeds_to_settle(x, 0.0)
    assert seeds_to_settle(x, 0.0, fixed_error=0.1) > seeds_to_settle(x, 0.0)
    assert seeds_to_settle(x, 0.0, fixed_error=0.2) == math.inf


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_has_no_answer_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        sign_flip_p([1.0, bad, 2.0])
    with pytest.raises(ValueError, match="lie in"):
        holm([bad, 0.01, 0.03])
    for statistic in (median_interval, t_interval, interquartile_mean):
        with pytest.raises(ValueError, match="0 values: at least 1"):
            statistic([])
    with pytest.raises(ValueError, match="finite"):
        paired_mean([1.0, bad, 2.0])
    with pytest.raises(ValueError, match="lie in"):
        holm_levels([bad, 0.01])
    with pytest.raises(ValueError, match="a number"):
        t_p_value(math.nan, 3)
    with pytest.raises(ValueError, match="1 values: at least 2"):
        seeds_to_settle([0.1], 0.01)


def test_an_outlier_does_not_hide_the_other_signs() -> None:
    """All signs agree, whatever the sizes: only two of 2^6 assignments are as extreme."""
    assert sign_flip_p([1e12, 1, 2, 3, 4, 5]) == 2 / 2**6
