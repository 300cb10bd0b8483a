"""The answer of a study: from the results of its cells to one record per activation."""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from actcompare.stats import (
    Estimate,
    difference_verdict,
    holm,
    interquartile_mean,
    seeds_to_settle,
    sign_flip_p,
    t_interval,
)
from actcompare.studies.records import CellResult, Failure, StudyConfig

BASELINE, FAILED, NOT_RUN = "baseline", "failed", "not run"

VERDICTS = ("better", "worse", "same", "unclear", FAILED, NOT_RUN)
"""The verdicts on activations other than the baseline."""

Setting = tuple[str, int, int]
"""Activation, depth, hidden."""


@dataclass(frozen=True)
class Runs:
    """Runs of an activation at one depth, width and learning rate, one per seed."""

    activation: str
    depth: int
    hidden: int
    lr: float
    by_seed: Mapping[int, CellResult]

    @property
    def test(self) -> npt.NDArray[np.float64]:
        """Test metric, shape (seed,)."""
        return np.array([run.test.metric for run in self.by_seed.values()])

    @property
    def validation(self) -> float:
        """Mean validation metric, which decides the learning rate; NaN counts as the worst."""
        mean = float(np.mean([run.validation.metric for run in self.by_seed.values()]))
        return -math.inf if math.isnan(mean) else mean

    @property
    def diverged(self) -> int:
        """Number of diverged runs."""
        return sum(run.diverged_epoch is not None for run in self.by_seed.values())

    def share(self, verdict: str) -> float:
        """Return the share of units with this verdict, over all runs."""
        runs = self.by_seed.values()
        return sum(run.verdicts[verdict] for run in runs) / sum(run.units for run in runs)

    @property
    def step_s(self) -> float | None:
        """Median time of a step."""
        times = [run.step_s for run in self.by_seed.values() if run.step_s is not None]
        return float(np.median(times)) if times else None

    def minus(self, other: "Runs") -> npt.NDArray[np.float64]:
        """Return paired differences of the test metric over common seeds, shape (seed,)."""
        both = [seed for seed in self.by_seed if seed in other.by_seed]
        return np.array(
            [self.by_seed[seed].test.metric - other.by_seed[seed].test.metric for seed in both]
        )


def by_learning_rate(config: StudyConfig, results: Iterable[CellResult]) -> list[Runs]:
    """Collect the seeds of each setting and learning rate, in the order of the config."""
    found: dict[tuple[str, int, int, float], dict[int, CellResult]] = {}
    for result in results:
        c = result.cell
        found.setdefault((c.activation, c.depth, c.hidden, c.lr), {})[c.seed] = result
    return [
        Runs(act, depth, hidden, lr, dict(sorted(found[act, depth, hidden, lr].items())))
        for depth, hidden, act, lr in itertools.product(
            config.depths, config.hiddens, config.activations, config.lrs
        )
        if (act, depth, hidden, lr) in found
    ]


def chosen(runs: Sequence[Runs]) -> dict[Setting, Runs]:
    """Return the runs with the best mean validation metric per activation, depth and width.

    The test set plays no role. Ties go to the smallest learning rate.
    """
    best: dict[Setting, Runs] = {}
    for each in sorted(runs, key=lambda each: each.lr):
        setting = each.activation, each.depth, each.hidden
        if setting not in best or each.validation > best[setting].validation:
            best[setting] = each
    return best


def answer(
    config: StudyConfig, results: Iterable[CellResult], failures: Iterable[Failure] = ()
) -> list[dict[str, Any]]:
    """Return one record per activation, depth and width, each compared with the baseline."""
    failed = {(each.cell.activation, each.cell.depth, each.cell.hidden) for each in failures}
    best = chosen(by_learning_rate(config, results))
    rows, compared = [], []
    for depth, hidden in itertools.product(config.depths, config.hiddens):
        baseline = best.get((config.activations[0], depth, hidden))
        for activation in config.activations:
            runs = best.get((activation, depth, hidden))
            row: dict[str, Any] = {"activation": activation, "depth": depth, "hidden": hidden}
            rows.append(row | _described(runs))
            if runs is None:
                tried = (activation, depth, hidden) in failed
                rows[-1]["verdict"] = FAILED if tried else NOT_RUN
            elif baseline is None:
                rows[-1]["verdict"] = "unclear"
            elif runs is baseline:
                rows[-1] |= {"difference": 0.0, "difference_low": 0.0, "difference_high": 0.0}
                rows[-1]["verdict"] = BASELINE
            else:
                compared.append((rows[-1], runs.minus(baseline)))
    _compare(compared, config.margin, config.training.seed)
    return rows


def _described(runs: Runs | None) -> dict[str, Any]:
    if runs is None:
        return dict.fromkeys(_COLUMNS) | {"seeds": 0, "diverged": 0}
    mean = t_interval(runs.test)
    return dict.fromkeys(_COLUMNS) | {
        "lr": runs.lr,
        "seeds": len(runs.by_seed),
        "diverged": runs.diverged,
        "mean": mean.value,
        "mean_low": mean.low,
        "mean_high": mean.high,
        "iqm": interquartile_mean(runs.test),
        "zero_dead_share": runs.share("zero_dead"),
        "gradient_dead_share": runs.share("gradient_dead"),
        "step_s": runs.step_s,
    }


_COLUMNS = (
    "lr",
    "seeds",
    "diverged",
    "mean",
    "mean_low",
    "mean_high",
    "iqm",
    "difference",
    "difference_low",
    "difference_high",
    "p_value",
    "p_holm",
    "verdict",
    "seeds_needed",
    "zero_dead_share",
    "gradient_dead_share",
    "step_s",
)


def _compare(
    compared: Sequence[tuple[dict[str, Any], npt.NDArray[np.float64]]], margin: float, seed: int
) -> None:
    """Fill in the comparisons with the baseline; p-values are Holm-adjusted over all rows."""
    p_values = [
        sign_flip_p(differences, seed) if np.isfinite(differences).all() else 1.0
        for _, differences in compared
    ]
    corrected = holm(p_values)
    for (row, differences), p, p_holm in zip(compared, p_values, corrected, strict=True):
        nothing = Estimate(math.nan, -math.inf, math.inf)
        estimate = t_interval(differences) if len(differences) else nothing
        verdict = difference_verdict(estimate, p_holm, margin)
        row["difference"] = estimate.value
        row["difference_low"], row["difference_high"] = estimate.low, estimate.high
        row["p_value"], row["p_holm"], row["verdict"] = p, p_holm, verdict
        if verdict == "unclear" and len(differences) > 1:
            row["seeds_needed"] = seeds_to_settle(differences, margin, len(compared))


def shared_rates(config: StudyConfig, results: Iterable[CellResult]) -> list[dict[str, Any]]:
    """Return one record per activation and learning rate."""
    rows = []
    for runs in by_learning_rate(config, results):
        mean = t_interval(runs.test)
        rows.append(
            {
                "activation": runs.activation,
                "depth": runs.depth,
                "hidden": runs.hidden,
                "lr": runs.lr,
                "seeds": len(runs.by_seed),
                "diverged": runs.diverged,
                "validation_mean": runs.validation,
                "mean": mean.value,
                "mean_low": mean.low,
                "mean_high": mean.high,
            }
        )
    return rows


def learning_curves(
    config: StudyConfig, results: Iterable[CellResult]
) -> Iterator[tuple[Setting, list[Estimate]]]:
    """Yield the validation metric after each epoch at the chosen rate, per setting.

    A diverged run keeps its last value.
    """
    epochs = config.training.epochs
    for setting, runs in chosen(by_learning_rate(config, results)).items():
        curves = [
            run.curve + run.curve[-1:] * (epochs + 1 - len(run.curve))
            for run in runs.by_seed.values()
        ]
        yield setting, [t_interval(values) for values in zip(*curves, strict=True)]
