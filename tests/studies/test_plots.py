"""The pictures of a study."""

import math
import re
from dataclasses import replace

import pytest

from actcompare.output.plotting import figure_bytes
from actcompare.studies.plots import study_picture
from actcompare.studies.study import Study
from tests.output.figures import drawn, text_of
from tests.studies.runs import config, failure, result, study_of
from tests.training.runs import ENVIRONMENT

STUDY = study_of({"relu": [0.9, 0.91, 0.92], "softplus": [0.95, 0.9, 0.99], "gelu": [0.8] * 3})


def over_rates(*activations: str, failing: float = 0.12) -> Study:
    """Two good rates and one at which nothing is learnt."""
    results = [
        result(label, seed, test + 0.001 * seed, lr=lr, curve=(0.1, 0.9, test))
        for label in activations
        for lr, test in ((0.03, 0.96), (0.1, 0.97), (1.0, failing))
        for seed in range(3)
    ]
    rates = config(*activations, seeds=3, lrs=(0.03, 0.1, 1.0))
    return Study(rates, ENVIRONMENT, "accuracy", tuple(results), ())


@pytest.mark.parametrize("suffix", [".svg", ".png", ".pdf"])
def test_figures_are_the_same_each_time(suffix: str) -> None:
    assert figure_bytes(study_picture(STUDY), suffix) == figure_bytes(study_picture(STUDY), suffix)


def test_title_and_panels_say_what_is_shown() -> None:
    text = text_of(study_picture(STUDY))
    for words in (
        "Test accuracy over 3 seeds on digits",
        "difference from relu",
        "points of test accuracy, paired by seed",
        "test accuracy against learning rate",
        "validation accuracy",
    ):
        assert f">{words}<" in text
    for words in (*STUDY.columns()["activation"], *STUDY.columns()["verdict"]):
        assert f">{words}<" in text


def test_the_axis_shows_the_best_and_says_what_it_leaves_out() -> None:
    axes = drawn(study_picture(over_rates("relu", "softplus"))).axes[1]
    assert 0.9 < axes.get_ylim()[0] < 0.96
    assert "▼ below the axis: 12.1 %" in axes.get_xlabel()
    marks = [line for line in axes.get_lines() if line.get_marker() == "v"]
    assert [len(line.get_xdata()) for line in marks] == [1, 1]  # type: ignore[arg-type]
    assert len({line.get_color() for line in marks}) == 2


def test_the_axis_shows_all_where_all_is_near() -> None:
    axes = drawn(study_picture(over_rates("relu", "softplus", failing=0.95))).axes[1]
    assert axes.get_ylim()[0] < 0.95
    assert "below" not in axes.get_xlabel()


def test_the_chosen_rate_has_a_ring() -> None:
    axes = drawn(study_picture(over_rates("relu"))).axes[1]
    (ring,) = (line for line in axes.get_lines() if line.get_markersize() > 5)
    assert list(ring.get_xdata()) == [0.1]  # type: ignore[arg-type]


def test_many_activations_have_small_panels_each() -> None:
    labels = [f"elu:alpha={k}" for k in range(1, 10)]
    figure = drawn(study_picture(over_rates(*labels)))
    assert len(figure.axes) == 1 + 2 * len(labels)


@pytest.mark.parametrize(
    "study",
    [
        study_of({"relu": [0.9], "gelu": [0.8]}),
        study_of({"relu": [0.9, 0.8]}),
        study_of({"relu": [0.9, 0.8], "my.package.activations:Snake:a=0.5": [math.nan, 0.2]}),
        replace(study_of({"relu": [0.9, 0.8], "softplus": []}), failures=(failure("softplus"),)),
        replace(study_of({"relu": [-1e20, -1e100], "gelu": [-1e3, 0.5]}), metric="R^2"),
    ],
    ids=["one seed", "one activation", "NaN", "failed", "R^2 without a bottom"],
)
def test_whatever_came_of_the_runs_there_is_a_figure(study: Study) -> None:
    text = text_of(study_picture(study))
    assert "relu" in text
    assert not re.search(r">[^<]*\b(nan|inf)\b[^<]*<", text, re.IGNORECASE)
    assert study_picture(study).text(80, False)


def test_the_terminal_shows_all_three() -> None:
    text = study_picture(STUDY).text(80, False)
    for words in (
        "paired difference",
        "test accuracy against learning rate",
        "validation accuracy",
    ):
        assert words in text
    assert text.count("softplus") == 3
    assert "\x1b" not in text
