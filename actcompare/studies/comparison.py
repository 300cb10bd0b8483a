"""The answer of a study: from the results of its cells to one record per activation."""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from actcompare.stats import (
    FEWEST_PAIRS,
    Estimate,
    PairedMean,
    difference_verdict,
    holm,
    holm_levels,
    interquartile_mean,
    paired_mean,
    seeds_to_settle,
    shared_sample_variance,
    sign_flip_p,
    t_interval,
    t_quantile,
    unseen_share,
)
from actcompare.studies.records import CellResult, Failure, SampleOutcomes, StudyConfig

BASELINE, FAILED, NOT_RUN, UNTRAINED = "baseline", "failed", "not run", "did not train"

VERDICTS = ("better", "worse", "same", "unclear", UNTRAINED, FAILED, NOT_RUN)
"""The verdicts on activations. The baseline can only have the last three."""

_Z = NormalDist().inv_cdf(0.975)

_ROUNDING = 1e-12
"""Relative differences that rounding of float64 alone explains."""

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
    sign: int = 1
    """1 if more of the metric is better, else -1."""
    validated: bool = True
    """Whether the validation metric chooses the learning rate, and not the test metric."""

    @property
    def test(self) -> npt.NDArray[np.float64]:
        """Test metric, shape (seed,)."""
        return np.array([run.test.metric for run in self.by_seed.values()])

    @property
    def validation(self) -> float:
        """Mean validation metric, which decides the learning rate; NaN counts as the worst.

        Where a fit gives none, the test metric takes its place.
        """
        runs = self.by_seed.values()
        scores = [run.validation if self.validated else run.test for run in runs]
        mean = float(np.mean([score.metric for score in scores]))
        return -self.sign * math.inf if math.isnan(mean) else mean

    @property
    def diverged(self) -> int:
        """Number of diverged runs."""
        return sum(run.diverged_epoch is not None for run in self.by_seed.values())

    def share(self, verdict: str) -> float:
        """Return the share of units with this verdict, over all runs of SimpleNet."""
        runs = self.by_seed.values()
        return sum(run.verdicts[verdict] for run in runs) / sum(run.units for run in runs)

    @property
    def step_s(self) -> float | None:
        """Median time of a step."""
        return _median(run.step_s for run in self.by_seed.values())

    @property
    def seconds(self) -> float | None:
        """Median time of a fit."""
        return _median(run.seconds for run in self.by_seed.values())

    @property
    def outcomes(self) -> dict[int, SampleOutcomes]:
        """Outcomes of the test samples by seed, where they are known."""
        known = {seed: run.outcomes for seed, run in self.by_seed.items()}
        return {seed: each for seed, each in known.items() if each is not None}

    @property
    def guess(self) -> float | None:
        """Mean test metric of a constant prediction; None if it is not known of every run."""
        known = self.outcomes.values()
        return float(np.mean([e.guess for e in known])) if len(known) == len(self.by_seed) else None

    def trained(self, margin: float) -> bool:
        """Return whether the runs do better than a constant prediction, as far as is known.

        They do not if the interval of the mean metric, widened by the resolution of all test
        samples, reaches down to that prediction, and the median run lies within the margin or the
        resolution of its own test set.
        """
        guess = self.guess
        if guess is None:
            return True
        known = self.outcomes
        beyond = self.test - [each.guess for each in known.values()]
        samples = [each.samples for each in known.values()]
        spread = _Z * math.sqrt(guess * (1 - guess))
        mean = t_interval(beyond)
        half = math.hypot(mean.value - mean.low, spread / math.sqrt(_distinct(samples)))
        near = max(margin, spread / math.sqrt(np.mean([len(each) for each in samples])))
        return mean.value - half > 0 or float(np.median(beyond)) > near


def _median(times: Iterable[float | None]) -> float | None:
    known = [each for each in times if each is not None]
    return float(np.median(known)) if known else None


def validated(results: Iterable[CellResult]) -> bool:
    """Return whether every run has a validation metric, which then chooses the learning rate."""
    return all(result.validated for result in results)


def by_learning_rate(config: StudyConfig, results: Iterable[CellResult]) -> list[Runs]:
    """Collect the seeds of each setting and learning rate, in the order of the config."""
    found: dict[tuple[str, int, int, float], dict[int, CellResult]] = {}
    results = tuple(results)
    for result in results:
        c = result.cell
        found.setdefault((c.activation, c.depth, c.hidden, c.lr), {})[c.seed] = result
    how = config.sign, validated(results)
    return [
        Runs(act, depth, hidden, lr, dict(sorted(found[act, depth, hidden, lr].items())), *how)
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
        if setting not in best or each.sign * (each.validation - best[setting].validation) > 0:
            best[setting] = each
    return best


def repeated_seeds(results: Iterable[CellResult]) -> list[list[int]]:
    """Return groups of seeds whose fits are equal to the bit, as if the fit ignored its seed.

    A metric with few values, such as the accuracy on a small test set, is sometimes equal by
    chance. So unless all seeds are equal, seeds count only if they are equal for every activation
    and rate, and no run equals another otherwise.
    """
    found: dict[tuple[str, float], dict[int, str]] = {}
    for each in results:
        if each.numbers is not None and math.isfinite(each.test.metric):
            numbers = repr((each.curve, sorted(each.numbers.items())))
            setting = each.cell.activation, each.cell.lr
            found.setdefault(setting, {})[each.cell.seed] = numbers
    seeds = sorted({seed for by_seed in found.values() for seed in by_seed})
    if all(len(set(by_seed.values())) == 1 for by_seed in found.values()):
        return [seeds] if any(len(by_seed) > 1 for by_seed in found.values()) else []
    groups: dict[tuple[str | None, ...], list[int]] = {}
    for seed in seeds:
        groups.setdefault(tuple(by_seed.get(seed) for by_seed in found.values()), []).append(seed)
    for values in zip(*groups, strict=True):
        known = [value for value in values if value is not None]
        if len(set(known)) < len(known):
            return []
    return [seeds for seeds in groups.values() if len(seeds) > 1]


def answer(
    config: StudyConfig, results: Iterable[CellResult], failures: Iterable[Failure] = ()
) -> list[dict[str, Any]]:
    """Return one record per activation, depth and width, each compared with the baseline.

    The baseline is the first activation at each depth and width.
    """
    failed = {(each.cell.activation, each.cell.depth, each.cell.hidden) for each in failures}
    results = tuple(results)
    best = chosen(by_learning_rate(config, results))
    fit, repeated = config.fit is not None, bool(repeated_seeds(results))
    rows, compared, untrained = [], [], []
    for depth, hidden in itertools.product(config.depths, config.hiddens):
        baseline = best.get((config.activations[0], depth, hidden))
        for activation in config.activations:
            runs = best.get((activation, depth, hidden))
            row: dict[str, Any] = {"activation": activation, "depth": depth, "hidden": hidden}
            rows.append(row | _described(runs, fit))
            if runs is None:
                tried = (activation, depth, hidden) in failed
                rows[-1]["verdict"] = FAILED if tried else NOT_RUN
            elif runs is not baseline:
                rows[-1] |= {"verdict": "unclear", "pairs": 0}
                if baseline is not None:
                    comparison = Comparison.of(config, runs, baseline)
                    unsure = repeated or (fit and not comparison.varies)
                    compared.append((rows[-1], comparison.unsure() if unsure else comparison))
            else:
                rows[-1]["verdict"] = BASELINE
                rows[-1] |= {"difference": 0.0, "difference_low": 0.0, "difference_high": 0.0}
            if runs is not None and not runs.trained(config.margin):
                untrained.append(rows[-1])
    _compare(compared, config)
    for row in untrained:
        if row["verdict"] == BASELINE:  # a gate on differences has nothing to judge
            row |= dict.fromkeys(("difference", "difference_low", "difference_high"))
        row |= {"verdict": UNTRAINED, "seeds_needed": None}
    without = _WITHOUT[fit] + ("lr",) * (config.lrs == (0.0,))
    without += () if config.is_of_simple_net else ("depth", "hidden")
    return [{name: row[name] for name in row if name not in without} for row in rows]


def _described(runs: Runs | None, fit: bool) -> dict[str, Any]:
    if runs is None:
        return dict.fromkeys(_COLUMNS) | {"seeds": 0, "diverged": 0}
    mean = t_interval(runs.test)
    shares = {} if fit else {name: runs.share(name.removesuffix("_share")) for name in _SHARES}
    return (
        dict.fromkeys(_COLUMNS)
        | shares
        | {
            "lr": runs.lr,
            "seeds": len(runs.by_seed),
            "diverged": runs.diverged,
            "mean": mean.value,
            "mean_low": mean.low,
            "mean_high": mean.high,
            "iqm": interquartile_mean(runs.test),
            "guess": runs.guess,
            "step_s": runs.step_s,
            "seconds": runs.seconds,
        }
    )


_SHARES = ("zero_dead_share", "gradient_dead_share")

_COLUMNS = (
    "lr",
    "seeds",
    "diverged",
    "mean",
    "mean_low",
    "mean_high",
    "iqm",
    "guess",
    "pairs",
    "difference",
    "difference_low",
    "difference_high",
    "p_value",
    "p_holm",
    "p_sign_flip",
    "p_sign_flip_holm",
    "test_samples",
    "test_error",
    "verdict",
    "seeds_needed",
    *_SHARES,
    "step_s",
    "seconds",
)

_WITHOUT = (
    ("seconds",),
    ("depth", "hidden", "guess", "test_samples", "test_error", *_SHARES, "step_s"),
)
"""Columns that a study of SimpleNet does not have, and those that a fit does not have."""

_NUMBERS = (
    *("lr", "seeds", "diverged", "mean", "mean_low", "mean_high", "iqm", "difference"),
    *("difference_low", "difference_high", "p_value", "p_holm", "p_sign_flip"),
)

NUMBERS = {"SimpleNet": (*_NUMBERS, *_SHARES, "step_s"), "fit": (*_NUMBERS, "seconds")}
"""Columns that a gate can test in a study of SimpleNet, and of a fit."""


@dataclass(frozen=True)
class Comparison:
    """Paired differences in the test metric, and what the test samples say about them."""

    differences: npt.NDArray[np.float64]
    """Shape (pair,)."""
    metrics: npt.NDArray[np.float64]
    """Test metrics of the activation and the baseline, shape (pair, 2)."""
    mean: PairedMean | None
    """None if a difference is not finite, or there are none."""
    test_samples: int | None
    """Number of different test samples; None if outcomes are known of fewer than 2 pairs."""
    test_error: float
    """Standard error that comes from the test samples."""
    lasting_error: float
    """Part of it that no number of seeds removes."""

    @property
    def varies(self) -> bool:
        """Whether differences differ by more than rounding, so that their spread is known."""
        scale = float(np.abs(self.metrics).max(initial=0))
        return bool(np.ptp(self.differences) > _ROUNDING * scale) if self.mean else True

    def unsure(self) -> "Comparison":
        """Return the same without an error, where seeds do not differ and prove nothing."""
        mean = self.mean and PairedMean(self.mean.value, math.inf, 1)
        return replace(self, mean=mean)

    @classmethod
    def of(cls, config: StudyConfig, runs: Runs, baseline: Runs) -> "Comparison":
        """Compare two activations, paired by seed and by test sample.

        The variance has a floor: an unseen share of samples, by the rule of three, could differ as
        much as possible (in a regression: as much as any sample seen).
        """
        seeds = [seed for seed in runs.by_seed if seed in baseline.by_seed]
        pairs = [(runs.by_seed[s].test.metric, baseline.by_seed[s].test.metric) for s in seeds]
        metrics = np.array(pairs, dtype=np.float64).reshape(-1, 2)
        differences = metrics[:, 0] - metrics[:, 1]
        fine = len(seeds) > 0 and bool(np.isfinite(differences).all())
        mine, its = runs.outcomes, baseline.outcomes
        known = [seed for seed in seeds if seed in mine and seed in its]
        by_sample = [mine[seed].values - its[seed].values for seed in known]
        if not fine or len(known) < 2 or not all(np.isfinite(each).all() for each in by_sample):
            mean = paired_mean(differences) if fine else None
            return cls(differences, metrics, mean, None, 0.0, 0.0)
        samples, rows = [mine[seed].samples for seed in known], float(mine[known[0]].of_data)
        if config.net.data == "random":  # each seed draws samples of its own
            samples = [each + int(k * rows) for k, each in enumerate(samples)]
            rows = math.inf
        count, reach = _distinct(samples), 1.0
        if not mine[known[0]].is_binary:
            reach = max(float(np.abs(each).max()) for each in by_sample)
        shared = shared_sample_variance(by_sample, samples)
        df = max(1, min(len(differences), count) - 1)
        unseen = unseen_share(count) * reach / t_quantile(0.975, df)
        variance = shared + unseen**2
        return cls(
            differences,
            metrics,
            paired_mean(differences, variance, count),
            count,
            math.sqrt(variance),
            math.hypot(math.sqrt(shared), unseen_share(rows) * reach / _Z),
        )


def _distinct(samples: Sequence[npt.NDArray[np.int64]]) -> int:
    return len(np.unique(np.concatenate(samples)))


def _compare(compared: Sequence[tuple[dict[str, Any], Comparison]], config: StudyConfig) -> None:
    """Fill in the comparisons with the baseline, Holm-adjusted over all rows."""
    p_values = [each.mean.p_value if each.mean is not None else 1.0 for _, each in compared]
    flips = [
        sign_flip_p(each.differences, config.training.seed) if each.mean is not None else 1.0
        for _, each in compared
    ]
    both = zip(p_values, holm(p_values), holm_levels(p_values), flips, holm(flips), strict=True)
    for (row, each), (p, p_holm, level, flip, flip_holm) in zip(compared, both, strict=True):
        row["pairs"] = len(each.differences)
        if each.mean is None:
            row |= {"difference": math.nan, "verdict": "unclear"}
            row |= {"difference_low": -math.inf, "difference_high": math.inf}
            continue
        interval = each.mean.interval(level)
        verdict = difference_verdict(interval.times(config.sign), config.margin)
        # A fit does not say which samples it was tested on.
        unproven = verdict == "same" and each.test_samples is None and config.fit is None
        row |= {
            "difference": interval.value,
            "difference_low": interval.low,
            "difference_high": interval.high,
            "test_samples": each.test_samples,
            "verdict": "unclear" if unproven else verdict,
        }
        if math.isfinite(each.mean.error):
            row |= {"p_value": p, "p_holm": p_holm}
        if math.isfinite(each.mean.error) or config.fit is None:
            row |= {"p_sign_flip": flip, "p_sign_flip_holm": flip_holm}
        if each.test_samples is not None:
            row["test_error"] = each.test_error
        settles = math.isfinite(each.mean.error) or config.fit is None
        if verdict == "unclear" and settles and len(each.differences) >= FEWEST_PAIRS:
            row["seeds_needed"] = seeds_to_settle(
                each.differences, config.margin, len(compared), each.lasting_error
            )


def shared_rates(config: StudyConfig, results: Iterable[CellResult]) -> list[dict[str, Any]]:
    """Return one record per activation and learning rate."""
    rows = []
    for runs in by_learning_rate(config, results):
        mean = t_interval(runs.test)
        sizes = {"depth": runs.depth, "hidden": runs.hidden}
        net = sizes if config.is_of_simple_net else {}
        lr = {"lr": runs.lr} if config.lrs != (0.0,) else {}
        rows.append(
            {
                "activation": runs.activation,
                **net,
                **lr,
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

    Of a fit, it is the metric of each report. A run that diverged or stopped early keeps its last
    value.
    """
    for setting, runs in chosen(by_learning_rate(config, results)).items():
        points = config.net.epochs + 1 if config.fit is None else 1
        points = max(points, *(len(run.curve) for run in runs.by_seed.values()))
        curves = [
            run.curve + run.curve[-1:] * (points - len(run.curve)) for run in runs.by_seed.values()
        ]
        yield setting, [t_interval(values) for values in zip(*curves, strict=True)]
