"""What a study is made of: cells, groups, and every setting checked."""

from typing import Any

import numpy as np
import pytest

from actcompare.errors import ActcompareError, UsageError
from actcompare.studies.plan import GRID, make_plan
from actcompare.training.settings import make_recipe


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"seeds": 7, "lr": [0.1], "hidden": [8, 64], "depth": [1, 2]},
        {"seeds": 3, "lr": [0.001 * k for k in range(1, 60)]},
        {"hidden": 5000, "batch_size": 128, "seeds": 5},
    ],
)
def test_groups_hold_every_cell_once_and_few_at_a_time(settings: dict[str, Any]) -> None:
    plan = make_plan(["relu", "softplus"], **settings)
    groups = list(plan.groups())
    cells = [cell for group in groups for cell in group]
    assert sorted(cells) == sorted(plan.config.cells())
    assert len(set(cells)) == len(cells)
    for group in groups:
        assert 1 <= len(group) <= 32
        assert len({(cell.activation, cell.depth, cell.hidden) for cell in group}) == 1


def test_more_seeds_and_activations_leave_whole_groups_as_they_were() -> None:
    few = list(make_plan(["relu"], seeds=6 * 3, lr=[1, 2, 3, 4, 5]).groups())
    many = set(make_plan(["relu", "gelu"], seeds=6 * 5, lr=[1, 2, 3, 4, 5]).groups())
    assert set(few) <= many


def test_a_cell_is_what_train_is_asked_for() -> None:
    plan = make_plan(["softplus:beta=2", "gelu"], seeds=2, seed=7, hidden=[8, 16], epochs=3)
    cell = list(plan.config.cells())[-1]
    recipe = make_recipe("gelu", hidden=16, epochs=3, seed=8, lr=1.0, threads=1)
    assert plan.config.run(cell) == recipe.config
    assert plan.recipe(cell).activation.label == "gelu"


def test_the_usual_rates_are_multiples_of_those_of_train() -> None:
    assert make_plan().config.lrs == (0.01, 0.03, 0.1, 0.3, 1.0)
    lrs = make_plan(optimizer="adam").config.lrs
    assert lrs == pytest.approx([0.003 * factor for factor in GRID])


def test_random_data_are_drawn_by_each_seed_as_train_does() -> None:
    plan = make_plan("relu", "random", seeds=2, input_size=3)
    one, other = (plan.recipe(cell).dataset for cell in list(plan.config.cells())[:2])
    assert not np.array_equal(one.X, other.X)
    assert np.array_equal(other.X, make_recipe("relu", "random", seed=1, input_size=3).dataset.X)


def test_large_data_make_small_groups() -> None:
    X = np.random.default_rng(0).normal(size=(100_000, 200))
    plan = make_plan("relu", (X, X[:, 0]), seeds=10, lr=0.1, batch_size=8, hidden=4)
    assert {len(group) for group in plan.groups()} == {3, 1}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seeds": 0}, "seeds must be at least 1"),
        ({"margin": -1.0}, "margin must be 0 or more"),
        ({"margin": float("nan")}, "margin must be 0 or more"),
        ({"lr": [0.1, 0.1]}, "lr 0.1 is given twice"),
        ({"lr": []}, "no lr given"),
        ({"lr": [0.1, -1.0]}, "lr must be 0 or more"),
        ({"depth": [1, 0]}, "depth must be at least 1"),
        ({"hidden": [8, 0]}, "hidden must be at least 1"),
        ({"activations": ["relu", "relu"]}, "act relu is given twice"),
        ({"activations": ["reluu"]}, "did you mean relu"),
        ({"threads": 0}, "threads must be from 1"),
        ({"seed": -1}, "seed must be 0 or more"),
        ({"optimizer": "rmsprop"}, "optimizer 'rmsprop' is not one of"),
        ({"data": "nothing.csv", "target": "y"}, "nothing.csv"),
    ],
)
def test_what_cannot_be_planned_is_told(settings: dict[str, Any], message: str) -> None:
    with pytest.raises((UsageError, ActcompareError), match=message):
        make_plan(**settings)
