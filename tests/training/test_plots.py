"""The pictures of `train`."""

import math
from dataclasses import replace

import pytest

from actcompare.training.plots import course_picture
from actcompare.training.records import Divergence, Epoch, Score
from actcompare.training.run import Training
from tests.output.figures import drawn, text_of
from tests.training.runs import CONFIG, DATA, layer, training


def test_title_and_panels_say_what_is_shown() -> None:
    text = text_of(course_picture(training(layer())))
    for words in (
        "Training of SimpleNet with relu on digits: loss, accuracy and units",
        "loss (cross-entropy)",
        "hidden units, of 20",
        "validation",
    ):
        assert f">{words}<" in text
    assert "layers of 64-20-10 units, sgd with learning rate 0.5" in text


def test_accuracy_is_in_percent_and_zoomed_and_says_where_it_begins() -> None:
    axes = drawn(course_picture(training(layer()))).axes[1]
    assert axes.get_ylim()[0] > 0.5
    assert "begins below the axis, at 9 %" in axes.get_xlabel()
    assert all(label.get_text().endswith(" %") for label in axes.get_yticklabels())


def test_verdicts_that_go_together_share_a_name() -> None:
    ended = layer(zero_dead=[1, 2], gradient_dead=[1, 2], dormant=[1, 2, 3])
    names = {str(line.get_label()) for line in drawn(course_picture(training(ended))).axes[2].lines}
    assert names == {"zero-dead\ngradient-dead", "constant\nsaturated", "dormant"}


@pytest.mark.parametrize(
    "run",
    [
        training(layer(), history=training(layer()).history[:1]),
        training(),
        training(layer(), diverged=Divergence(3, 1, math.inf)),
        training(
            data=replace(DATA, classes=()),
            history=tuple(
                Epoch(k, Score(10.0**k, -(10.0 ** (10 * k))), Score(1.0, math.nan), 0.0)
                for k in range(3)
            ),
        ),
        training(layer(), config=replace(CONFIG, activation="my.package.activations:Snake:a=0.5")),
    ],
    ids=["one epoch", "no units", "diverged", "R^2 without a bottom", "long name"],
)
def test_whatever_the_run_there_is_a_figure(run: Training) -> None:
    text = text_of(course_picture(run))
    assert "validation" in text
    assert ("diverged in epoch 3" in text) == (run.diverged is not None)
    assert course_picture(run).text(80, False)
