"""The pictures of `eval`."""

import math

import numpy as np
import pytest

from actcompare import evaluate
from actcompare.evaluation.plots import curve_picture
from tests.output.figures import drawn, text_of


def test_title_and_panels_say_what_is_shown() -> None:
    text = text_of(curve_picture(evaluate([-1.0, 0.0, 1.0], order=2, dtype="bfloat16")))
    for words in ("relu and softplus: value and two derivatives", "bfloat16", "f(x)", "f''(x)"):
        assert f">{words.replace('>', '&gt;')}<" in text


@pytest.mark.parametrize(
    ("x", "activations"),
    [
        ([0.0], ["relu"]),
        ([math.nan], ["relu"]),
        ([math.inf, -math.inf, 0.0], ["relu", "softplus"]),
        ([-1e38, 1e38], ["relu", "tanh"]),
        ([0.0, 1.0], ["softplus:beta=0.123456789,threshold=1.23456789e-07", "relu"]),
    ],
)
def test_whatever_the_numbers_there_is_a_figure(x: list[float], activations: list[str]) -> None:
    evaluation = evaluate(x, activations, order=2)
    text = text_of(curve_picture(evaluation, evaluation))
    assert "f''(x)" in text
    assert "NaN" not in text
    assert curve_picture(evaluation).text(80, False)


def test_a_pole_does_not_hide_the_rest() -> None:
    steep = evaluate(np.linspace(-4, 4, 801), [lambda x: 1 / (x + 1e-6), "relu"])
    low, high = drawn(curve_picture(steep)).axes[0].get_ylim()
    assert -1000 < low < 0 < 4 < high < 1000


def test_given_points_are_marked() -> None:
    curves, given = evaluate(np.linspace(-3, 3, 61), "relu"), evaluate([-2.0, 0.0, 2.0], "relu")
    marks = [
        line
        for line in drawn(curve_picture(curves, given)).axes[0].get_lines()
        if line.get_marker() == "o"
    ]
    assert [list(line.get_xdata()) for line in marks] == [[-2.0, 0.0, 2.0]]  # type: ignore[arg-type]
