"""Made-up cells, for what is concluded from them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from actcompare.studies.records import Cell, CellResult, Failure, SampleOutcomes, StudyConfig
from actcompare.studies.study import Study
from actcompare.training.records import Score
from actcompare.units.statistics import VERDICTS
from tests.training.runs import CONFIG, ENVIRONMENT


def config(*activations: str, **changes: Any) -> StudyConfig:
    plain = StudyConfig(
        activations=activations or ("relu", "softplus"),
        seeds=8,
        lrs=(0.1,),
        depths=(1,),
        hiddens=(20,),
        margin=0.01,
        training=replace(CONFIG, seed=0),
        fingerprint="f",
    )
    return replace(plain, **changes)


def result(
    activation: str,
    seed: int,
    test: float,
    *,
    lr: float = 0.1,
    validation: float | None = None,
    depth: int = 1,
    hidden: int = 20,
    diverged: int | None = None,
    dead: int = 0,
    curve: Sequence[float] = (0.1, 0.5, 0.9),
    of_data: int = 4000,
    guess: float = 0.1,
) -> CellResult:
    """A run on a fifth of a data set, with the first so many test samples right; none of_data: the
    run is of an earlier version."""
    verdicts = dict.fromkeys(VERDICTS, 0) | {"zero_dead": dead, "gradient_dead": dead}
    seen = test if validation is None else validation
    return CellResult(
        Cell(activation, depth, hidden, lr, seed),
        Score(0.1, 0.99),
        Score(0.3, seen),
        Score(0.3, test),
        diverged,
        hidden * depth,
        verdicts,
        2e-5 if activation == "relu" else 3e-5,
        tuple(curve),
        outcomes(seed, test, of_data, guess) if of_data else None,
    )


def outcomes(seed: int, test: float, of_data: int, guess: float = 0.1) -> SampleOutcomes:
    """A test set of the seed's own, of which this share is right."""
    rows = np.random.default_rng(seed).permutation(of_data)[: of_data // 5]
    right = np.arange(len(rows)) < np.nan_to_num(test) * len(rows) - 0.5
    return SampleOutcomes.of(np.sort(rows), of_data, right[np.argsort(rows)], guess)


def study_of(tests: Mapping[str, Sequence[float]], **changes: Any) -> Study:
    """A study with these test metrics, one per seed."""
    seeds = max(map(len, tests.values()))
    results = [result(act, seed, x) for act, xs in tests.items() for seed, x in enumerate(xs)]
    return Study(
        config(*tests, seeds=seeds, **changes), ENVIRONMENT, "accuracy", tuple(results), ()
    )


def failure(activation: str, seed: int = 0) -> Failure:
    return Failure(Cell(activation, 1, 20, 0.1, seed), "it broke")
