"""The figures of a report, each small enough for a telephone."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from actcompare.benchmark.plots import time_panel
from actcompare.errors import ActcompareError
from actcompare.evaluation.evaluate import Evaluation
from actcompare.evaluation.plots import curve_panel
from actcompare.output.canvas import Canvas, Interval, Panel, Style, curves_size
from actcompare.output.plotting import Picture
from actcompare.output.render import Grid
from actcompare.propagation.plots import rows_with, signal_panel
from actcompare.propagation.signal import Propagation
from actcompare.reporting.answers import answer_rows
from actcompare.reporting.evidence import Evidence
from actcompare.reporting.tables import bar_grid, layers_grid, points_grid
from actcompare.studies.plots import draw_differences, rate_panel
from actcompare.studies.study import Study
from actcompare.studies.tables import rate_grid

WIDTH = 3.7
"""Width of a figure in inches."""


@dataclass(frozen=True)
class Figure:
    """A picture, what it says, and the same as a table."""

    name: str
    title: str
    says: str
    """The reading of the picture, for those who do not see it."""
    picture: Picture
    grid: Grid
    note: str = ""
    """How to read it, where the picture does not say so."""


def bars(evidence: Evidence) -> list[Figure]:
    """Return the bars for quality, the cost of a step, and dead units, as far as measured."""
    rows, found = answer_rows(evidence), list[Figure]()
    study = evidence.study
    if study is not None and len(rows) > 1 and any(row["difference"] is not None for row in rows):
        points = study.metric == "accuracy"
        grid = bar_grid(rows, "difference", "difference (95 %)", points=points)
        says = _said("Difference in the test metric from the baseline", grid)
        found.append(Figure("quality", "Quality", says, _differences(study), grid))
    if any(row["step_ratio"] is not None for row in rows):
        grid = bar_grid(rows, "step_ratio", "time of a step (95 %)", baseline=1.0)
        says = _said("Time of a training step over the baseline's", grid)
        intervals = _intervals(rows, "step_ratio", baseline=1.0)
        picture = _forest(rows, intervals, 1.0, "time over the baseline's", percent=False)
        found.append(Figure("cost", "Cost of a training step", says, picture, grid))
    if any(row["gradient_dead_share"] is not None for row in rows):
        grid = bar_grid(rows, "gradient_dead_share", "gradient-dead (95 %)", percent=True)
        says = _said("Share of the hidden units that are gradient-dead", grid)
        intervals = _intervals(rows, "gradient_dead_share")
        picture = _forest(rows, intervals, 0.0, "share of the hidden units", percent=True)
        found.append(Figure("dead", "Gradient-dead units", says, picture, grid))
    return found


def _said(what: str, grid: Grid) -> str:
    return f"{what}: " + "; ".join(" ".join(row) for row in grid.rows) + "."


def _intervals(
    rows: Sequence[Mapping[str, Any]], column: str, baseline: float = math.nan
) -> list[Interval]:
    stem = column.removesuffix("_share")
    found = []
    for row in rows:
        middle, low, high = (
            math.nan if row[name] is None else row[name]
            for name in (column, f"{stem}_low", f"{stem}_high")
        )
        if row is rows[0] and math.isnan(middle):
            middle = baseline
        found.append(Interval(row["activation"], middle, low, high))
    return found


def _bar_height(count: int) -> float:
    return 0.75 + 0.3 * count


def _differences(study: Study) -> Picture:
    labels = study.config.activations

    def draw(canvas: Canvas) -> None:
        (strip,) = canvas.strips([""], [1])
        draw_differences(canvas, strip.subplots(), study.columns(), study)

    return _picture(labels, draw, (WIDTH, _bar_height(len(labels)) + 0.3))


def _forest(
    rows: Sequence[Mapping[str, Any]],
    intervals: Sequence[Interval],
    start: float,
    said: str,
    *,
    percent: bool,
) -> Picture:
    labels = [row["activation"] for row in rows]

    def draw(canvas: Canvas) -> None:
        (strip,) = canvas.strips([""], [1])
        axes = strip.subplots()
        axes.axvline(start, color=canvas.palette.quiet, linewidth=0.6, zorder=1)
        canvas.forest(axes, intervals, start)
        axes.set_xlabel(said)
        axes.locator_params(axis="x", nbins=5)
        if percent:
            axes.xaxis.set_major_formatter(lambda share, _: f"{100 * share:.3g} %")

    return _picture(labels, draw, (WIDTH, _bar_height(len(labels))))


def curves(evidence: Evidence) -> Iterator[Figure]:
    """Yield f and f' near 0 and in the left tail, then what depends on rate, size and depth."""
    functions = evidence.functions
    labels = list(evidence.config.activations)
    if functions is not None:
        near, tails = functions.curves, functions.tails
        for name, title in (("value", "f near 0"), ("grad", "f' near 0")):
            grid = points_grid(near, name)
            yield Figure(
                f"near-{name}",
                title,
                _said(f"{title}, at some points", grid),
                _panel_picture(labels, partial(curve_panel, name=name, curves=near)),
                grid,
            )
        for name, title in (("value", "|f| far below 0"), ("grad", "|f'| far below 0")):
            grid = points_grid(tails, name)
            yield Figure(
                f"tail-{name}",
                title,
                _said(f"{title}, at some points", grid),
                _panel_picture(labels, partial(_tail_panel, tails=tails, name=name, labels=labels)),
                grid,
            )
    if evidence.study is not None and evidence.study.results:
        yield _rates(evidence.study)
    if evidence.alone is not None:
        yield from _times(evidence)
    if evidence.depth is not None:
        yield from _depths(evidence.depth)


def _tail_panel(_: Canvas, tails: Evaluation, name: str, labels: Sequence[str]) -> Panel:
    columns = tails.columns()
    x = np.asarray(columns["x"], dtype=np.float64)
    y = np.abs(np.asarray(columns[name], dtype=np.float64))
    who = np.asarray(columns["activation"], dtype=object)

    def line(axes: Any, label: str, style: Style) -> None:
        mine = who == label
        axes.plot(x[mine], np.where(y[mine] > 0, y[mine], np.nan), **style)

    def finish(axes: Any) -> str:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0e}")
        zero = [label for label in labels if not (y[who == label] > 0).any()]
        return f"exactly 0: {', '.join(zero)}" if zero else ""

    shown = [label for label in labels if (y[who == label] > 0).any()]
    return Panel("f" if name == "value" else "f'", "x", line, finish, named=shown)


def _rates(study: Study) -> Figure:
    shared, answer = study.shared_rates(), study.columns()
    labels = study.config.activations
    grid = rate_grid(shared, answer, study.metric)
    best = ", ".join(
        f"{name} {lr:g}" for name, lr in zip(answer["activation"], answer["lr"], strict=True) if lr
    )
    return Figure(
        "rates",
        "Sensitivity to the learning rate",
        f"Mean test {study.metric} at each learning rate. Chosen on the validation set: {best}.",
        _panel_picture(labels, lambda _: rate_panel(study, shared, answer)),
        grid,
    )


def _times(evidence: Evidence) -> Iterator[Figure]:
    from actcompare.benchmark.tables import cost_grid

    assert evidence.alone is not None
    columns = evidence.alone.columns()
    try:
        panel = time_panel(columns)
    except ActcompareError:
        return
    yield Figure(
        "times",
        "Time of a lone call over size",
        evidence.alone.reading(),
        _panel_picture(evidence.config.activations, lambda _: panel),
        cost_grid(columns, evidence.alone.environment.as_dict()),
        "Forward and backward pass of the function alone. Dots: median; bars: quartiles.",
    )


_DEPTHS = (
    ("log10_gradient", "default", "Gradient through depth, PyTorch's initialisation"),
    ("log10_gradient", "critical", "Gradient through depth, critical initialisation"),
    ("log10_q", "default", "Variance through depth, PyTorch's initialisation"),
)


def _depths(found: Propagation) -> Iterator[Figure]:
    labels = list(found.config.activations)
    nets = max(row.nets for row in found.rows)
    for of, init, title in _DEPTHS:
        rows = rows_with(found, init)
        grid = layers_grid(found, of, init)
        yield Figure(
            f"depth-{of}-{init}".replace("_", "-"),
            title,
            _said(f"{title}, by layer, as a logarithm to base 10", grid),
            _panel_picture(labels, partial(signal_panel, rows=rows, of=of, labels=labels)),
            grid,
            "Logarithms to base 10. Lines: theory of wide nets. Dots: measured, in the mean over"
            f" {nets} random nets of width {found.config.width}. Band: where 95 % of such nets are"
            " expected.",
        )


def _panel_picture(labels: Sequence[str], panel: Callable[[Canvas], Panel]) -> Picture:
    """Return a picture of one panel, in which every line is named."""

    def draw(canvas: Canvas) -> None:
        (strip,) = canvas.strips([""], [1])
        made = panel(canvas)
        if not made.named:
            made = replace(made, named=labels)
        canvas.curves(strip, [made], labels)

    width, height = curves_size(labels, 1)
    return _picture(labels, draw, (max(WIDTH, width), height))


def _picture(
    labels: Sequence[str], draw: Callable[[Canvas], None], size: tuple[float, float]
) -> Picture:
    return Picture("", "", labels, size, draw, lambda *_: "")
