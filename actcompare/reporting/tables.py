"""The tables of a report."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from actcompare.evaluation.evaluate import Evaluation
from actcompare.output.render import Grid, cell
from actcompare.propagation.signal import Propagation
from actcompare.reporting.advice import changes, uses
from actcompare.reporting.answers import (
    answer_rows,
    difference_in_words,
    mean_in_words,
    ratio_in_words,
)
from actcompare.reporting.claims import Claim
from actcompare.reporting.evidence import DONE, Evidence
from actcompare.studies.comparison import BASELINE
from actcompare.studies.explain import Metric, size_of
from actcompare.text import percent, seconds

MOST_POINTS = 9


def answer_grid(evidence: Evidence) -> Grid:
    """Return the answer: quality, cost of a training step, and dead units."""
    metric = "metric" if evidence.study is None else evidence.study.metric
    rows = [
        [
            row["activation"],
            row["quality"],
            "n/a" if row["mean"] is None else mean_in_words(metric, row),
            "" if row["difference"] is None else difference_in_words(metric, row),
            _ratio(row),
            percent(row["zero_dead_share"], 1),
            percent(row["gradient_dead_share"], 1),
        ]
        for row in answer_rows(evidence)
    ]
    titles = ["activation", "quality", f"test {metric} (95 %)", "difference (95 %)"]
    titles += ["training step (95 %)", "zero-dead", "gradient-dead"]
    return Grid(titles, rows, caption=_basis(evidence))


def _ratio(row: Mapping[str, Any]) -> str:
    if row["step_verdict"] == BASELINE:
        return f"1 ({seconds(row['step_s'])})"
    if row["step_ratio"] is None:
        return "n/a"
    return f"{ratio_in_words(row)}, {row['step_verdict']}"


def _basis(evidence: Evidence) -> str:
    study, said = evidence.study, []
    if study is not None:
        margin = study.config.margin
        said.append(
            f"quality: paired test over {study.config.seeds} seeds on {evidence.config.data},"
            " difference and interval Holm-adjusted; same: the whole interval lies within the"
            f" margin of {size_of(study.metric, margin)}."
        )
    if evidence.step is not None:
        shape = min(each.case.shape for each in evidence.step.measurements)
        said.append(
            f"training step: SimpleNet of width {shape[-1]}, batch of {shape[0]}; a ratio is"
            " settled if it is farther from 1 than the noise floor, by which the first activation's"
            " time differs from itself."
        )
    return " ".join(said)


def claims_grid(claims: Sequence[Claim]) -> Grid:
    """Return the claims with their verdicts here."""
    rows = [[each.text, each.verdict, each.measured, each.command] for each in claims]
    titles = ["claim", "verdict here", "measured", "shown by"]
    return Grid(titles, rows, align="left", fold=(4, 3, 7, 5))


def uses_grid(evidence: Evidence) -> Grid:
    """Return what to use in which situation."""
    rows = [[each.situation, each.advice, each.because] for each in uses(evidence)]
    return Grid(["for", "use", "because"], rows, align="left", fold=(3, 3, 6))


def changes_grid(evidence: Evidence) -> Grid:
    """Return the differences from the baseline with one setting changed."""
    metric = next((each.study.metric for each in evidence.variations or ()), "accuracy")
    baseline, said = evidence.config.activations[0], Metric(metric)

    def score(mean: float | None, lr: float | None) -> str:
        return "n/a" if mean is None else f"{said.value(mean)} (lr {cell(lr, 3)})"

    rows = [
        [
            row["setting"],
            row["activation"],
            row["quality"],
            score(row["mean"], row["lr"]),
            score(row["baseline_mean"], row["baseline_lr"]),
            "" if row["difference"] is None else difference_in_words(metric, row),
            str(row["seeds"]),
        ]
        for row in changes(evidence)
    ]
    titles = ["changed", "activation", "quality", f"test {metric}", f"{baseline}'s"]
    titles += ["difference (95 %)", "seeds"]
    return Grid(titles, rows, keys=2, align="left")


def parts_grid(evidence: Evidence) -> Grid:
    """Return the parts of the report, and how long each took."""
    rows = [
        [
            part.title,
            part.state if part.state == DONE else f"{part.state}: {part.why}",
            seconds(part.seconds),
            part.command,
        ]
        for part in evidence.parts
    ]
    return Grid(["part", "state", "time", "command"], rows, align="left", fold=(4, 3, 2, 6))


def machine_grid(evidence: Evidence) -> Grid:
    """Return machine, versions and settings."""
    config, found = evidence.config, evidence.environment
    study = evidence.study
    rows = [
        ["actcompare", found.actcompare],
        ["torch", found.torch],
        ["Python", found.python],
        ["platform", found.platform],
        ["processor", f"{found.cpu}, {found.cores} cores"],
        ["device", f"{found.device} ({found.device_name})"],
        ["data", " ".join(config.with_data()) or config.data],
        ["activations", ", ".join(config.activations)],
        ["budget", f"{config.budget:g} s"],
        ["margin", f"{config.margin:g}"],
        ["seed", str(config.seed)],
    ]
    if study is not None:
        training = study.config.net
        rates = ", ".join(f"{lr:g}" for lr in study.config.lrs)
        rows += [
            ["task", f"{training.task} ({evidence.why})" if evidence.why else training.task],
            ["net", f"SimpleNet, depth {training.depth}, width {training.hidden}"],
            [
                "training",
                f"{training.epochs} epochs of {training.optimizer}, batches of"
                f" {training.batch_size}, {training.init} initialisation, {training.dtype}",
            ],
            ["learning rates", rates],
            ["seeds", str(study.config.seeds)],
        ]
    return Grid(["setting", "value"], rows, align="left")


def bar_grid(
    rows: Sequence[Mapping[str, Any]],
    column: str,
    title: str,
    *,
    baseline: float | None = None,
    percent: bool = False,
    points: bool = False,
) -> Grid:
    """Return what a bar shows: one interval per activation."""
    stem = column.removesuffix("_share")

    def said(value: float) -> str:
        if points:
            return f"{100 * value:+.2f} points"
        return f"{100 * value:.1f} %" if percent else f"{value:.4g}"

    cells = []
    for row in rows:
        middle, low, high = (row[name] for name in (column, f"{stem}_low", f"{stem}_high"))
        if middle is None:
            text = BASELINE if row is rows[0] else "n/a"
            text = said(baseline) if row is rows[0] and baseline is not None else text
        elif low is None or not math.isfinite(low):
            text = said(middle)
        else:
            text = f"{said(middle)} ({said(low)} to {said(high)})"
        cells.append([str(row["activation"]), text])
    return Grid(["activation", title], cells)


def points_grid(curves: Evaluation, name: str) -> Grid:
    """Return value or gradient at a few of the points of a curve."""
    columns, labels = curves.columns(), curves.config.activations
    x = np.asarray(columns["x"], dtype=np.float64)[:: len(labels)]
    y = np.asarray(columns[name], dtype=np.float64).reshape(-1, len(labels))
    chosen = np.linspace(0, len(x) - 1, MOST_POINTS).round().astype(int)
    rows = [
        [cell(round(float(x[i]), 3) + 0.0, 4), *(cell(float(v), 4) for v in y[i])] for i in chosen
    ]
    return Grid(["x", *labels], rows)


def layers_grid(found: Propagation, of: str, init: str) -> Grid:
    """Return a quantity at some layers, as measured, or else by theory."""
    labels, records = found.config.activations, found.layers()
    shown = np.linspace(1, found.config.layers + 1, MOST_POINTS).round().astype(int).tolist()
    values = {
        (record["activation"], record["layer"]): record[f"{of}_theory"]
        if record[f"{of}_measured"] is None
        else record[f"{of}_measured"]
        for record in records
        if record["init"] == init
    }
    rows = [[str(k), *(cell(values.get((label, k)), 3) for label in labels)] for k in shown]
    return Grid(["layer", *labels], rows)
