"""The answer of a report: one record per activation, one sentence each, and what to use when."""

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from actcompare.reporting.claims import share_of_seeds
from actcompare.reporting.evidence import Evidence
from actcompare.studies.comparison import (
    BASELINE,
    FAILED,
    NOT_RUN,
    UNTRAINED,
    by_learning_rate,
    chosen,
)
from actcompare.studies.explain import FAR, Metric, cannot_tell, size_of, why_not
from actcompare.studies.study import Study
from actcompare.text import percent

BETTER, WORSE, SAME, UNCLEAR = "better", "worse", "same", "unclear"

LARGER = 5
"""A budget this many times as large is suggested for what did not fit."""

QUALITIES = (BETTER, WORSE, SAME, UNCLEAR, UNTRAINED, FAILED, NOT_RUN)

NUMBERS = (
    *("mean", "mean_low", "mean_high", "difference", "difference_low", "difference_high"),
    *("p_holm", "seeds", "lr", "step_s", "step_ratio", "step_ratio_low", "step_ratio_high"),
    "step_noise_floor",
    *("zero_dead_share", "zero_dead_low", "zero_dead_high"),
    *("gradient_dead_share", "gradient_dead_low", "gradient_dead_high"),
)
"""The columns that `--fail-on` can test."""


def answer_rows(evidence: Evidence) -> list[dict[str, Any]]:
    """Return one record per activation: quality, cost of a step, and dead units."""
    return [
        {"activation": name}
        | dict.fromkeys(("quality", *NUMBERS, "step_verdict"))
        | _quality(evidence, name)
        | _cost(evidence, name)
        | _dead(evidence, name)
        for name in evidence.config.activations
    ]


def _quality(evidence: Evidence, name: str) -> dict[str, Any]:
    if evidence.study is None:
        return {"quality": NOT_RUN}
    row = next(row for row in evidence.study.rows() if row["activation"] == name)
    kept = ("mean", "mean_low", "mean_high", "seeds", "lr", "p_holm")
    found = {"quality": row["verdict"]} | {key: row[key] for key in kept}
    if row["pairs"] is not None:  # the baseline differs from nothing
        found |= {f"difference{end}": row[f"difference{end}"] for end in ("", "_low", "_high")}
    return found


def _cost(evidence: Evidence, name: str) -> dict[str, Any]:
    """Return the cost of a training step at the smallest width."""
    rows = [] if evidence.step is None else evidence.step.table.records
    mine = [row for row in rows if row["activation"] == name and row["median_s"] is not None]
    if not mine:
        return {"step_verdict": FAILED if rows else NOT_RUN}
    row = min(mine, key=lambda row: row["size"])
    found = {"step_s": row["median_s"], "step_verdict": row["verdict"]}
    found["step_noise_floor"] = row["noise_floor"]
    if row["verdict"] != BASELINE:
        found |= {f"step_ratio{end}": row[f"ratio{end}"] for end in ("", "_low", "_high")}
    return found


def _dead(evidence: Evidence, name: str) -> dict[str, Any]:
    study = evidence.study
    best = [] if study is None else chosen(by_learning_rate(study.config, study.results)).values()
    found: dict[str, Any] = {}
    for runs in (each for each in best if each.activation == name):
        for verdict in ("zero_dead", "gradient_dead"):
            share = share_of_seeds(runs, verdict)
            known = math.isfinite(share.low) and len(runs.by_seed) > 1
            found |= {f"{verdict}_share": share.value}
            found |= {f"{verdict}_low": share.low, f"{verdict}_high": share.high} if known else {}
    return found


# --- in words ------------------------------------------------------------------------------------


def headline(evidence: Evidence) -> str:
    """Return the answer in a few sentences; it names a winner only where there is one."""
    study, rows = evidence.study, answer_rows(evidence)
    (baseline, *others), data = rows, evidence.config.data
    if study is None:
        part = evidence.part("study")
        longer = evidence.config.command(LARGER * evidence.config.budget)
        cure = f" Give it more time: {longer}." if part.state == NOT_RUN else ""
        return f"Which one trains better was not measured: {part.why or part.state}.{cure}"
    if baseline["quality"] in (FAILED, NOT_RUN):
        name = baseline["activation"]
        return f"{name}, the baseline, has no result, so that nothing is compared with it."
    if baseline["quality"] == UNTRAINED:
        return (
            f"{baseline['activation']}, the baseline, did not learn {data}, so that no comparison"
            " with it says which to use."
        )
    if not others:
        return f"Only {baseline['activation']} was measured: name another to compare it with."
    by = {verdict: [row for row in others if row["quality"] == verdict] for verdict in QUALITIES}
    said, name = list[str](), baseline["activation"]
    margin = size_of(study.metric, evidence.config.margin)
    if by[BETTER]:
        said.append(
            f"On {data}, {names_of(by[BETTER])} {_do(by[BETTER])} better than {name}:"
            f" {_differences(study, by[BETTER])}."
        )
        small = [row for row in by[BETTER] if row["difference_low"] < evidence.config.margin]
        if small:
            said.append(f"For {names_of(small)} it may be less than the margin of {margin}.")
        if len(by[BETTER]) > 1:
            said.append("Which of them is best was not tested.")
    if by[SAME]:
        head = f"{names_of(by[SAME])} {_do(by[SAME])}" if by[BETTER] else ""
        head = head or f"On {data} it does not matter: {names_of(by[SAME])} {_do(by[SAME])}"
        said.append(f"{head} as well as {name}, to within {margin}.")
        said.append("" if by[BETTER] else _cheaper(baseline, by[SAME]))
    if by[UNCLEAR]:
        lead = "Not settled" if said else f"Not settled on {data}"
        those = f"{names_of(by[UNCLEAR])} {_do(by[UNCLEAR])}"
        said.append(f"{lead}: whether {those} better or worse than {name}.")
        said += [_settled_by(evidence, row["activation"]) for row in by[UNCLEAR]]
    if by[WORSE]:
        lead = "" if said else f"Stay with {name} on {data}: "
        worse = f"{names_of(by[WORSE])} {_do(by[WORSE])} worse"
        said.append(f"{lead}{worse}: {_differences(study, by[WORSE])}.")
    for verdict, what in (
        (UNTRAINED, "did not train"),
        (FAILED, "failed"),
        (NOT_RUN, "did not run"),
    ):
        said += [f"{names_of(by[verdict])} {what}."] if by[verdict] else []
    said += _elsewhere(evidence)
    return " ".join(filter(None, said))


def _elsewhere(evidence: Evidence) -> list[str]:
    """Say where, with one setting changed, an activation does better or worse than it does here."""
    here = {row["activation"]: row["quality"] for row in answer_rows(evidence)}
    said = []
    for each in evidence.variations or ():
        for row in each.study.rows()[1:]:
            verdict = row["verdict"]
            if verdict in (BETTER, WORSE) and verdict != here[row["activation"]]:
                by = difference_in_words(each.study.metric, row)
                said.append(f"With {each.setting}, {row['activation']} does {verdict}: {by}.")
    return said


def names_of(rows: Sequence[Mapping[str, Any]], last: str = "and") -> str:
    """Return the activations of some rows as a list in words."""
    names = [str(row["activation"]) for row in rows]
    return f" {last} ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _do(rows: Sequence[dict[str, Any]]) -> str:
    return "does" if len(rows) == 1 else "do"


def _differences(study: Study, rows: Sequence[dict[str, Any]]) -> str:
    said = [difference_in_words(study.metric, row) for row in rows]
    if len(rows) == 1:
        return said[0]
    return ", ".join(f"{row['activation']} {each}" for row, each in zip(rows, said, strict=True))


def _cheaper(baseline: dict[str, Any], same: Sequence[dict[str, Any]]) -> str:
    """Say which training step costs less."""
    by: dict[str, list[dict[str, Any]]] = {}
    for row in same:
        by.setdefault(row["step_verdict"].partition(" (")[0], []).append(row)
    said = []
    for verdict, least in (("faster", "less"), ("slower", "more")):
        rows = by.get(verdict, [])
        ratios = ", ".join(f"{row['step_ratio']:.2f}" for row in rows)
        if rows:
            said.append(
                f"{names_of(rows)} {'costs' if len(rows) == 1 else 'cost'} {least} ({ratios}"
            )
            said[-1] += f" times {baseline['activation']}'s training step)."
    if SAME in by:
        said.append(f"The training step of {names_of(by[SAME])} costs as much.")
    if UNCLEAR in by:
        ratios = ", ".join(ratio_in_words(row, " times") for row in by[UNCLEAR])
        said.append(
            f"A training step of {names_of(by[UNCLEAR])} took {ratios} {baseline['activation']}'s:"
            " this run cannot tell whether it costs more."
        )
    return " ".join(said) or "What a training step costs was not measured."


def _settled_by(evidence: Evidence, activation: str) -> str:
    """Say what would settle a comparison that is unclear.

    It takes new seeds: to look again and again at a study that grows finds differences where there
    are none.
    """
    study = evidence.study
    assert study is not None
    row = next(row for row in study.rows() if row["activation"] == activation)
    if row["p_value"] is None:
        command = evidence.config.command(LARGER * evidence.config.budget)
        return f"For {activation}, {why_not(row)}: {command}."
    limit = cannot_tell(study.metric, study.config.margin, row)
    if limit is not None:
        return f"For {activation}, {limit}: more test samples would settle it."
    if not row["seeds_needed"] or row["seeds_needed"] > FAR:
        return f"No sensible number of seeds would settle {activation}."
    seeds = max(row["seeds_needed"], row["seeds"] + 1)
    fresh = study.config.training.seed + study.config.seeds
    plain = replace(evidence.config, store=None, seed=fresh)
    return (
        f"About {seeds:,.0f} new seeds would likely settle {activation}: actcompare study"
        f" {shlex.join([*plain.with_data(), *plain.with_activations(always=True)])}"
        f" {shlex.join(plain.with_machine())} --seeds {seeds:.0f}."
    )


def sentences(evidence: Evidence) -> list[str]:
    """Return one sentence per activation, with the numbers of quality, cost and dead units."""
    said = [each for each in (_sentence(evidence, row) for row in answer_rows(evidence)) if each]
    if any("zero-dead" in each for each in said):
        said.append(
            "Zero-dead: the output is 0 on every sample. Gradient-dead: hardly any gradient passes"
            " (|f'| is at most 0.001 on every sample), so that the unit has practically stopped"
            " learning."
        )
    return said


def _sentence(evidence: Evidence, row: Mapping[str, Any]) -> str:
    parts = [_said_quality(evidence, row), _said_cost(row), _said_dead(row)]
    known = [part for part in parts if part]
    return f"{row['activation']}: {'; '.join(known)}." if known else ""


_COMPARED = {
    BETTER: "better than {}",
    WORSE: "worse than {}",
    SAME: "as good as {}",
    UNCLEAR: "not settled against {}",
}


def _said_quality(evidence: Evidence, row: Mapping[str, Any]) -> str:
    study, verdict = evidence.study, row["quality"]
    if study is None or row["mean"] is None:
        return "" if study is None else verdict
    said = f"test {study.metric} {mean_in_words(study.metric, row)}"
    if verdict == UNTRAINED:
        return f"did not train: {said}"
    if row["difference"] is None:
        return f"{said} over {row['seeds']} seeds"
    compared = _COMPARED[verdict].format(evidence.config.activations[0])
    return f"{said}, {compared} ({difference_in_words(study.metric, row)})"


def mean_in_words(metric: str, row: Mapping[str, Any]) -> str:
    """Format a mean with its interval; that of an accuracy ends at 100 %."""
    most = 1.0 if metric == "accuracy" else math.inf
    mean, low, high = (row[f"mean{end}"] for end in ("", "_low", "_high"))
    said = Metric(metric)
    if not math.isfinite(low):
        return said.value(mean)
    return f"{said.value(mean)} ({said.value(low)} to {said.value(min(high, most))})"


def difference_in_words(metric: str, row: Mapping[str, Any]) -> str:
    """Format a difference with its interval, or say that there is none."""
    if row["difference"] is None or math.isnan(row["difference"]):
        return "n/a"
    said = Metric(metric).by(row)
    return said if math.isfinite(row["difference_low"]) else f"{said}, no interval"


def _said_cost(row: Mapping[str, Any]) -> str:
    if row["step_ratio"] is None:
        return ""
    said = f"a training step takes {ratio_in_words(row, ' times as long')}"
    if row["step_verdict"].startswith(UNCLEAR):
        floor = row["step_noise_floor"]
        said += f", not settled (noise floor {percent(floor, 1)})"
    return said


def ratio_in_words(row: Mapping[str, Any], times: str = "") -> str:
    """Format the ratio of a training step's time with its interval, or say that there is none."""
    ratio, low, high = (row[f"step_ratio{end}"] for end in ("", "_low", "_high"))
    between = f"{low:.2f} to {high:.2f}" if math.isfinite(high) else "no interval"
    return f"{ratio:.2f}{times} ({between})"


def _said_dead(row: Mapping[str, Any]) -> str:
    if row["zero_dead_share"] is None:
        return ""
    zero, gradient = (percent(row[f"{of}_dead_share"], 1) for of in ("zero", "gradient"))
    return f"{zero} of its hidden units are zero-dead, {gradient} gradient-dead"


def missing(evidence: Evidence) -> list[str]:
    """Return a sentence per part that did not run to its end, with the command that fills it."""
    return [
        f"{part.title.capitalize()}: {part.state} ({part.why}). To fill it: {part.command}"
        for part in evidence.missing
    ]


def reading(evidence: Evidence) -> str:
    """Return the answer as paragraphs, and what is missing."""
    return "\n".join([headline(evidence), *sentences(evidence), *missing(evidence)])
