"""A reading has each sentence exactly if the numbers of the run call for it."""

from dataclasses import replace

import pytest

from actcompare.stats import share_interval
from actcompare.training.records import Divergence, Score
from tests.training.runs import CONFIG, DATA, layer, training

SOME, MOST = range(3), range(18)


def test_a_healthy_net() -> None:
    said = training(layer()).reading()
    assert "After 2 epochs, test accuracy is 89.5 %: 179 of 200 samples (95 %" in said
    assert "hidden1 (20 units): no unit is dead" in said
    assert "may fire on up to 0.30 % of new samples (95 % bound)" in said
    for word in ("misses", "Diverged", "no better", "try"):
        assert word not in said


def test_dead_units_are_counted_by_verdict() -> None:
    said = training(layer(zero_dead=SOME, gradient_dead=range(4))).reading()
    assert "3 zero-dead, 4 gradient-dead" in said
    assert "Counting zeros misses 1 unit: its output" in said
    assert "first dead unit appeared after epoch 2" in said


def test_advice_is_for_many() -> None:
    few = training(layer(zero_dead=[1], gradient_dead=[1])).reading()
    assert "try" not in few
    many = training(layer(zero_dead=MOST, gradient_dead=MOST)).reading()
    assert "died in training: first try a learning rate below 0.5" in many
    born = layer(zero_dead=MOST, gradient_dead=MOST)
    said = training(born, start=born).reading()
    assert "; all dead units were dead at initialisation" in said
    assert "They were dead at initialisation: try another --init" in said
    assert "died in training" not in said


def test_units_that_were_born_dead_and_units_that_died_are_told_apart() -> None:
    now = layer(zero_dead=MOST, gradient_dead=MOST)
    said = training(now, start=layer(zero_dead=SOME, gradient_dead=SOME)).reading()
    born = len({*SOME} & {*MOST})
    assert f"; {born} of the {len(MOST)} dead units were dead at initialisation" in said
    assert f"Of the dead units, {born} were dead at initialisation (try another --init" in said
    assert f"{len(MOST) - born} died in training (first try" in said
    assert "They " not in said
    others = [unit for unit in range(20) if unit not in MOST]
    revived = training(now, start=layer(zero_dead=others, gradient_dead=others)).reading()
    assert "at initialisation" not in revived
    assert "They died in training" in revived


def test_a_divergence_comes_first() -> None:
    said = training(layer(), diverged=Divergence(3, 7, float("nan"))).reading()
    assert said.startswith("Diverged in epoch 3, step 7 (loss nan).")
    assert "show the state after epoch 2" in said


def test_guessing_is_called_so() -> None:
    said = training(layer(), test=Score(2.3, 0.1), data=replace(DATA, largest_class=0.11)).reading()
    assert "not clearly better than always predicting the largest class (11.0 %)" in said
    two = training(layer(), test=Score(0.6, 0.74), data=replace(DATA, largest_class=0.5)).reading()
    assert "no better" not in two


def test_without_units() -> None:
    said = training().reading()
    assert "hidden1" not in said
    assert "evidence" not in said


def test_a_regression_is_told_in_its_terms() -> None:
    run = training(
        layer(),
        config=replace(CONFIG, task="regression", output_size=1),
        data=replace(DATA, classes=()),
    )
    assert "the net explains 89.5 % of the variance" in run.reading()
    assert run.metric == "R^2"
    assert "regression with 1 output" in run.data_in_words()


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"), [(0, 10, 0.0, 0.2775), (81, 263, 0.2553, 0.3662)]
)
def test_shares_have_wilsons_interval(hits: int, n: int, low: float, high: float) -> None:
    """Newcombe 1998, Two-sided confidence intervals for the single proportion, table I."""
    found = share_interval(hits, n)
    assert (found.low, found.high) == pytest.approx((low, high), abs=6e-5)
