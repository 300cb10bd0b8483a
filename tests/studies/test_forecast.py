"""What a study will take, from a clock that is handed in."""

from collections.abc import Iterator

import pytest

from actcompare.errors import ActcompareError
from actcompare.studies.forecast import Forecast, forecast, sensible_workers
from actcompare.studies.plan import make_plan
from tests.training.runs import ENVIRONMENT


def ticking(step: float) -> Iterator[float]:
    now = 0.0
    while True:
        yield now
        now += step


def test_every_group_is_reckoned_from_one_of_its_kind() -> None:
    plan = make_plan(["relu", "gelu"], seeds=50, lr=0.1, epochs=7, hidden=4)
    groups = list(plan.groups())
    ticks = ticking(0.5)
    made = forecast(plan, groups, ENVIRONMENT, lambda: next(ticks))
    # By this clock one epoch takes as long as two, so more epochs take no longer.
    assert made.seconds == pytest.approx([0.5 * len(group) / 32 for group in groups])
    assert made.cells == 100
    assert made.peak_bytes > 2**20
    assert made.columns()["cells"] == [50, 50]
    assert sum(made.columns()["seconds"]) == pytest.approx(sum(made.seconds))


def test_workers_take_the_next_group_when_they_have_done_one() -> None:
    plan = make_plan(seeds=2, lr=0.1)
    groups = tuple(plan.groups())
    made = Forecast(plan, ENVIRONMENT, groups * 2, (4.0, 1.0, 1.0, 1.0), 0)
    assert [made.seconds_on(n) for n in (1, 2, 3, 9)] == [7, 4, 4, 4]


def test_a_function_that_fails_is_told() -> None:
    def breaks(_: object) -> object:
        raise ValueError("no")

    plan = make_plan(breaks, seeds=2, lr=0.1)
    with pytest.raises(ActcompareError, match="ValueError: no"):
        forecast(plan, list(plan.groups()), ENVIRONMENT)


def test_no_more_workers_are_named_than_there_are_groups() -> None:
    assert sensible_workers(100, 2) == [1, 2, 4, 8, 16]
    assert sensible_workers(3, 2) == [1, 2]
    assert sensible_workers(1, 8) == [1]
