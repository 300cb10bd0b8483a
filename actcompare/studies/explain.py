"""Describe a study: which activation does better, how certain that is, and what would settle it."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from actcompare.stats import FEWEST_PAIRS, LEVEL
from actcompare.studies.comparison import (
    BASELINE,
    FAILED,
    NOT_RUN,
    UNTRAINED,
    by_learning_rate,
    chosen,
    repeated_seeds,
    validated,
)
from actcompare.studies.fits.records import VALIDATION, FitConfig
from actcompare.studies.records import CellResult, Failure, StudyConfig
from actcompare.text import listed
from actcompare.training.learning.optimizers import OPTIMIZERS

MANY_DEAD = 0.1
"""Larger shares of dead units are mentioned."""

FAR = 1000
"""Larger numbers of seeds are not recommended."""


def describe_study(
    config: StudyConfig,
    metric: str,
    rows: Sequence[Mapping[str, Any]],
    results: Sequence[CellResult],
    failures: Sequence[Failure],
) -> str:
    """Return the reading of a study, each sentence drawn from one of its numbers.

    Args:
        config: The configuration.
        metric: accuracy or R^2, or what a fit calls it.
        rows: The answer, one record per activation, depth and width.
        results: The runs that finished.
        failures: The runs that failed.
    """
    known = [row for row in rows if row["mean"] is not None]
    compared = [row for row in known if not _is_baseline(row)]
    said = Metric(metric, of_fit=config.fit is not None)
    sentences = [
        *(_described(config, said, row) for row in known if row["verdict"] != BASELINE),
        *_untrained(config, known),
        *_few_seeds(known),
        *_repeated(config, results),
        *_sign_flips(config, compared),
        *_without_outcomes(config, compared),
        *_edges(config, known),
        *_diverged(config, known),
        *_dead(config, known),
        *_missing(config, rows, results, failures),
    ]
    if known:
        sentences += _basis(config, results, compared)
    return " ".join(sentences)


@dataclass(frozen=True)
class Metric:
    """How numbers of a metric are written: accuracy in points, all others as they are."""

    name: str
    of_fit: bool = False
    """Whether a fit gives it, so that what is called accuracy may be a percentage."""

    @property
    def in_points(self) -> bool:
        """Whether it is a share, whose differences are in points."""
        return self.name == "accuracy" and not self.of_fit

    def difference(self, value: float) -> str:
        """Format a signed difference, without its unit."""
        return f"{100 * value:+.2f}" if self.in_points else number(value, "+", self.of_fit)

    def by(self, row: Mapping[str, Any]) -> str:
        """Format a difference with its interval."""
        middle, low, high = (row[f"difference{end}"] for end in ("", "_low", "_high"))
        unit = " points" if self.in_points else f" in {self.name}"
        between = f" ({self.difference(low)} to {self.difference(high)})"
        return f"{self.difference(middle)}{unit}{between if math.isfinite(low) else ''}"

    def size(self, value: float) -> str:
        """Format a margin."""
        return f"{value:.3g} in {self.name}" if self.of_fit else size_of(self.name, value)

    def value(self, value: float) -> str:
        """Format a value."""
        return f"{100 * value:.1f} %" if self.in_points else f"{value:.3g}"


def number(value: float, sign: str = "", of_any_size: bool = False) -> str:
    """Format a metric, or a difference with its sign, to four decimals or digits.

    Args:
        value: The number.
        sign: "+" for a difference.
        of_any_size: Whether small numbers are usual, as a fit's metric may have any unit.
    """
    small = of_any_size and 0 < abs(value) < 0.1
    return f"{value:{sign}.4g}" if small or abs(value) >= 1000 else f"{value:{sign}.4f}"


def size_of(metric: str, value: float) -> str:
    """Format the size of a difference, such as 1 point, or 0.01 in R^2."""
    if metric != "accuracy":
        return f"{value:.3g} in {metric}"
    points = f"{100 * value:.3g}"
    return f"{points} point{'s' * (points != '1')}"


def cannot_tell(metric: str, margin: float, row: Mapping[str, Any]) -> str | None:
    """Describe what the test samples of a comparison are too few for; None if they suffice.

    They are too few if no number of seeds would give a verdict.
    """
    if row["seeds_needed"] != math.inf or not row.get("test_error"):
        return None
    mean = abs(row["difference"])
    what = margin if 0 < margin < 2 * row["test_error"] else max(mean, margin - mean)
    return f"{row['test_samples']:,} test samples cannot tell {size_of(metric, what)}"


def _is_baseline(row: Mapping[str, Any]) -> bool:
    """Return whether a row with runs is the baseline, which is compared with nothing."""
    return row["pairs"] is None


def _described(config: StudyConfig, said: Metric, row: Mapping[str, Any]) -> str:
    name, baseline, verdict = _name(config, row), config.activations[0], row["verdict"]
    if verdict == UNTRAINED:
        where = "" if row["difference"] is None else f" Against {baseline}: {said.by(row)}."
        guess = (
            "always predicting the largest class"
            if said.name == "accuracy"
            else "a constant prediction"
        )
        base = f"{name}, the baseline," if _is_baseline(row) else name
        return (
            f"{base} did not train: its mean test {said.name} of {said.value(row['mean'])} is no"
            f" better than {guess} ({said.value(row['guess'])}).{where}"
        )
    if row["p_value"] is None:
        return f"{name} cannot be compared with {baseline}: {why_not(row)}."
    p = f"p = {row['p_value']:.2g}"
    if row["p_holm"] != row["p_value"]:
        p += f", Holm-adjusted {row['p_holm']:.2g}"
    if verdict in ("better", "worse"):
        return f"{name} is {verdict} than {baseline}: {said.by(row)}, {p}."
    margin = said.size(config.margin)
    if verdict == "same":
        return f"{name} does as well as {baseline}: {said.by(row)}, within the margin of {margin}."
    needed = _needed(said, config.margin, row)
    return f"{name} against {baseline} is unclear: {said.by(row)}, {p}{needed}."


def why_not(row: Mapping[str, Any]) -> str:
    """Say why a row with runs has no p-value."""
    if row["pairs"] < FEWEST_PAIRS:
        return f"they share fewer than {FEWEST_PAIRS} seeds"
    if not math.isfinite(row["difference"]):
        return "a test metric is not finite"
    if (
        "zero_dead_share" not in row
        and row["difference"] is not None
        and row["pairs"] >= FEWEST_PAIRS
    ):
        return "their differences do not vary between seeds, and so prove nothing"
    return "all differences are equal, so that their error is unknown"


def _repeated(config: StudyConfig, results: Sequence[CellResult]) -> list[str]:
    """Say where the seed seems to be unused, of which nothing can be concluded."""
    groups = repeated_seeds(results)
    if not groups:
        return []
    which = [" and ".join([", ".join(map(str, seeds[:-1])), str(seeds[-1])]) for seeds in groups]
    all_alike = len(groups) == 1 and len(groups[0]) == len({each.cell.seed for each in results})
    cure = "seed everything that is random with it" if config.given_seeds is None else "check them"
    seeds = "All seeds" if all_alike else f"Seeds {'; '.join(which)}"
    return [
        f"{seeds} gave identical results to the bit: the seed seems to be unused, so that nothing"
        f" is significant: {cure}."
    ]


def _needed(said: Metric, margin: float, row: Mapping[str, Any]) -> str:
    needed = row["seeds_needed"]
    limit = cannot_tell(said.name, margin, row)
    if limit is not None:
        return f"; {limit}, and more seeds are unlikely to help"
    if needed is None:
        return ""
    if needed > FAR:
        return f"; more than {FAR:,} seeds would be needed to settle it"
    if needed <= row["pairs"]:
        return ". A few more seeds would likely settle it"
    return f". About {needed} seeds would likely settle it (margin {said.size(margin)})"


def _untrained(config: StudyConfig, known: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [row for row in known if row["verdict"] == UNTRAINED]
    if not rows:
        return []
    training, said = config.net, []
    other = next(name for name in OPTIMIZERS if name != training.optimizer)
    better = {"default": "kaiming", "xavier": "kaiming", "kaiming": "critical"}
    ways = (
        [f"--init {better[training.init]}"]
        if training.init in better and not training.model
        else []
    )
    ways += [f"--optimizer {other}", "other learning rates (--lr)"]
    if max(row.get("depth", 1) for row in rows) > 1:
        ways.append("a smaller --depth")
    if any(_is_baseline(row) for row in rows):
        said = ["To be better than a baseline that did not train says little."]
    return [*said, f"Where it did not train, try {', '.join(ways[:-1])} or {ways[-1]}."]


def _few_seeds(known: Sequence[Mapping[str, Any]]) -> list[str]:
    most = max((row["seeds"] for row in known), default=FEWEST_PAIRS)
    if most >= FEWEST_PAIRS:
        return []
    few = "One seed supports" if most == 1 else f"{most} seeds support"
    return [f"{few} no claim: use more, such as --seeds 20."]


def _sign_flips(config: StudyConfig, compared: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say where sign flips, which need no normality, disagree with the t test."""
    count, said = len(compared), []
    could: dict[bool, list[str]] = {True: [], False: []}
    for row in (row for row in compared if row["p_value"] is not None):
        p = row["p_sign_flip_holm"]
        name, smallest = _name(config, row), 2.0 ** (1 - row["pairs"]) * count
        if row["p_holm"] <= LEVEL < p:
            could[smallest <= LEVEL].append(f"{name} (Holm-adjusted p = {p:.2g})")
        elif p <= LEVEL < row["p_holm"]:
            counts = ", which also counts the test samples," if row.get("test_samples") else ""
            said.append(
                f"Sign flips over the seeds alone would call {name} different (Holm-adjusted"
                f" p = {p:.2g}); the t test{counts} does not."
            )
    if could[True]:
        said.append(
            "Sign flips, a check that needs no normality, do not confirm the difference of"
            f" {listed(could[True])}."
        )
    if could[False]:
        needed = 1 + math.ceil(math.log2(count / LEVEL))
        said.append(
            "Sign flips, a check that needs no normality, cannot confirm the difference of"
            f" {listed(could[False])}: with so few seeds no difference could pass; with"
            f" --seeds {needed} one could."
        )
    return said


def _without_outcomes(config: StudyConfig, compared: Sequence[Mapping[str, Any]]) -> list[str]:
    if config.fit is not None:
        return []
    if not any(row["test_samples"] is None and row["pairs"] >= FEWEST_PAIRS for row in compared):
        return []
    return [
        "Runs stored by an earlier version lack the outcomes of their test samples: intervals that"
        " rest on them cover the spread between seeds alone, and nothing is called the same."
    ]


def _basis(
    config: StudyConfig, results: Sequence[CellResult], compared: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Say what the numbers rest on."""
    if config.fit is not None:
        return _basis_of_fit(config, config.fit, results, compared)
    said = ["Learning rates were chosen on the validation set."] if len(config.lrs) > 1 else []
    if config.net.model is not None:
        how = f"one at a time: {config.alone}" if config.alone else "together, as one batched net"
        said.append(f"Runs of {config.net.model} were trained {how}.")
    said.append(
        "Means and their 95 % intervals are over seeds, which differ in split, initial weights and"
        " batch order."
    )
    if any(row["p_value"] is not None for row in compared):
        over = f", Holm-adjusted for {len(compared)} comparisons" if len(compared) > 1 else ""
        known = any(row["test_samples"] is not None for row in compared)
        by = f"by seed{' and by test sample' * known}"
        said.append(f"Intervals of differences are paired {by}{over}.")
    return said


def _basis_of_fit(
    config: StudyConfig,
    fit: FitConfig,
    results: Sequence[CellResult],
    compared: Sequence[Mapping[str, Any]],
) -> list[str]:
    said = []
    better = "Higher" if fit.higher_is_better else "Lower"
    said.append(f"{better} {fit.metric} is better; a difference is activation minus baseline.")
    if len(config.lrs) > 1 and validated(results):
        said.append(f"Learning rates were chosen on {VALIDATION}.")
    elif len(config.lrs) > 1:
        some = " of every run" if any(result.validated for result in results) else ""
        said.append(
            f"Learning rates were chosen on {fit.metric} itself, since {VALIDATION}{some} is not"
            " known: this favours no activation in particular, but the means are optimistic."
        )
    counts = Counter(name for result in results for name in result.numbers or ())
    if uneven := sorted(name for name, count in counts.items() if count < len(results)):
        said.append(f"Only some runs have {listed(uneven)}.")
    if not config.margin and any(row["verdict"] == "unclear" for row in compared):
        said.append("Nothing is called the same without a --margin of what does not matter.")
    said.append("Means and their 95 % intervals are over seeds.")
    if any(row["p_value"] is not None for row in compared):
        over = f", Holm-adjusted for {len(compared)} comparisons" if len(compared) > 1 else ""
        said.append(f"Intervals of differences are paired by seed{over}.")
    return said + _unpaired(config, results, compared)


def _unpaired(
    config: StudyConfig, results: Sequence[CellResult], compared: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Say of given results which seeds have no partner."""
    if config.given_seeds is None:
        return []
    lone: dict[tuple[int, ...], list[str]] = {}
    seeds = {
        runs.activation: set(runs.by_seed)
        for runs in chosen(by_learning_rate(config, results)).values()
    }
    baseline = seeds.get(config.activations[0], set())
    for name in (row["activation"] for row in compared):
        if apart := tuple(sorted(seeds[name] ^ baseline)):
            lone.setdefault(apart, []).append(name)
    return [
        f"Not paired, and left out of the difference: seed{'s' * (len(apart) > 1)}"
        f" {listed([*map(str, apart)])}, which {config.activations[0]} and {each} do not share."
        for apart, names in lone.items()
        for each in [listed(names)]
    ]


def _edges(config: StudyConfig, known: Sequence[Mapping[str, Any]]) -> list[str]:
    lrs = config.lrs
    if len(lrs) < 2:
        return []
    said = []
    for edge, which, beyond in ((max(lrs), "largest", "larger"), (min(lrs), "smallest", "smaller")):
        names = [
            _name(config, row) for row in known if row["lr"] == edge and row["verdict"] != UNTRAINED
        ]
        if names:
            said.append(
                f"{listed(names)} did best at the {which} learning rate tried,"
                f" {edge:g}: a {beyond} one may be better."
            )
    return said


def _diverged(config: StudyConfig, known: Sequence[Mapping[str, Any]]) -> list[str]:
    found = [
        f"{row['diverged']} of {row['seeds']} runs of {_name(config, row)}"
        for row in known
        if row["diverged"]
    ]
    if not found:
        return []
    if config.fit is not None:
        return [
            f"Not finite: {config.fit.metric} of {listed(found)}: such runs count, so that no"
            " difference can be given."
        ]
    said = [
        f"Diverged at the chosen learning rates: {listed(found)}; such a run is scored at its last"
        " finite epoch."
    ]
    if any(row["diverged"] == row["seeds"] for row in known):
        said.append("Where all runs diverged, first try a smaller --lr.")
    return said


def _dead(config: StudyConfig, known: Sequence[Mapping[str, Any]]) -> list[str]:
    found = [
        f"{100 * row['gradient_dead_share']:.0f} % of {_name(config, row)}'s hidden units"
        for row in known
        if row.get("gradient_dead_share", 0) > MANY_DEAD
    ]
    said = f"Gradient-dead (they have practically stopped learning): {listed(found)}."
    return [said] if found else []


def _missing(
    config: StudyConfig,
    rows: Sequence[Mapping[str, Any]],
    results: Sequence[CellResult],
    failures: Sequence[Failure],
) -> list[str]:
    said, total = [], config.total
    missing = total - len(results) - len(failures) if config.given_seeds is None else 0
    if failures:
        first = failures[0]
        said.append(
            f"{len(failures)} run{'s' * (len(failures) != 1)} failed, the first"
            f" ({first.cell.activation}, seed {first.cell.seed}): {first.error}."
        )
    gone = [_name(config, row) for row in rows if row["verdict"] == FAILED]
    if gone and results:
        said.append(f"No run of {listed(gone)} has finished.")
    not_run = [_name(config, row) for row in rows if row["verdict"] == NOT_RUN]
    if not_run and results:
        said.append(f"{listed(not_run)} {'have' if len(not_run) > 1 else 'has'} not been run yet.")
    if missing:
        said.append(f"{missing:,} of {total:,} runs are still missing: the verdicts may change.")
    return said


def _name(config: StudyConfig, row: Mapping[str, Any]) -> str:
    axes = {"depth": config.depths, "hidden": config.hiddens}
    where = [f"{axis} {row[axis]}" for axis, values in axes.items() if len(values) > 1]
    return f"{row['activation']}{' at ' + ', '.join(where) if where else ''}"
