"""The reading of `depth`: each sentence follows from the rows."""

from dataclasses import replace

import pytest

from actcompare import signal_depth
from actcompare.propagation.explain import describe_training
from actcompare.propagation.signal import Propagation


@pytest.fixture(scope="module")
def theory() -> Propagation:
    return signal_depth(["relu", "softplus", "gelu"], theory_only=True)


def test_what_happens_why_and_what_to_use(theory: Propagation) -> None:
    text = theory.reading()
    for words in (
        "With PyTorch's default initialisation: relu 10^-38.9 (6-fold less per layer)",
        "softplus 10^-53.1 (11.5-fold less per layer)",
        "With Kaiming's: relu 1, softplus 10^-5.3",
        "softplus has mean 0.806, which is 71 % of its mean square",
        "multiply the gradient's variance by R = 0.318 per layer",
        "grows from layer to layer, and the gradient falls more slowly",
        "softplus has no edge of chaos at any length searched",
        "standard deviation 1.602/sqrt(inputs)",
        "biases with standard deviation 1.387",
        "gradient is not kept over 50 layers (10^-5.3), but relu's is (1)",
        "With critical initialisation its gradient is kept over 50 layers (1), and so is relu's",
        "So the initialisation decides, not the function.",
    ):
        assert words in text, words
    assert "Measured on" not in text


def test_without_softplus_there_is_no_word_of_the_article() -> None:
    text = signal_depth(["relu", "tanh"], theory_only=True).reading()
    assert "article" not in text
    assert "no edge of chaos" not in text


def test_the_claim_is_judged_for_each_initialisation_and_depth() -> None:
    shallow = signal_depth("softplus", layers=4, theory_only=True).reading()
    assert "With PyTorch's default initialisation its gradient is not kept over 4 layers" in shallow
    assert "With Kaiming's its gradient is kept over 4 layers" in shallow
    uncured = signal_depth("softplus", init=["kaiming"], theory_only=True).reading()
    assert "So the initialisation decides" not in uncured


def test_where_measurement_and_theory_part_the_reading_says_so() -> None:
    found = signal_depth("relu", init=["default"], layers=5, width=64, nets=3)
    (row,) = found.rows
    apart = replace(found, rows=(replace(row, prospect=replace(row.prospect, agrees=0)),))
    assert "in 0 of 1 row that can be judged. It does not for relu with default." in (
        apart.reading()
    )
    beyond = replace(row, beyond_theory=True, prospect=replace(row.prospect, agrees=None))
    assert "Beyond theory: relu with default" in replace(found, rows=(beyond,)).reading()


def test_nets_that_were_born_dead_are_counted() -> None:
    found = signal_depth("relu", init=["kaiming"], layers=30, width=3, nets=20)
    assert "Nets born dead" in found.reading()
    assert "of 20" in found.reading()


def test_training_names_each_verdict_and_chance() -> None:
    row = {"activation": "relu", "init": "default", "verdict": "did not train", "guess": 0.102}
    scores = {"mean": 0.1, "mean_low": 0.09, "mean_high": 0.11}
    other = {"activation": "gelu", "init": "critical", "verdict": "failed", "guess": None}
    nothing = dict.fromkeys(scores)
    assert describe_training([row | scores, other | nothing], "accuracy") == (
        "Training, test accuracy (a constant prediction has 0.102): did not train: relu with"
        " default 0.100 (0.090 to 0.110); failed: gelu with critical."
    )
    assert describe_training([], "accuracy") == ""
