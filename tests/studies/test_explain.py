"""What a study says in words."""

from dataclasses import replace

from actcompare.studies.study import Study
from tests.studies.runs import config, failure, result, study_of


def test_better_same_and_unclear() -> None:
    jitter = [0.001 * (k % 3) for k in range(12)]
    said = study_of(
        {
            "relu": [0.9 + j for j in jitter],
            "softplus": [0.95 + j * j for j in jitter],
            "gelu": [0.901 + j * j for j in jitter],
            "tanh": [0.9 + 0.03 * (-1) ** k + 0.01 for k in range(12)],
        }
    ).reading()
    assert "softplus is better than relu: +4.9" in said
    assert "gelu does as well as relu" in said
    assert "within the margin of 1 point" in said
    assert "tanh against relu is unclear" in said
    assert "seeds would likely settle it" in said
    assert "chosen on the validation set" not in said  # there was one rate


def test_few_seeds() -> None:
    assert "One seed supports no claim" in study_of({"relu": [0.9], "gelu": [0.8]}).reading()
    said = study_of({"relu": [0.9] * 2, "gelu": [0.8] * 2}).reading()
    assert "they share fewer than 3 seeds" in said
    assert "2 seeds support no claim" in said


def test_sign_flips_that_disagree() -> None:
    said = study_of({"relu": [0.9] * 4, "gelu": [0.8, 0.79, 0.8, 0.79]}).reading()
    assert "gelu is worse than relu" in said
    assert "cannot confirm the difference of gelu (Holm-adjusted p = 0.12)" in said
    assert "with --seeds 6 one could" in said
    said = study_of({"relu": [0.9] * 8, "gelu": [0.8, 0.79, 0.8, 0.79] * 2}).reading()
    assert "ign flips" not in said


def test_what_did_not_train() -> None:
    made = study_of({"relu": [0.9] * 5, "tanh": [0.1, 0.11, 0.1, 0.09, 0.1]}, lrs=(0.1, 0.01))
    said = made.reading()
    assert "tanh did not train: its mean test accuracy of 10.0 %" in said
    assert "always predicting the largest class (10.0 %)" in said
    assert "--init kaiming" in said
    assert "--optimizer" in said
    assert "--lr" in said
    assert "tanh did best" not in said
    assert "baseline" not in said
    turned = study_of({"tanh": [0.1, 0.11, 0.1, 0.09, 0.1], "relu": [0.9] * 5}).reading()
    assert "tanh, the baseline, did not train" in turned
    assert "relu is better than tanh" in turned
    assert "better than a baseline that did not train says little" in turned


def test_what_the_test_samples_cannot_tell() -> None:
    cells = [result(a, s, 1.0, of_data=130) for a in ("relu", "gelu") for s in range(20)]
    environment = study_of({"relu": [0.9]}).environment
    made = Study(config("relu", "gelu", seeds=20), environment, "accuracy", tuple(cells), ())
    row = made.rows()[1]
    said = made.reading()
    assert f"{row['test_samples']} test samples cannot tell 1 point, and more seeds" in said
    assert "About" not in said
    old = replace(made, results=tuple(replace(each, outcomes=None) for each in cells))
    assert "Runs stored by an earlier version lack the outcomes" in old.reading()


def test_r2_is_not_in_points() -> None:
    made = study_of({"relu": [0.9] * 5, "gelu": [0.8, 0.81, 0.82, 0.8, 0.81]})
    said = replace(made, metric="R^2").reading()
    assert "points" not in said
    assert "in R^2" in said


def test_rates_are_chosen_only_among_several() -> None:
    tests = {"relu": [0.9] * 3}
    assert "rates were chosen" not in study_of(tests).reading()
    assert "rates were chosen" in study_of(tests, lrs=(0.1, 0.3)).reading()


def test_rates_at_the_edge_dead_units_and_divergence() -> None:
    results = tuple(
        result("relu", seed, 0.5 + lr, lr=lr, dead=10, diverged=1)
        for seed in (0, 1)
        for lr in (0.1, 0.3)
    )
    study = study_of({"relu": [0.9]})
    said = Study(
        config("relu", seeds=2, lrs=(0.1, 0.3)), study.environment, "accuracy", results, ()
    ).reading()
    assert "relu did best at the largest learning rate tried, 0.3" in said
    assert "50 % of relu's hidden units" in said
    assert "Diverged at the chosen learning rates: 2 of 2 runs of relu" in said


def test_what_is_missing() -> None:
    study = replace(study_of({"relu": [0.9] * 3}), config=config("relu", "gelu", seeds=4))
    study = replace(study, failures=(failure("gelu"),))
    said = study.reading()
    assert "1 run failed, the first (gelu, seed 0): it broke." in said
    assert "No run of gelu has finished." in said
    assert "4 of 8 runs are still missing" in said
