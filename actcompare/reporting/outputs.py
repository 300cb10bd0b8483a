"""Outputs that must be positive: a regression on counts with softplus, exp or no activation."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from actcompare.data.datasets import REGRESSION, Dataset
from actcompare.data.sources import load_data
from actcompare.errors import ActcompareError
from actcompare.stats import Estimate, paired_mean, t_interval
from actcompare.training.train import train

COUNTS = "randhie"
"""The data, unless the user's own are a regression without negative targets."""

PLAIN, SOFTPLUS, EXP = "none", "softplus", "torch:exp"
OUTPUTS = (PLAIN, SOFTPLUS, EXP)

RATES = (0.003, 0.01, 0.03)

SEEDS, EPOCHS, BATCH_SIZE = 8, 5, 128


@dataclass(frozen=True)
class OutputRun:
    """A run with one activation of the output, learning rate and seed."""

    output: str
    lr: float
    seed: int
    validation: float
    """R^2; -inf for a run whose loss was never finite."""
    test: float
    negative_share: float
    diverged: bool


@dataclass(frozen=True)
class Outputs:
    """Runs with each activation of the output, on the same seeds."""

    data: str
    activation: str
    """Activation of the hidden layer."""
    runs: tuple[OutputRun, ...]

    def chosen(self) -> dict[str, list[OutputRun]]:
        """Return the runs of each output at its rate with the best mean validation R^2."""
        found = {}
        for output in OUTPUTS:
            by_rate = [
                [run for run in self.runs if (run.output, run.lr) == (output, lr)] for lr in RATES
            ]
            found[output] = max(by_rate, key=lambda runs: np.mean([r.validation for r in runs]))
        return found

    def difference(self, output: str, other: str) -> Estimate:
        """Return the paired difference in test R^2, with a 95 % interval."""
        runs = self.chosen()
        differences = np.array(
            [a.test - b.test for a, b in zip(runs[output], runs[other], strict=True)]
        )
        if not np.isfinite(differences).all():
            return Estimate(math.nan, -math.inf, math.inf)
        return paired_mean(differences).interval()

    def rows(self) -> list[dict[str, Any]]:
        """Return one record per activation of the output."""
        rows = []
        for output, runs in self.chosen().items():
            mean = t_interval([run.test for run in runs])
            rows.append(
                {
                    "output": output,
                    "lr": runs[0].lr,
                    "seeds": len(runs),
                    "diverged": sum(run.diverged for run in runs),
                    "mean": mean.value,
                    "mean_low": mean.low,
                    "mean_high": mean.high,
                    "negative_share": float(np.mean([run.negative_share for run in runs])),
                }
            )
        return rows


def is_positive(dataset: Dataset) -> bool:
    """Return whether the data are a regression on one number that is never negative."""
    return dataset.task == REGRESSION and dataset.outputs == 1 and float(dataset.y.min()) >= 0


def compare_outputs(
    activation: str,
    dataset: Dataset,
    *,
    seed: int,
    device: str,
    more: Callable[[int], bool],
    seeds: int = SEEDS,
) -> Outputs | None:
    """Train with each activation of the output, seed after seed.

    Args:
        activation: Activation of the hidden layer.
        dataset: The user's data, used if they are positive; else COUNTS.
        seed: The first seed.
        device: Device to train on.
        more: Called with the number of seeds done; returns whether to go on.
        seeds: Most seeds.

    Returns:
        The runs; None if there was no time for any seed.
    """
    data = dataset if is_positive(dataset) else load_data(COUNTS)
    runs = list[OutputRun]()
    for done in range(seeds):
        if not more(done):
            break
        runs += _runs_of(activation, data, seed + done, device)
    return Outputs(data.name, activation, tuple(runs)) if runs else None


def _runs_of(activation: str, data: Dataset, seed: int, device: str) -> Sequence[OutputRun]:
    return [_run(activation, data, output, lr, seed, device) for output in OUTPUTS for lr in RATES]


def _run(
    activation: str, data: Dataset, output: str, lr: float, seed: int, device: str
) -> OutputRun:
    try:
        run = train(
            activation,
            data,
            output_activation=None if output == PLAIN else output,
            lr=lr,
            seed=seed,
            epochs=EPOCHS,
            batch_size=min(BATCH_SIZE, max(1, len(data.X) // 10)),
            device=device,
            track_on=None,
        )
    except ActcompareError:  # exp may overflow before the first step
        return OutputRun(output, lr, seed, -math.inf, -math.inf, 0.0, diverged=True)
    share = run.negative_share
    assert share is not None
    metric = run.history[-1].validation.metric
    return OutputRun(
        output, lr, seed, metric, run.test.metric, share, diverged=run.diverged is not None
    )
