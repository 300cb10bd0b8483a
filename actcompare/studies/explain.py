"""Describe a study: which activation does better, how certain that is, and what would settle it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from actcompare.studies.comparison import BASELINE, FAILED, NOT_RUN
from actcompare.studies.records import CellResult, Failure, StudyConfig
from actcompare.text import listed

MANY_DEAD = 0.1
"""Larger shares of dead units are mentioned."""

FAR = 1000
"""Larger numbers of seeds are not recommended."""


def describe_study(
    config: StudyConfig,
    rows: Sequence[Mapping[str, Any]],
    results: Sequence[CellResult],
    failures: Sequence[Failure],
) -> str:
    """Return the reading of a study, each sentence drawn from one of its numbers.

    Args:
        config: The configuration.
        rows: The answer, one record per activation, depth and width.
        results: The runs that finished.
        failures: The runs that failed.
    """
    known = [row for row in rows if row["mean"] is not None]
    sentences = [
        *(_compared(config, row) for row in known if row["verdict"] != BASELINE),
        *_few_seeds(config, known),
        *_edges(config, known),
        *_diverged(config, known),
        *_dead(config, known),
        *_missing(config, rows, results, failures),
    ]
    if known:
        sentences.append(
            "Learning rates were chosen on the validation set. Means, 95 % intervals and p-values"
            " are computed on the test set, over seeds that differ in split, initial weights and"
            " batch order."
        )
    return " ".join(sentences)


def _compared(config: StudyConfig, row: Mapping[str, Any]) -> str:
    name, baseline = _name(config, row), config.activations[0]
    difference, low, high = (row[f"difference{end}"] for end in ("", "_low", "_high"))
    if difference is None or row["seeds"] < 2:
        return f"{name} cannot be compared with {baseline}: they share fewer than 2 seeds."
    by = f"{_points(difference)} points ({_points(low)} to {_points(high)})"
    p = f"p = {row['p_value']:.2g}"
    if row["p_holm"] != row["p_value"]:
        p += f", Holm-adjusted {row['p_holm']:.2g}"
    verdict = row["verdict"]
    if verdict in ("better", "worse"):
        return f"{name} is {verdict} than {baseline}: {by}, {p}."
    margin = _points(config.margin).lstrip("+")
    if verdict == "same":
        return f"{name} does as well as {baseline}: {by}, within the margin of {margin} points."
    return f"{name} against {baseline} is unclear: {by}, {p}{_needed(row, margin)}."


def _needed(row: Mapping[str, Any], margin: str) -> str:
    needed = row["seeds_needed"]
    if needed is None:
        return ""
    if needed > FAR:
        return f"; more than {FAR:,} seeds would be needed to settle it"
    if needed <= row["seeds"]:
        return ". A few more seeds would likely settle it"
    return f". About {needed} seeds would likely settle it (margin {margin} points)"


def _few_seeds(config: StudyConfig, known: Sequence[Mapping[str, Any]]) -> list[str]:
    fewest, comparisons = config.seeds, sum(row["verdict"] != BASELINE for row in known)
    if fewest < 2:
        return ["One seed supports no claim: use more, such as --seeds 20."]
    needed = 1 + math.ceil(math.log2(max(1, comparisons) / 0.05))
    if comparisons and fewest < needed:
        return [
            f"With {fewest} seeds no difference can be significant: the smallest possible p-value"
            f" is {2.0 ** (1 - fewest) * comparisons:.2g}. At least --seeds {needed} is needed."
        ]
    return []


def _edges(config: StudyConfig, known: Sequence[Mapping[str, Any]]) -> list[str]:
    lrs = config.lrs
    if len(lrs) < 2:
        return []
    said = []
    for edge, which, beyond in ((max(lrs), "largest", "larger"), (min(lrs), "smallest", "smaller")):
        names = [_name(config, row) for row in known if row["lr"] == edge]
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
        if row["gradient_dead_share"] > MANY_DEAD
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
    missing = total - len(results) - len(failures)
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


def _points(value: float) -> str:
    """Format a difference of shares in percentage points."""
    return f"{100 * value:+.2f}"
