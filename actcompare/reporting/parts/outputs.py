"""Outputs that must be positive: a regression on counts with softplus, exp or no activation."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from actcompare.data.datasets import REGRESSION, Dataset
from actcompare.stats import Estimate
from actcompare.studies.comparison import Comparison, Runs, by_learning_rate, chosen
from actcompare.studies.study import Study

COUNTS = "randhie"
"""The data, unless the user's own are a regression without negative targets."""

PLAIN, SOFTPLUS, EXP = "none", "softplus", "torch:exp"
OUTPUTS = (PLAIN, SOFTPLUS, EXP)

HIDDEN = "relu"
"""Activation of the hidden layer."""

RATES = (0.001, 0.003, 0.01)

EPOCHS, BATCH_SIZE = 5, 128


@dataclass(frozen=True)
class Outputs:
    """A study with each activation of the output, on the same seeds."""

    data: str
    studies: Mapping[str, Study]
    negative: Mapping[str, tuple[float, ...]]
    """Share of negative predictions for the test set of each seed, at the chosen rate."""

    def runs(self, output: str) -> Runs | None:
        """Return the runs with an output at its chosen rate; None if all of them failed."""
        study = self.studies[output]
        return next(iter(chosen(by_learning_rate(study.config, study.results)).values()), None)

    def fails(self, output: str) -> bool:
        """Return whether a run of an output failed or diverged, so that it has no result."""
        runs = self.runs(output)
        return runs is None or bool(runs.diverged or self.studies[output].failures)

    def difference(self, output: str, other: str) -> Estimate:
        """Return the difference in test R^2, paired by seed and by test sample."""
        runs, others = self.runs(output), self.runs(other)
        if runs is None or others is None or self.fails(output) or self.fails(other):
            return Estimate(math.nan, -math.inf, math.inf)
        mean = Comparison.of(self.studies[output].config, runs, others).mean
        return Estimate(math.nan, -math.inf, math.inf) if mean is None else mean.interval()

    def rows(self) -> list[dict[str, Any]]:
        """Return one record per activation of the output."""
        rows = []
        for output, study in self.studies.items():
            (answer,) = study.rows()
            kept = ("lr", "seeds", "diverged", "mean", "mean_low", "mean_high")
            shares = self.negative[output]
            rows.append(
                {"output": output}
                | {name: answer[name] for name in kept}
                | {
                    "failed": len(study.failures),
                    "negative_share": float(np.mean(shares)) if shares else None,
                }
            )
        return rows


def is_positive(dataset: Dataset) -> bool:
    """Return whether the data are a regression on one number that is never negative."""
    return dataset.task == REGRESSION and dataset.outputs == 1 and float(dataset.y.min()) >= 0
