import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actcompare.stats import (
    Estimate,
    median_interval,
    ratio_interval,
    ratio_verdict,
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
