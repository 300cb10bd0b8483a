import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actcompare.output.scales import round_numbers, said_metric, zoomed

RATES = [0.9623, 0.9690, 0.9749, 0.9704, 0.1281, 0.9552, 0.9599, 0.9673, 0.9771, 0.2822]


def test_the_axis_shows_the_best_and_not_the_failing() -> None:
    shown = zoomed(RATES, [0.9704, 0.9794, 0.9726, 0.9816], 0.02)
    assert shown is not None
    low, high = shown
    assert 0.94 < low < 0.9552
    assert 0.9816 < high < 0.99


def test_nothing_is_cut_where_all_are_near() -> None:
    shown = zoomed([0.5, 0.6, 0.7], [0.6, 0.7], 0.01)
    assert shown is not None
    assert shown[0] < 0.5 < 0.7 < shown[1]


def test_what_is_no_number_has_no_say() -> None:
    assert zoomed([math.nan, math.inf], [math.nan], 0.01) is None
    assert zoomed([], [], 0.01) is None
    assert zoomed([0.5, math.nan], [0.5, -math.inf], 0.02) == pytest.approx((0.49, 0.51))


@given(st.floats(1e-9, 1e9), st.floats(1.01, 1e12))
def test_ticks_are_few_and_inside(low: float, times: float) -> None:
    ticks = round_numbers(low, low * times)
    assert 0 < len(ticks) <= 6 or times < 1.5
    assert all(low <= tick <= low * times for tick in ticks)
    assert ticks == sorted(set(ticks))


def test_metrics_are_written_as_people_write_them() -> None:
    assert said_metric("accuracy", 0.97491) == "97.5 %"
    assert said_metric("R^2", 0.97491) == "0.975"
