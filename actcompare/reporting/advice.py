"""What to use when, what would change the answer, and how fine it is."""

from dataclasses import dataclass
from typing import Any

from actcompare.propagation.explain import KEPT
from actcompare.reporting.answers import (
    BETTER,
    SAME,
    UNCLEAR,
    WORSE,
    answer_rows,
    difference_in_words,
    names_of,
)
from actcompare.reporting.evidence import Evidence
from actcompare.reporting.parts.outputs import COUNTS, EXP, PLAIN, SOFTPLUS, Outputs
from actcompare.reporting.verdicts import SPARSE
from actcompare.studies.comparison import BASELINE, by_learning_rate, chosen
from actcompare.studies.explain import size_of
from actcompare.text import percent


@dataclass(frozen=True)
class Advice:
    """What to use in a situation, and why."""

    situation: str
    advice: str
    because: str


def uses(evidence: Evidence) -> list[Advice]:
    """Return what to use in each situation, as far as it was measured."""
    found = [
        Advice("these data", *_for_data(evidence)),
        *_for_depth(evidence),
        *_for_positive_outputs(evidence.outputs),
        *_for_functions(evidence),
    ]
    return [use for use in found if use.advice]


def _for_data(evidence: Evidence) -> tuple[str, str]:
    study, rows = evidence.study, answer_rows(evidence)
    if study is None or rows[0]["quality"] != BASELINE or not rows[1:]:
        return "", ""
    compared = [
        f"{row['activation']} {row['quality']} ({difference_in_words(study.metric, row)})"
        for row in rows[1:]
        if row["difference"] is not None
    ]
    good = [row for row in rows[1:] if row["quality"] == BETTER]
    fine = [row for row in rows if row["quality"] in (BASELINE, SAME)]
    unclear = [row for row in rows[1:] if row["quality"] == UNCLEAR]
    bad = [row for row in rows[1:] if row["quality"] == WORSE]
    advice = names_of(good or fine, "or")
    if unclear and not good:
        if len(fine) == 1 and not bad:
            return "not settled", "; ".join(compared)
        advice += f", or {names_of(unclear, 'or')} (not settled)"
    return advice + (f"; not {names_of(bad, 'or')}" if bad else ""), "; ".join(compared)


def _for_depth(evidence: Evidence) -> list[Advice]:
    if evidence.depth is None:
        return []
    kept, lost = list[str](), list[str]()
    for row in evidence.depth.table.records:
        value = row["log10_gradient_measured"]
        if value is not None:
            (kept if abs(value) <= KEPT else lost).append(f"{row['activation']} ({row['init']})")
    layers = evidence.depth.config.layers
    because = f"they keep the gradient's variance through {layers} layers of random nets"
    because += f"; not {', '.join(lost)}" if lost else ""
    because += "; critical is --init critical of train and study (actcompare help depth)"
    advice = ", ".join(kept) if kept else "none of them without other means, such as shortcuts"
    return [Advice("deep plain nets (initialisation)", advice, because)]


def _for_positive_outputs(found: Outputs | None) -> list[Advice]:
    if found is None:
        return []
    named = {PLAIN: "no activation", SOFTPLUS: "softplus", EXP: "exp"}
    rows = {row["output"]: row for row in found.rows()}
    known = {name: row for name, row in rows.items() if not found.fails(name)}
    fine = [name for name, row in known.items() if row["negative_share"] == 0 and row["mean"] > 0]
    ranked = sorted(fine, key=lambda name: -known[name]["mean"])
    tied = [name for name in ranked[1:] if found.difference(ranked[0], name).low <= 0]
    parts = [
        f"{named[name]}: {percent(row['negative_share'], 2)} of the predictions negative, R^2"
        f" {row['mean']:.3f}"
        if name in known
        else f"{named[name]}: failed or diverged"
        for name, row in rows.items()
    ]
    what = f"{found.data}: counts of visits to a doctor" if found.data == COUNTS else found.data
    return [
        Advice(
            f"an output that must be positive ({what})",
            " or ".join(f"{named[name]} on the output" for name in (*ranked[:1], *tied)),
            "; ".join([*parts, f"{max(row['seeds'] for row in rows.values())} seeds"]),
        )
    ]


_SMOOTH = {
    "discontinuous": "it jumps",
    "C0": "the derivative jumps",
    "C1": "the second derivative jumps",
    "C1+": "the derivative is continuous; torch has no second one",
    "C2+": "two derivatives are continuous",
}


def _for_functions(evidence: Evidence) -> list[Advice]:
    if evidence.functions is None:
        return []
    rows = evidence.functions.comparison.properties
    sparse = [row for row in rows if row.zero_output_share >= SPARSE]
    smooth = [row.activation for row in rows if row.smoothness == "C2+"]
    shares = ", ".join(f"{row.activation} {row.zero_output_share:.3g}" for row in rows)
    kinds = ", ".join(f"{row.activation}: {_SMOOTH[row.smoothness]}" for row in rows)
    return [
        Advice(
            "sparse outputs",
            ", ".join(row.activation for row in sparse) or "none of them",
            f"exact zeros on N(0,1): {shares}",
        ),
        Advice(
            "smooth derivatives (physics, second order)", ", ".join(smooth) or "none of them", kinds
        ),
        *_for_low_precision(evidence),
    ]


def _for_low_precision(evidence: Evidence) -> list[Advice]:
    assert evidence.functions is not None
    bad, said = dict[str, None](), []
    for dtype, found in evidence.functions.half.items():
        zeros = []
        for name, row in found.items():
            if row is None:
                zeros.append(f"{name} fails")
            elif row.nan_grad_beyond is not None:
                zeros.append(f"{name}'s gradient is NaN from |x| = {row.nan_grad_beyond:.3g}")
            elif row.zero_grad_below is not None:
                zeros.append(f"{name}'s gradient is 0 up to x = {row.zero_grad_below:.4g}")
                continue
            else:
                continue
            bad[name] = None
        said.append(f"{dtype}: {', '.join(zeros) or 'no NaN, no exact 0'}")
    fine = [name for name in evidence.config.activations if name not in bad]
    advice = ", ".join(fine) or "none of them"
    return [Advice("numbers of 16 bits", advice, "; ".join(said))]


def changes(evidence: Evidence) -> list[dict[str, Any]]:
    """Return one record per setting changed and activation compared with the baseline."""
    kept = ("mean", "lr", "difference", "difference_low", "difference_high", "seeds")
    found = []
    for each in evidence.variations or ():
        baseline, *others = each.study.rows()
        found += [
            {"setting": each.setting, "activation": row["activation"], "quality": row["verdict"]}
            | {name: row[name] for name in kept}
            | {"baseline_mean": baseline["mean"], "baseline_lr": baseline["lr"]}
            for row in others
        ]
    return found


def limits(evidence: Evidence) -> list[str]:
    """Say what the answer depends on, and how fine the test samples can tell."""
    said = _what_changes(evidence)
    if evidence.study is not None:
        said += [*_single_seeds(evidence), resolution(evidence)]
        said += evidence.study.reading().split("\n")
    return [each for each in said if each]


def _what_changes(evidence: Evidence) -> list[str]:
    """Say which verdicts stay, and which do not, with one setting changed."""
    rows = changes(evidence)
    if not rows:
        return []
    if evidence.study is None:
        return []
    main = {row["activation"]: row["quality"] for row in answer_rows(evidence)}
    by_head: dict[str, list[str]] = {}
    for row in rows:
        before, now = main[row["activation"]], row["quality"]
        if now == UNCLEAR:
            head = "Too few seeds or too much noise to tell"
        elif before == UNCLEAR:
            head = "It is settled there"
        else:
            head = "The verdict stays" if now == before else "It changes"
        by_head.setdefault(head, []).append(f"{row['activation']} with {row['setting']} ({now})")
    return [
        *(f"{head}: {', '.join(which)}." for head, which in by_head.items()),
        "The studies with one setting changed choose from fewer learning rates.",
    ]


def _single_seeds(evidence: Evidence) -> list[str]:
    """Say how often a single seed would have shown one or the other ahead."""
    study = evidence.study
    assert study is not None
    best = {r.activation: r for r in chosen(by_learning_rate(study.config, study.results)).values()}
    first = best.get(evidence.config.activations[0])
    said = []
    for name in evidence.config.activations[1:]:
        runs = best.get(name)
        if first is None or runs is None:
            continue
        seeds = first.by_seed.keys() & runs.by_seed.keys()
        ahead = sum(runs.by_seed[k].test.metric > first.by_seed[k].test.metric for k in seeds)
        behind = sum(runs.by_seed[k].test.metric < first.by_seed[k].test.metric for k in seeds)
        if len(seeds) > 1:
            said.append(
                f"Of {len(seeds)} seeds taken alone, {ahead} would put {name} ahead of"
                f" {first.activation}, and {behind} behind."
            )
    return said


def resolution(evidence: Evidence) -> str:
    """Say how fine a difference the test samples can tell at all."""
    study = evidence.study
    if study is None:
        return ""
    rows = [row for row in study.rows() if row["test_error"] and row["test_samples"]]
    if not rows:
        return ""
    row = max(rows, key=lambda row: row["test_error"])
    least = size_of(study.metric, float(f"{2 * row['test_error']:.2g}"))
    return (
        f"With the {row['test_samples']:,} different test samples of these seeds, differences below"
        f" about {least} cannot be told from chance."
    )
