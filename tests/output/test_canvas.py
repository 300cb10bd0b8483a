from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actcompare.output.canvas import mixed, spread, wrapped
from actcompare.text import escaped

HEIGHTS = st.lists(st.floats(1, 20), min_size=1, max_size=8)


@given(HEIGHTS, st.data())
def test_names_are_moved_apart_and_stay_in(heights: list[float], data: st.DataObject) -> None:
    places = st.lists(st.floats(0, 200), min_size=len(heights), max_size=len(heights))
    wanted = sorted(data.draw(places))
    moved = spread(wanted, heights, 0, 200)
    for (low, a), (high, b) in pairwise(zip(moved, heights, strict=True)):
        assert high - low >= (a + b) / 2 - 1e-9
    assert moved[0] >= heights[0] / 2 - 1e-9
    assert moved[-1] <= 200 - heights[-1] / 2 + 1e-9


def test_names_are_not_moved_without_need_and_meet_in_the_middle() -> None:
    assert spread([10, 30, 50], [10, 10, 10], 0, 100) == pytest.approx([10, 30, 50])
    assert spread([50, 50], [10, 10], 0, 100) == pytest.approx([45, 55])
    assert spread([1, 50], [10, 10], 0, 100) == pytest.approx([5, 50])


@given(st.text(st.characters(codec="ascii", exclude_characters="\n")), st.integers(5, 30))
def test_wrapping_loses_nothing_and_fits(label: str, width: int) -> None:
    lines = wrapped(label, width).split("\n")
    assert "".join(lines) == escaped(label)
    assert max(map(len, lines)) <= width


def test_a_spec_is_broken_where_its_parts_end() -> None:
    assert wrapped("softplus:beta=2,threshold=30") == "softplus:beta=2,\nthreshold=30"
    assert wrapped("zero-dead\nconstant") == "zero-dead\nconstant"
    assert wrapped("relu") == "relu"


def test_colours_are_mixed() -> None:
    assert mixed("#000000", "#FFFFFF", 0.0) == "#000000"
    assert mixed("#0000FF", "#FF00FF", 1.0) == "#FF00FF"
    assert mixed("#000000", "#FFFFFF", 0.2) == "#333333"
