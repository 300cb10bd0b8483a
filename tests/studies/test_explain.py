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
    assert "within the margin of 1.00 points" in said
    assert "tanh against relu is unclear" in said
    assert "seeds would likely settle it" in said
    assert "chosen on the validation set" in said


def test_few_seeds() -> None:
    assert "One seed supports no claim" in study_of({"relu": [0.9], "gelu": [0.8]}).reading()
    said = study_of({"relu": [0.9] * 4, "gelu": [0.8, 0.7, 0.8, 0.7]}).reading()
    assert "With 4 seeds no difference can be significant" in said
    assert "At least --seeds 6 is needed" in said


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
