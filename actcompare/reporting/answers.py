"""The answer of a report: one record per activation, one sentence each, and what to use when."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from actcompare.propagation.explain import KEPT
from actcompare.reporting.claims import RARE, share_of_seeds
from actcompare.reporting.evidence import DONE, Evidence
from actcompare.reporting.outputs import COUNTS, EXP, PLAIN, SOFTPLUS, Outputs
from actcompare.studies.comparison import (
    BASELINE,
    FAILED,
    NOT_RUN,
    UNTRAINED,
    by_learning_rate,
    chosen,
)
from actcompare.studies.explain import cannot_tell, number, size_of
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


@dataclass(frozen=True)
class Use:
    """What to use in a situation, and why."""

    situation: str
    advice: str
    because: str


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
    """Return the answer in one or two sentences; it names a winner only where there is one."""
    rows = answer_rows(evidence)
    baseline, others = rows[0], rows[1:]
    data = evidence.config.data
    if evidence.study is None:
        part = evidence.part("study")
        return f"Which one trains better was not measured: {part.why or part.state}."
    if not others:
        return f"Only {baseline['activation']} was measured: name another to compare it with."
    if baseline["quality"] == UNTRAINED:
        return (
            f"{baseline['activation']}, the baseline, did not learn {data}, so that no comparison"
            " with it says which to use."
        )
    better = [row for row in others if row["quality"] == BETTER]
    unclear = [row for row in others if row["quality"] in (UNCLEAR, NOT_RUN, FAILED)]
    same = [row for row in others if row["quality"] == SAME]
    if better:
        said = f"{_names(better)} {_do(better)} better than {baseline['activation']} on {data}."
        if len(better) > 1:
            said += " Which of them is best was not tested: compare them with each other."
        return said
    if same:
        margin = size_of(evidence.study.metric, evidence.config.margin)
        said = (
            f"On {data} it does not matter: {_names(same)} {_do(same)} as well as"
            f" {baseline['activation']}, to within {margin}. {_cheaper(baseline, same)}"
        )
        return said + _not_settled(evidence, unclear)
    if unclear:
        return (
            f"Not settled on {data}: the evidence does not say whether {_names(unclear)}"
            f" {_do(unclear)} better or worse than {baseline['activation']}."
            + _not_settled(evidence, unclear)
        )
    return f"Stay with {baseline['activation']} on {data}: {_names(others)} {_do(others)} worse."


def _names(rows: Sequence[dict[str, Any]]) -> str:
    names = [str(row["activation"]) for row in rows]
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _do(rows: Sequence[dict[str, Any]]) -> str:
    return "does" if len(rows) == 1 else "do"


def _cheaper(baseline: dict[str, Any], same: Sequence[dict[str, Any]]) -> str:
    slower = [row for row in same if row["step_verdict"] == "slower"]
    faster = [row for row in same if row["step_verdict"] == "faster"]
    if slower and len(slower) == len(same):
        least = min(row["step_ratio"] for row in slower)
        return (
            f"{baseline['activation']} costs less: a training step takes"
            f" {percent(least - 1, 0)} longer{' or more' * (len(slower) > 1)} with"
            f" {_names(slower)}."
        )
    if faster:
        return (
            f"{_names(faster)} {'costs' if len(faster) == 1 else 'cost'} less in a training step."
        )
    unclear = [row for row in same if row["step_verdict"].startswith(UNCLEAR)]
    if unclear:
        ratios = ", ".join(f"{row['activation']} {row['step_ratio']:.2f} times" for row in unclear)
        return (
            f"Which training step costs less is not settled ({ratios} {baseline['activation']}'s,"
            " within the noise)."
        )
    return "Choose by what else you need."


def _not_settled(evidence: Evidence, unclear: Sequence[dict[str, Any]]) -> str:
    """Say what would settle the comparisons that are unclear."""
    study, said = evidence.study, []
    assert study is not None
    by_name = {row["activation"]: row for row in study.rows()}
    for row in (by_name[each["activation"]] for each in unclear):
        limit = cannot_tell(study.metric, study.config.margin, row) if row["seeds_needed"] else None
        if limit is not None:
            said.append(f" For {row['activation']}, {limit}: more test samples would settle it.")
        elif row["seeds_needed"]:
            longer = evidence.config.budget * max(2.0, row["seeds_needed"] / max(row["seeds"], 1))
            command = evidence.config.command(float(f"{longer:.2g}"))
            said.append(
                f" About {row['seeds_needed']:,.0f} seeds would settle {row['activation']}"
                f" (there are {row['seeds']}): {command}."
            )
        elif row["verdict"] in (FAILED, NOT_RUN):
            said.append(f" {row['activation']} has no result.")
        else:
            command = evidence.config.command(LARGER * evidence.config.budget)
            said.append(
                f" {row['seeds']} seeds are too few for {row['activation']}: {command} runs more."
            )
    return "".join(said)


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


def _sentence(evidence: Evidence, row: dict[str, Any]) -> str:
    parts = [_said_quality(evidence, row), _said_cost(row), _said_dead(row)]
    known = [part for part in parts if part]
    return f"{row['activation']}: {'; '.join(known)}." if known else ""


def _said_quality(evidence: Evidence, row: dict[str, Any]) -> str:
    study, verdict = evidence.study, row["quality"]
    if study is None or row["mean"] is None:
        return "" if study is None else verdict
    said = f"test {study.metric} {mean_in_words(study.metric, row)}"
    if verdict == UNTRAINED:
        return f"did not train: {said}"
    if row["difference"] is None:
        return f"{said} over {row['seeds']} seeds"
    return f"{verdict}: {said}, difference {difference_in_words(study.metric, row)}"


def _metric(metric: str, value: float) -> str:
    return percent(min(max(value, 0.0), 1.0), 1) if metric == "accuracy" else f"{value:.3f}"


def mean_in_words(metric: str, row: dict[str, Any]) -> str:
    """Format a mean with its interval; that of an accuracy ends at 100 %."""
    mean, low, high = (_metric(metric, row[f"mean{end}"]) for end in ("", "_low", "_high"))
    return f"{mean} ({low} to {high})" if math.isfinite(row["mean_low"]) else mean


def difference_in_words(metric: str, row: dict[str, Any]) -> str:
    """Format a difference with its interval, an accuracy in points."""
    scale = 100 if metric == "accuracy" else 1

    def said(value: float) -> str:
        return f"{scale * value:+.2f}" if scale == 100 else number(value, "+")

    middle, low, high = (row[f"difference{end}"] for end in ("", "_low", "_high"))
    if middle is None or math.isnan(middle):
        return "n/a"
    unit = " points" if scale == 100 else ""
    between = f"{said(low)} to {said(high)}" if math.isfinite(low) else "no interval"
    return f"{said(middle)}{unit} ({between})"


def _said_cost(row: dict[str, Any]) -> str:
    if row["step_ratio"] is None:
        return ""
    ratio, low, high = (row[f"step_ratio{end}"] for end in ("", "_low", "_high"))
    said = f"a training step takes {ratio:.2f} times as long ({low:.2f} to {high:.2f}"
    if row["step_verdict"].startswith(UNCLEAR):
        said += f"; not settled, as the noise floor is {percent(row['step_noise_floor'], 1)}"
    return f"{said})"


def _said_dead(row: dict[str, Any]) -> str:
    if row["zero_dead_share"] is None:
        return ""
    zero, gradient = (percent(row[f"{of}_dead_share"], 1) for of in ("zero", "gradient"))
    return f"{zero} of its hidden units are zero-dead, {gradient} gradient-dead"


# --- what to use when ----------------------------------------------------------------------------


def uses(evidence: Evidence) -> list[Use]:
    """Return what to use in each situation, as far as it was measured."""
    found = [
        Use("these data", *_for_data(evidence)),
        *_for_depth(evidence),
        *_for_positive_outputs(evidence.outputs),
        *_for_functions(evidence),
    ]
    return [use for use in found if use.advice]


def _for_data(evidence: Evidence) -> tuple[str, str]:
    rows = answer_rows(evidence)
    if evidence.study is None or rows[0]["quality"] == UNTRAINED:
        return "", ""
    good = [row for row in rows[1:] if row["quality"] == BETTER]
    fine = [row for row in rows[1:] if row["quality"] == SAME]
    advice = _names(good) if good else _names([rows[0], *fine])
    if not good and any(row["quality"] == UNCLEAR for row in rows[1:]):
        advice += " (others are not settled)"
    compared = [
        f"{row['activation']} {row['quality']} ({difference_in_words(evidence.study.metric, row)})"
        for row in rows[1:]
        if row["difference"] is not None
    ]
    return advice, "; ".join(compared)


def _for_depth(evidence: Evidence) -> list[Use]:
    if evidence.depth is None:
        return []
    kept, lost = list[str](), list[str]()
    for row in evidence.depth.table.records:
        value = row["log10_gradient_measured"]
        value = row["log10_gradient_theory"] if value is None else value
        if value is not None:
            (kept if abs(value) <= KEPT else lost).append(f"{row['activation']} ({row['init']})")
    layers = evidence.depth.config.layers
    because = f"the gradient's variance is kept through {layers} layers of random nets"
    because += f"; not with {', '.join(lost)}" if lost else ""
    because += "; critical is --init critical of train and study (actcompare help depth)"
    advice = ", ".join(kept) if kept else "none of them without other means, such as shortcuts"
    return [Use("deep plain nets (initialisation)", advice, because)]


def _for_positive_outputs(found: Outputs | None) -> list[Use]:
    if found is None:
        return []
    rows = {row["output"]: row for row in found.rows()}
    fine = {name: row for name, row in rows.items() if row["negative_share"] == 0}
    named = {PLAIN: "no activation", SOFTPLUS: "softplus", EXP: "exp"}
    ranked = sorted(fine, key=lambda name: -fine[name]["mean"])
    because = "; ".join(
        f"{named[name]}: {percent(row['negative_share'], 2)} of the predictions negative, R^2"
        f" {row['mean']:.3f}"
        for name, row in rows.items()
    )
    because += f"; {rows[PLAIN]['seeds']} seeds"
    advice = ""
    if ranked:
        best, tied = ranked[0], []
        for name in ranked[1:]:
            difference = found.difference(best, name)
            if not difference.low > 0:
                tied.append(name)
        advice = " or ".join(f"{named[name]} on the output" for name in (best, *tied))
    what = f"{found.data}: counts of visits to a doctor" if found.data == COUNTS else found.data
    return [Use(f"an output that must be positive ({what})", advice, because)]


_SMOOTH = {
    "discontinuous": "it jumps",
    "C0": "the derivative jumps",
    "C1": "the second derivative jumps",
    "C1+": "the derivative is continuous; torch has no second one",
    "C2+": "two derivatives are continuous",
}


def _for_functions(evidence: Evidence) -> list[Use]:
    if evidence.functions is None:
        return []
    rows = evidence.functions.comparison.properties
    sparse = [row for row in rows if row.zero_output_share > RARE]
    smooth = [row.activation for row in rows if row.smoothness == "C2+"]
    shares = ", ".join(f"{row.activation} {row.zero_output_share:.3g}" for row in rows)
    kinds = ", ".join(f"{row.activation}: {_SMOOTH[row.smoothness]}" for row in rows)
    return [
        Use(
            "sparse outputs",
            ", ".join(row.activation for row in sparse) or "none of them",
            f"exact zeros on N(0,1): {shares}",
        ),
        Use(
            "smooth derivatives (physics, second order)", ", ".join(smooth) or "none of them", kinds
        ),
        *_for_low_precision(evidence),
    ]


def _for_low_precision(evidence: Evidence) -> list[Use]:
    assert evidence.functions is not None
    bad, said = dict[str, None](), []
    for each in evidence.functions.half:
        for row in each.properties:
            if row.nan_grad_beyond is not None or row.zero_grad_share > 0.999:
                bad[row.activation] = None
        zeros = [
            f"{row.activation} below {row.zero_grad_below:.4g}"
            for row in each.properties
            if row.zero_grad_below is not None
        ]
        said.append(f"{each.config.dtype}: gradient 0 for {', '.join(zeros) or 'none'}")
    if not said:
        return []
    fine = [row.activation for row in evidence.functions.comparison.properties]
    fine = [name for name in fine if name not in bad]
    because = f"no NaN; {'; '.join(said)}" if not bad else "; ".join(said)
    return [Use("numbers of 16 bits", ", ".join(fine) or "none of them", because)]


# --- what would change it ------------------------------------------------------------------------


def changes(evidence: Evidence) -> list[dict[str, Any]]:
    """Return one record per setting changed and activation compared with the baseline."""
    kept = ("mean", "difference", "difference_low", "difference_high", "seeds", "lr")
    return [
        {"setting": each.setting, "activation": row["activation"], "quality": row["verdict"]}
        | {name: row[name] for name in kept}
        for each in evidence.variations or ()
        for row in each.study.rows()[1:]
    ]


def limits(evidence: Evidence) -> list[str]:
    """Say what the answer depends on, and how fine the test samples can tell."""
    said = _what_changes(evidence)
    if evidence.study is not None:
        said += [resolution(evidence), *evidence.study.reading().split("\n")]
    return [each for each in said if each]


def _what_changes(evidence: Evidence) -> list[str]:
    """Say which verdicts stay, and which do not, with one setting changed."""
    rows = changes(evidence)
    if not rows:
        return []
    main = {row["activation"]: row["quality"] for row in answer_rows(evidence)}
    by_head: dict[str, list[str]] = {}
    for row in rows:
        before, now = main[row["activation"]], row["quality"]
        head = "It changes"
        if now == before:
            head = "The verdict stays"
        elif now == UNCLEAR:
            head = "Too few seeds or too much noise to tell"
        by_head.setdefault(head, []).append(f"{row['activation']} with {row['setting']} ({now})")
    return [
        *(f"{head}: {', '.join(which)}." for head, which in by_head.items()),
        "The studies with one setting changed have fewer seeds, and fewer learning rates to choose"
        " from, than the study itself.",
    ]


def resolution(evidence: Evidence) -> str:
    """Say how fine a difference the test samples can tell at all."""
    study = evidence.study
    if study is None:
        return ""
    rows = [row for row in study.rows() if row["test_error"] and row["test_samples"]]
    if not rows:
        return ""
    row = max(rows, key=lambda row: row["test_error"])
    least = size_of(study.metric, 2 * row["test_error"])
    return (
        f"With {row['test_samples']:,} different test samples, differences below about {least}"
        " cannot be told from chance, however many seeds there are."
    )


def reading(evidence: Evidence) -> str:
    """Return the answer as paragraphs, and what is missing."""
    missing = [
        f"{part.title.capitalize()}: {part.state} ({part.why}). {part.command}"
        for part in evidence.missing
        if part.state != DONE
    ]
    return "\n".join([headline(evidence), *sentences(evidence), *missing])
