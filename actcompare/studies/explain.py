"""The reading of a study: which activation does better, how sure that is, what would settle it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from actcompare.studies.comparison import BASELINE, FAILED
from actcompare.studies.records import CellResult, Failure, StudyConfig
from actcompare.text import listed

MANY_DEAD = 0.1
"""A larger share of dead units is mentioned."""

FAR = 1000
"""Larger numbers of seeds are not spelled out."""


def describe_study(
    config: StudyConfig,
    rows: Sequence[Mapping[str, Any]],
    results: Sequence[CellResult],
    failures: Sequence[Failure],
) -> str:
    """Return the reading; every sentence rests on a number of the study.

    Args:
        config: The study's config.
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
            "Learning rates were chosen on the validation part. Means, 95 % intervals and p-values"
            " describe the test part over seeds, which differ in split, initial weights and batch"
            " order."
        )
    return " ".join(sentences)


def _compared(config: StudyConfig, row: Mapping[str, Any]) -> str:
    name, baseline = _name(config, row), config.activations[0]
    difference, low, high = (row[f"difference{end}"] for end in ("", "_low", "_high"))
    if difference is None or row["seeds"] < 2:
        return f"{name} cannot be compared with {baseline}: too few common seeds."
    by = f"{_points(difference)} points (95 % interval {_points(low)} to {_points(high)})"
    p = f"p = {row['p_value']:.2g}"
    if row["p_holm"] != row["p_value"]:
        p += f", {row['p_holm']:.2g} Holm-adjusted"
    verdict = row["verdict"]
    if verdict in ("better", "worse"):
        return f"{name} is {verdict} than {baseline}: {by}, {p}."
    margin = _points(config.margin).lstrip("+")
    if verdict == "same":
        return f"{name} is as good as {baseline}: {by}, within the margin of {margin} points."
    return f"No clear difference between {name} and {baseline}: {by}, {p}{_needed(row, margin)}."


def _needed(row: Mapping[str, Any], margin: str) -> str:
    needed = row["seeds_needed"]
    if needed is None:
        return ""
    if needed > FAR:
        return f". More than {FAR} seeds would be needed to settle it"
    if needed <= row["seeds"]:
        return ". A few more seeds would likely settle it"
    return f". About {needed} seeds would likely settle it (margin {margin} points)"


def _few_seeds(config: StudyConfig, known: Sequence[Mapping[str, Any]]) -> list[str]:
    fewest, comparisons = config.seeds, sum(row["verdict"] != BASELINE for row in known)
    if fewest < 2:
        return ["One seed is an anecdote and supports no claim: use --seeds 20."]
    needed = 1 + math.ceil(math.log2(max(1, comparisons) / 0.05))
    if comparisons and fewest < needed:
        return [
            f"With {fewest} seeds no difference can be significant: the smallest possible p-value"
            f" is {2.0 ** (1 - fewest) * comparisons:.2g}. Use --seeds {needed} or more."
        ]
    return []


def _edges(config: StudyConfig, known: Sequence[Mapping[str, Any]]) -> list[str]:
    lrs = config.lrs
    if len(lrs) < 2:
        return []
    found = []
    for edge, beyond in ((max(lrs), "larger"), (min(lrs), "smaller")):
        names = [_name(config, row) for row in known if row["lr"] == edge]
        if names:
            found.append(
                f"The {'largest' if beyond == 'larger' else 'smallest'} learning rate, {edge:g}, is"
                f" best for {listed(names)}: a {beyond} one may do even better."
            )
    return found


def _diverged(config: StudyConfig, known: Sequence[Mapping[str, Any]]) -> list[str]:
    found = [
        f"{row['diverged']} of {row['seeds']} runs of {_name(config, row)}"
        for row in known
        if row["diverged"]
    ]
    if not found:
        return []
    sentences = [
        f"Diverged at the chosen learning rates: {listed(found)}. A diverged run is scored before"
        " the epoch in which it diverged."
    ]
    if any(row["diverged"] == row["seeds"] for row in known):
        sentences.append("Where all runs diverged, first try a smaller --lr.")
    return sentences


def _dead(config: StudyConfig, known: Sequence[Mapping[str, Any]]) -> list[str]:
    found = [
        f"{100 * row['gradient_dead_share']:.0f} % of the hidden units of {_name(config, row)}"
        for row in known
        if row["gradient_dead_share"] > MANY_DEAD
    ]
    text = f"{listed(found)} are gradient-dead: they have practically stopped learning."
    return [text] if found else []


def _missing(
    config: StudyConfig,
    rows: Sequence[Mapping[str, Any]],
    results: Sequence[CellResult],
    failures: Sequence[Failure],
) -> list[str]:
    sentences, total = [], config.total
    missing = total - len(results) - len(failures)
    if failures:
        first = failures[0]
        runs = "1 run" if len(failures) == 1 else f"{len(failures):,} runs"
        sentences.append(
            f"{runs} failed. First error ({first.cell.activation}, seed {first.cell.seed}):"
            f" {first.error}."
        )
    gone = [_name(config, row) for row in rows if row["verdict"] == FAILED]
    if gone and results:
        sentences.append(f"No run of {listed(gone)} has finished.")
    if missing:
        sentences.append(f"{missing:,} of {total:,} runs are still to do: results may change.")
    return sentences


def _name(config: StudyConfig, row: Mapping[str, Any]) -> str:
    axes = {"depth": config.depths, "hidden": config.hiddens}
    where = [f"{axis} {row[axis]}" for axis, values in axes.items() if len(values) > 1]
    return f"{row['activation']}{' at ' + ', '.join(where) if where else ''}"


def _points(value: float) -> str:
    """Format a difference of shares in percentage points."""
    return f"{100 * value:+.2f}"
