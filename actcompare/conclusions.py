"""A study in words: which activation does better, how sure that is, and what would settle it."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from actcompare.answers import BASELINE, FAILED
from actcompare.errors import listed

if TYPE_CHECKING:
    from actcompare.studies import Study

MANY_DEAD = 0.1
"""A larger share of dead units is worth a sentence."""
FAR = 1000
"""More seeds than this are not worth the wait."""


def describe_study(study: "Study") -> str:
    """One sentence after the other, each from a number of the study."""
    rows = study.rows()
    known = [row for row in rows if row["mean"] is not None]
    sentences = [
        *(_compared(study, row) for row in known if row["verdict"] != BASELINE),
        *_few_seeds(study, known),
        *_edges(study, known),
        *_diverged(study, known),
        *_dead(study, known),
        *_missing(study, rows),
    ]
    if known:
        sentences.append(
            "Learning rates were chosen on the validation part; means, intervals (95 %) and"
            " p-values are of the test part, over seeds that differ in split, first weights and"
            " order of batches."
        )
    return " ".join(sentences)


def _compared(study: "Study", row: Mapping[str, Any]) -> str:
    name, baseline = _name(study, row), study.config.activations[0]
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
    margin = _points(study.config.margin).lstrip("+")
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


def _few_seeds(study: "Study", known: Sequence[Mapping[str, Any]]) -> list[str]:
    fewest, comparisons = study.config.seeds, sum(row["verdict"] != BASELINE for row in known)
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


def _edges(study: "Study", known: Sequence[Mapping[str, Any]]) -> list[str]:
    lrs = study.config.lrs
    if len(lrs) < 2:
        return []
    told = []
    for edge, beyond in ((max(lrs), "larger"), (min(lrs), "smaller")):
        names = [_name(study, row) for row in known if row["lr"] == edge]
        if names:
            told.append(
                f"The {'largest' if beyond == 'larger' else 'smallest'} learning rate, {edge:g}, is"
                f" the best for {listed(names)}: a {beyond} one may be better still."
            )
    return told


def _diverged(study: "Study", known: Sequence[Mapping[str, Any]]) -> list[str]:
    found = [f"{row['diverged']} of {_name(study, row)}" for row in known if row["diverged"]]
    if not found:
        return []
    told = [
        f"Diverged at the chosen rates: {listed(found)}; such a run counts with the state before it"
        " did."
    ]
    if any(row["diverged"] == row["seeds"] for row in known):
        told.append("Where all runs did, a smaller --lr is the first thing to try.")
    return told


def _dead(study: "Study", known: Sequence[Mapping[str, Any]]) -> list[str]:
    found = [
        f"{100 * row['gradient_dead_share']:.0f} % of the hidden units of {_name(study, row)}"
        for row in known
        if row["gradient_dead_share"] > MANY_DEAD
    ]
    told = f"No gradient worth the name passes through {listed(found)}."
    return [told] if found else []


def _missing(study: "Study", rows: Sequence[Mapping[str, Any]]) -> list[str]:
    told = []
    if study.failures:
        first = study.failures[0]
        told.append(
            f"{len(study.failures)} runs failed, the first ({first.cell.activation}, seed"
            f" {first.cell.seed}): {first.error}."
        )
    gone = [_name(study, row) for row in rows if row["verdict"] == FAILED]
    if gone and study.results:
        told.append(f"Nothing is known of {listed(gone)}.")
    if study.missing:
        total = study.missing + len(study.results) + len(study.failures)
        told.append(f"{study.missing:,} of {total:,} runs are still to be done: this may change.")
    return told


def _name(study: "Study", row: Mapping[str, Any]) -> str:
    axes = {"depth": study.config.depths, "hidden": study.config.hiddens}
    where = [f"{axis} {row[axis]}" for axis, values in axes.items() if len(values) > 1]
    return f"{row['activation']}{' at ' + ', '.join(where) if where else ''}"


def _points(value: float) -> str:
    """A difference of shares in points, of which 1 is a hundredth."""
    return f"{100 * value:+.2f}"
