"""A study in words: which activation does better, how sure that is, and what would settle it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from actcompare.studies.comparison import BASELINE, FAILED
from actcompare.studies.records import CellResult, Failure, StudyConfig
from actcompare.text import listed

MANY_DEAD = 0.1
"""A larger share of dead units is worth a sentence."""

FAR = 1000
"""More seeds than this are not worth the wait."""


def describe_study(
    config: StudyConfig,
    rows: Sequence[Mapping[str, Any]],
    results: Sequence[CellResult],
    failures: Sequence[Failure],
) -> str:
    """One sentence after the other, each from a number of the study.

    Args:
        config: What was asked for.
        rows: The answer, one record per activation, depth and width.
        results: The runs that came to an end.
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
            "Learning rates were chosen on the validation part; means, intervals (95 %) and"
            " p-values are of the test part, over seeds that differ in split, first weights and"
            " order of batches."
        )
    return " ".join(sentences)


def _compared(config: StudyConfig, row: Mapping[str, Any]) -> str:
    name, baseline = _name(config, row), config.activations[0]
    difference, low, high = (row[f"difference{end}"] for end in ("", "_low", "_high"))
    if difference is None or row["seeds"] < 2:
        return f"{name}: nothing to compare it with {baseline} by."
    by = f"{_points(difference)} points ({_points(low)} to {_points(high)})"
    p = f"p = {row['p_value']:.2g}"
    if row["p_holm"] != row["p_value"]:
        p += f", {row['p_holm']:.2g} corrected"
    verdict = row["verdict"]
    if verdict in ("better", "worse"):
        return f"{name} is {verdict} than {baseline}: {by}, {p}."
    margin = _points(config.margin).lstrip("+")
    if verdict == "same":
        return f"{name} is as good as {baseline}: {by}, within the margin of {margin} points."
    return f"Whether {name} differs from {baseline} is unclear: {by}, {p}{_needed(row, margin)}."


def _needed(row: Mapping[str, Any], margin: str) -> str:
    needed = row["seeds_needed"]
    if needed is None:
        return ""
    if needed > FAR:
        return f"; it would take more than {FAR} seeds to settle"
    if needed <= row["seeds"]:
        return "; a few more seeds would likely settle it"
    return f"; about {needed} seeds would likely settle it (margin {margin} points)"


def _few_seeds(config: StudyConfig, known: Sequence[Mapping[str, Any]]) -> list[str]:
    fewest, comparisons = config.seeds, sum(row["verdict"] != BASELINE for row in known)
    if fewest < 2:
        return ["One seed is an anecdote: no claim is made, --seeds 20 would."]
    needed = 1 + math.ceil(math.log2(max(1, comparisons) / 0.05))
    if comparisons and fewest < needed:
        return [
            f"With {fewest} seeds no difference can be called significant: the least possible"
            f" p-value is {2.0 ** (1 - fewest) * comparisons:.2g}, so --seeds {needed} is the least"
            " that could."
        ]
    return []


def _edges(config: StudyConfig, known: Sequence[Mapping[str, Any]]) -> list[str]:
    lrs = config.lrs
    if len(lrs) < 2:
        return []
    told = []
    for edge, beyond in ((max(lrs), "larger"), (min(lrs), "smaller")):
        names = [_name(config, row) for row in known if row["lr"] == edge]
        if names:
            told.append(
                f"The {'largest' if beyond == 'larger' else 'smallest'} learning rate, {edge:g}, is"
                f" the best for {listed(names)}: a {beyond} one may be better still."
            )
    return told


def _diverged(config: StudyConfig, known: Sequence[Mapping[str, Any]]) -> list[str]:
    found = [f"{row['diverged']} of {_name(config, row)}" for row in known if row["diverged"]]
    if not found:
        return []
    told = [
        f"Diverged at the chosen rates: {listed(found)}; such a run counts with the state before it"
        " did."
    ]
    if any(row["diverged"] == row["seeds"] for row in known):
        told.append("Where all runs did, a smaller --lr is the first thing to try.")
    return told


def _dead(config: StudyConfig, known: Sequence[Mapping[str, Any]]) -> list[str]:
    found = [
        f"{100 * row['gradient_dead_share']:.0f} % of the hidden units of {_name(config, row)}"
        for row in known
        if row["gradient_dead_share"] > MANY_DEAD
    ]
    told = f"Gradient-dead, that is practically no longer learning: {listed(found)}."
    return [told] if found else []


def _missing(
    config: StudyConfig,
    rows: Sequence[Mapping[str, Any]],
    results: Sequence[CellResult],
    failures: Sequence[Failure],
) -> list[str]:
    told, total = [], config.total
    missing = total - len(results) - len(failures)
    if failures:
        first = failures[0]
        told.append(
            f"{len(failures)} runs failed, the first ({first.cell.activation}, seed"
            f" {first.cell.seed}): {first.error}."
        )
    gone = [_name(config, row) for row in rows if row["verdict"] == FAILED]
    if gone and results:
        told.append(f"No run of {listed(gone)} has finished.")
    if missing:
        told.append(f"{missing:,} of {total:,} runs are still to be done: this may change.")
    return told


def _name(config: StudyConfig, row: Mapping[str, Any]) -> str:
    axes = {"depth": config.depths, "hidden": config.hiddens}
    where = [f"{axis} {row[axis]}" for axis, values in axes.items() if len(values) > 1]
    return f"{row['activation']}{' at ' + ', '.join(where) if where else ''}"


def _points(value: float) -> str:
    """A difference of shares in points, of which 1 is a hundredth."""
    return f"{100 * value:+.2f}"
