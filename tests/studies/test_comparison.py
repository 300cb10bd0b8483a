"""From cells to one record per activation."""

import math
from dataclasses import replace

import numpy as np
import pytest

from actcompare.stats import t_interval
from actcompare.studies.comparison import answer, by_learning_rate, chosen, learning_curves
from tests.studies.runs import config, failure, result, study_of

RNG = np.random.default_rng(0)
NOISE = RNG.normal(0, 0.01, 12)


def test_a_row_holds_what_the_statistics_say() -> None:
    relu, more = 0.9 + NOISE, 0.93 + NOISE + RNG.normal(0, 0.003, 12)
    first, second = study_of({"relu": relu.tolist(), "softplus": more.tolist()}).rows()
    assert first["verdict"] == "baseline"
    assert (first["difference"], first["p_value"]) == (0, None)
    mean = t_interval(more)
    assert (second["mean"], second["mean_low"], second["mean_high"]) == pytest.approx(
        (mean.value, mean.low, mean.high)
    )
    paired = t_interval(more - relu)
    assert second["difference_low"] == pytest.approx(paired.low)
    assert paired.high - paired.low < (mean.high - mean.low) / 2  # what pairing is for
    assert second["verdict"] == "better"
    assert second["p_value"] == 2**-11
    assert second["seeds_needed"] is None
    assert second["step_s"] == 3e-5


def test_seeds_are_paired_by_number_and_not_by_place() -> None:
    relu = [result("relu", seed, 0.9 + 0.01 * seed) for seed in range(8)]
    softplus = [result("softplus", seed, 0.95 + 0.01 * seed) for seed in reversed(range(1, 8))]
    _, row = answer(config(), [*softplus, *relu])
    assert (row["seeds"], row["difference"]) == (7, pytest.approx(0.05))
    assert row["difference_high"] - row["difference_low"] < 1e-9


def test_the_rate_is_chosen_on_validation_and_the_test_part_has_no_say() -> None:
    cells = [
        result("relu", seed, test, lr=lr, validation=validation)
        for seed in range(3)
        for lr, test, validation in ((0.1, 0.99, 0.8), (0.3, 0.5, 0.9), (1.0, 0.7, 0.9))
    ]
    study = config("relu", lrs=(0.1, 0.3, 1.0))
    (row,) = answer(study, cells)
    assert (row["lr"], row["mean"]) == (0.3, 0.5)  # of equally good ones the smallest


def test_a_rate_without_a_number_is_not_chosen() -> None:
    cells = [result("relu", 0, 0.5, lr=0.1), result("relu", 0, 0.9, lr=1.0, validation=math.nan)]
    (best,) = chosen(by_learning_rate(config("relu", lrs=(0.1, 1.0)), cells)).values()
    assert best.lr == 0.1


def test_p_values_are_corrected_over_the_whole_table() -> None:
    cells = [
        result(act, seed, 0.9 + lift + NOISE[seed], depth=depth)
        for act, lift in (("relu", 0), ("softplus", 0.05), ("gelu", 0.05))
        for depth in (1, 2)
        for seed in range(8)
    ]
    rows = answer(config("relu", "softplus", "gelu", depths=(1, 2)), cells)
    assert [row["depth"] for row in rows] == [1, 1, 1, 2, 2, 2]
    for row in rows:
        if row["verdict"] != "baseline":
            assert row["p_value"] == 2**-7
            assert row["p_holm"] == 4 * 2**-7


@pytest.mark.parametrize("n", [1, 2, 5])
def test_few_seeds_claim_nothing(n: int) -> None:
    _, row = study_of({"relu": [0.1] * n, "softplus": [0.9] * n}).rows()
    assert row["verdict"] == "unclear"
    assert row["difference"] == pytest.approx(0.8)


def test_diverged_runs_count() -> None:
    cells = [result("relu", seed, 0.9, diverged=2 if seed == 1 else None) for seed in range(4)]
    (row,) = answer(config("relu"), cells)
    assert (row["seeds"], row["diverged"]) == (4, 1)


def test_what_came_to_nothing_has_a_row() -> None:
    study = replace(study_of({"relu": [0.9] * 3}), config=config("relu", "gelu", seeds=3))
    study = replace(study, failures=tuple(failure("gelu", seed) for seed in range(3)))
    first, second = study.rows()
    assert (first["verdict"], second["verdict"]) == ("baseline", "failed")
    assert (second["seeds"], second["mean"], second["difference"]) == (0, None, None)
    gone = replace(study, config=config("gelu", "relu", seeds=3))
    assert [row["verdict"] for row in gone.rows()] == ["failed", "unclear"]


def test_a_diverged_run_stays_at_its_last_value() -> None:
    cells = [result("relu", 0, 0.9), result("relu", 1, 0.9, curve=(0.1,), diverged=1)]
    ((_, course),) = learning_curves(config("relu"), cells)
    assert [each.value for each in course] == pytest.approx([0.1, 0.3, 0.5])


def test_frames_hold_the_records() -> None:
    study = study_of({"relu": [0.9, 0.8], "softplus": [0.7, 0.9]})
    assert list(study.frame()["activation"]) == ["relu", "softplus"]
    cells = study.cells()
    assert len(cells) == 4
    assert {"lr", "seed", "test_metric", "diverged_epoch", "zero_dead", "step_s"} <= {*cells}
