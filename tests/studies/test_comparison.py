"""From cells to one record per activation."""

import math
from dataclasses import replace

import numpy as np
import pytest

from actcompare.stats import t_interval
from actcompare.studies.comparison import answer, by_learning_rate, chosen, learning_curves
from actcompare.studies.records import CellResult, SampleOutcomes
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
    assert second["difference_low"] < paired.low  # the test samples count as well
    assert second["difference_low"] == pytest.approx(paired.low, abs=0.002)
    assert paired.high - paired.low < (mean.high - mean.low) / 2  # what pairing is for
    assert second["verdict"] == "better"
    assert second["p_sign_flip"] == 2**-11
    assert second["p_value"] == second["p_holm"] < 1e-6
    assert (second["pairs"], second["guess"]) == (12, pytest.approx(0.1))
    assert second["seeds_needed"] is None
    assert second["step_s"] == 3e-5


def test_seeds_are_paired_by_number_and_not_by_place() -> None:
    relu = [result("relu", seed, 0.9 + 0.01 * seed) for seed in range(8)]
    softplus = [result("softplus", seed, 0.95 + 0.01 * seed) for seed in reversed(range(1, 8))]
    _, row = answer(config(), [*softplus, *relu])
    assert (row["seeds"], row["difference"]) == (7, pytest.approx(0.05))
    assert row["pairs"] == 7


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
            assert row["p_sign_flip"] == 2**-7
            assert 4 * row["p_value"] >= row["p_holm"] > row["p_value"]


@pytest.mark.parametrize(("n", "verdict"), [(1, "unclear"), (2, "unclear"), (3, "better")])
def test_three_seeds_suffice_for_what_is_plain_and_fewer_claim_nothing(
    n: int, verdict: str
) -> None:
    _, row = study_of({"relu": [0.3] * n, "softplus": [0.9] * n}).rows()
    assert row["verdict"] == verdict
    assert row["difference"] == pytest.approx(0.6)
    assert (row["p_value"] is None) == (row["difference_low"] == -math.inf) == (n < 3)


def test_intervals_p_values_and_verdicts_agree() -> None:
    rng = np.random.default_rng(1)
    for _ in range(60):
        n, lifts = int(rng.integers(3, 12)), rng.normal(0, 0.01, 3)
        acts = ("softplus", "gelu", "tanh")
        tests = {"relu": 0.9 + rng.normal(0, 0.01, n)}
        tests |= {a: 0.9 + x + rng.normal(0, 0.01, n) for a, x in zip(acts, lifts, strict=True)}
        for row in study_of({a: x.tolist() for a, x in tests.items()}).rows()[1:]:
            low, high = row["difference_low"], row["difference_high"]
            assert (row["p_holm"] <= 0.05) == (low > 0 or high < 0)
            expected = "unclear"
            if row["p_holm"] <= 0.05:
                expected = "better" if low > 0 else "worse"
            if -0.01 < low <= high < 0.01:
                expected = "same"
            assert row["verdict"] == expected


@pytest.mark.parametrize(("of_data", "verdict"), [(130, "unclear"), (10_000, "same")])
def test_what_the_test_samples_cannot_tell_is_not_the_same(of_data: int, verdict: str) -> None:
    cells = [
        result(act, seed, 1.0, of_data=of_data) for act in ("relu", "softplus") for seed in range(9)
    ]
    _, row = answer(config(), cells)
    assert row["difference"] == 0
    assert row["verdict"] == verdict
    assert row["test_samples"] <= of_data
    if verdict == "unclear":
        assert row["difference_high"] > 0.02
        assert row["seeds_needed"] == math.inf


def test_runs_without_outcomes_are_compared_over_seeds_and_never_the_same() -> None:
    for lift, verdict in ((0.0, "unclear"), (0.05, "better")):
        cells = [
            result(act, seed, 0.9 + NOISE[seed] + extra + 0.0001 * (seed % 2), of_data=0)
            for act, extra in (("relu", 0.0), ("softplus", lift))
            for seed in range(8)
        ]
        cells[-1] = result("softplus", 7, 0.901 + NOISE[7] + lift, of_data=0)
        _, row = answer(config(), cells)
        assert (row["verdict"], row["test_samples"], row["guess"]) == (verdict, None, None)
        assert row["p_value"] is not None


def test_random_data_share_no_samples() -> None:
    training = replace(config().net, data="random")
    cells = [result(a, s, 0.9, of_data=100) for a in ("relu", "softplus") for s in range(9)]
    _, shared = answer(config(), cells)
    _, own = answer(config(training=training), cells)
    assert shared["test_samples"] <= 100
    assert own["test_samples"] == 9 * 20
    assert own["test_error"] < shared["test_error"]


@pytest.mark.parametrize("at", [0.08, 0.1, 0.105])
def test_what_is_at_chance_did_not_train(at: float) -> None:
    jitter = [0.01, -0.01, 0.0, 0.01, -0.01]
    _, row = study_of({"relu": [0.9] * 5, "softplus": [at + j for j in jitter]}).rows()
    assert row["verdict"] == "did not train"
    assert row["difference_high"] < 0
    first, second = study_of({"softplus": [at + j for j in jitter], "relu": [0.9] * 5}).rows()
    assert (first["verdict"], second["verdict"]) == ("did not train", "better")
    assert first["difference"] is None


@pytest.mark.parametrize("tests", [[0.2, 0.21, 0.19], [0.1, 0.9, 0.9], [0.6, 0.6, 0.6]])
def test_what_is_above_chance_trained(tests: list[float]) -> None:
    _, row = study_of({"relu": [0.95] * 3, "softplus": tests}).rows()
    assert row["verdict"] in ("worse", "unclear")


def test_a_regression_at_or_below_0_did_not_train() -> None:
    def runs(act: str, tests: list[float]) -> list[CellResult]:
        made = [result(act, seed, test, guess=0.0) for seed, test in enumerate(tests)]
        rng = np.random.default_rng(0)
        for k, each in enumerate(made):
            rows = np.arange(k, 100, 5)
            scores = tests[k] + rng.normal(0, 0.1, len(rows))
            packed = SampleOutcomes.of(rows, 100, scores, 0.0)
            made[k] = replace(each, outcomes=packed)
        return made

    cells = runs("relu", [0.9, 0.91, 0.92]) + runs("softplus", [-0.1, 0.001, -3.0])
    study = config("relu", "softplus", "gelu")
    rows = answer(study, cells + runs("gelu", [0.8, 0.9, -30.0]))
    assert [row["verdict"] for row in rows] == ["baseline", "did not train", "unclear"]


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
