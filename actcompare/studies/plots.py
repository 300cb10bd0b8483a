"""The plots of a study: paired differences, metric against learning rate, learning curves."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from actcompare.output.canvas import (
    MOST_TOGETHER,
    Canvas,
    Interval,
    Panel,
    Style,
    curves_size,
    wrapped,
)
from actcompare.output.plotting import Picture
from actcompare.output.scales import mark_below, said_metric, scale_metric, whole_numbers, zoomed
from actcompare.output.styles import terminal_styles
from actcompare.output.terminal import terminal_figure, terminal_line
from actcompare.studies.comparison import BASELINE
from actcompare.studies.study import Study
from actcompare.table import Columns


def study_picture(study: Study) -> Picture:
    """Draw differences, metric against learning rate and learning curves, one strip per setting.

    With many activations, the latter two become small multiples.
    """
    config, training = study.config, study.config.training
    labels = config.activations
    titles = [title for title, _, _ in _settings(study.columns())]
    width, height = curves_size(labels, 2)
    height = max(height, 0.9 + 0.36 * len(labels))

    def draw(canvas: Canvas) -> None:
        strips = canvas.strips(titles, [height] * len(titles))
        for strip, (_, depth, hidden) in zip(strips, _settings(study.columns()), strict=True):
            answer = _at(study.columns(), depth, hidden)
            panels = [
                rate_panel(study, _at(study.shared_rates(), depth, hidden), answer),
                _epoch_panel(study, _at(study.curves(), depth, hidden)),
            ]
            if len(labels) <= MOST_TOGETHER:
                first, *others = strip.subplots(1, 3)
                canvas.row(others, panels, labels)
            else:
                left, right = strip.subfigures(1, 2, width_ratios=(1.2 * _ASIDE, width))
                first = left.subplots()
                canvas.grids(right, panels, labels)
            draw_differences(canvas, first, answer, study)

    seeds = max(study.columns()["seeds"])
    note = (
        f"{training.epochs} epochs of {training.optimizer}, batches of {training.batch_size},"
        f" {training.dtype}{'; learning rates chosen on validation' * (len(config.lrs) > 1)};"
        " bars and bands: 95 % intervals"
    )
    if len(titles) == 1:
        layers = "-".join(map(str, config.hiddens * config.depths[0]))
        note = f"SimpleNet {training.input_size}-{layers}-{training.output_size}, {note}"
    return Picture(
        f"Test {_named(study.metric)} over {seeds} seed{'s' * (seeds != 1)} on {training.data}",
        note,
        labels,
        (_ASIDE + width, height * len(titles)),
        draw,
        lambda width, colour: _as_text(study, width, colour),
    )


_ASIDE = 2.9
"""Width of the differences panel in inches."""


def _named(metric: str) -> str:
    return metric.replace("^2", "²")


def _settings(columns: Columns) -> Iterator[tuple[str, int, int]]:
    """Yield every depth and width with its title."""
    found = list(dict.fromkeys(zip(columns["depth"], columns["hidden"], strict=True)))
    for depth, hidden in found:
        yield (f"depth {depth}, hidden {hidden}" if len(found) > 1 else ""), depth, hidden


def _at(columns: Columns, depth: int, hidden: int) -> dict[str, list[Any]]:
    here = [
        i
        for i in range(len(columns["activation"]))
        if (columns["depth"][i], columns["hidden"][i]) == (depth, hidden)
    ]
    return {name: [values[i] for i in here] for name, values in columns.items()}


def draw_differences(canvas: Canvas, axes: Any, answer: Columns, study: Study) -> None:
    """Draw each activation's difference from the baseline, with interval and verdict."""
    in_points = study.metric == "accuracy"
    scale = 100 if in_points else 1
    margin = scale * study.config.margin
    rows = []
    for i, label in enumerate(answer["activation"]):
        middle, low, high = (
            math.nan if answer[name][i] is None else scale * answer[name][i]
            for name in ("difference", "difference_low", "difference_high")
        )
        rows.append(Interval(label, middle, low, high, answer["verdict"][i]))
    axes.axvspan(-margin, margin, color=canvas.palette.faint, alpha=0.35, linewidth=0, zorder=0)
    axes.axvline(0, color=canvas.palette.quiet, linewidth=0.6, zorder=1)
    canvas.forest(axes, rows)
    axes.set_title(f"difference from {wrapped(answer['activation'][0], 40)}")
    of = f"{'points of ' * in_points}test {_named(study.metric)}"
    axes.set_xlabel(f"{of}, paired by seed\nshaded: margin {margin:g}")
    axes.locator_params(axis="x", nbins=5)


def rate_panel(study: Study, shared: Columns, answer: Columns) -> Panel:
    """Return the test metric against the learning rate, for rows of one depth and width.

    Args:
        study: The study.
        shared: Its records by learning rate.
        answer: Its answer, which names the chosen rates.
    """
    labels = study.config.activations
    lines = {label: _line(shared, label, "lr") for label in labels}
    chosen = dict(zip(answer["activation"], answer["lr"], strict=True))
    ends = [
        float(end)
        for label, (rate, *ends) in lines.items()
        for end in np.concatenate([each[rate == chosen[label]] for each in ends])
    ]
    values = [float(y) for _, middle, _, _ in lines.values() for y in middle]
    shown = zoomed(values, ends, 2 * study.config.margin or 0.01)
    rates = sorted(set(shared["lr"]))

    def line(axes: Any, label: str, style: Style) -> None:
        rate, middle, low, high = lines[label]
        cut, best = middle < (shown or [-math.inf])[0], rate == chosen[label]
        together = len(labels) <= MOST_TOGETHER
        aside = (labels.index(label) - (len(labels) - 1) / 2) * together
        step = (rates[-1] / rates[0] if len(rates) > 1 else 10) ** 0.012
        x = rate * step**aside
        axes.plot(x, np.where(cut, np.nan, middle), marker="o", markersize=2.5, **style)
        axes.vlines(x, low, high, colors=style["color"], linewidth=1, zorder=2)
        ring = {"markerfacecolor": axes.get_facecolor(), "markeredgewidth": 1.3, "zorder": 4}
        axes.plot(x[best], middle[best], "o", markersize=5.5, color=style["color"], **ring)
        mark_below(axes, rate[cut] * step ** (2 * aside), style["color"])

    def finish(axes: Any) -> str:
        axes.set_xscale("log")
        axes.margins(x=0.06 if len(rates) > 1 else 0.5)
        axes.set_xticks(rates, [f"{rate:g}" for rate in rates])
        axes.set_xticks([], minor=True)
        scale_metric(axes, study.metric, shown)
        cut = [value for value in values if shown is not None and value < shown[0]]
        ends = dict.fromkeys(
            said_metric(study.metric, end) for end in sorted(cut)[:: len(cut) - 1 or 1]
        )
        return f"▼ below the axis: {' to '.join(ends)}" if cut else ""

    title = f"test {_named(study.metric)} against learning rate"
    return Panel(title, "learning rate (ring: chosen)", line, finish)


def _epoch_panel(study: Study, curves: Columns) -> Panel:
    labels = study.config.activations
    lines = {label: _line(curves, label, "epoch") for label in labels}
    values = [float(y) for _, middle, _, _ in lines.values() for y in middle]
    ends = [float(end) for _, *ends in lines.values() for each in ends for end in each[-1:]]
    shown = zoomed(values, ends, 2 * study.config.margin or 0.01)

    def line(axes: Any, label: str, style: Style) -> None:
        epoch, middle, low, high = lines[label]
        points = {"marker": "o", "markersize": 2.5} if len(epoch) < 6 else {}
        axes.plot(epoch, middle, **points, **style)
        band = {"color": style["color"], "alpha": 0.18, "linewidth": 0, "zorder": 1}
        axes.fill_between(epoch, low, high, **band)

    def finish(axes: Any) -> str:
        whole_numbers(axes.xaxis)
        scale_metric(axes, study.metric, shown)
        cut = shown is not None and any(value < shown[0] for value in values)
        return "starts below the axis" * cut

    return Panel(f"validation {_named(study.metric)}", "epoch", line, finish, named=labels)


def _line(columns: Columns, activation: str, x: str) -> Sequence[Any]:
    """Return x, mean, and the interval's ends; infinite ends are replaced by the mean."""
    mine = [i for i, act in enumerate(columns["activation"]) if act == activation]
    at, middle, low, high = (
        np.array([columns[name][i] for i in mine], dtype=np.float64)
        for name in (x, "mean", "mean_low", "mean_high")
    )
    return at, middle, *(np.where(np.isfinite(end), end, middle) for end in (low, high))


# --- in the terminal -----------------------------------------------------------------------------


def _as_text(study: Study, width: int, colour: bool) -> str:
    """Draw the same three panels as text, per depth and width."""
    drawn = []
    looks = terminal_styles(study.config.activations, colour=colour)
    for setting, depth, hidden in _settings(study.columns()):
        title = f" ({setting})" if setting else ""
        compared = _compared(_at(study.columns(), depth, hidden))
        if compared:
            figure = terminal_figure(width, colour, "difference", "activation")
            figure.height = max(4, 2 * len(compared))
            ends = [end for each in compared for end in each[1:] if math.isfinite(end)]
            figure.set_x_limits(min(0.0, *ends), max(0.0, *ends) or 1e-9)
            figure.set_y_limits(-len(compared), 1)
            figure.y_ticks_fkt = lambda *_: ""
            for k, (label, middle, low, high) in enumerate(compared):
                low, high = (low, high) if math.isfinite(low) else (middle, middle)
                line = np.linspace(low, high, 60)
                terminal_line(figure, line, np.full(60, float(-k)), label, looks[label], colour)
            drawn.append(f"paired difference{title}\n{figure.show(legend=True)}")
        for columns, x, said in (
            (_at(study.shared_rates(), depth, hidden), "lr", "test {} against learning rate"),
            (_at(study.curves(), depth, hidden), "epoch", "validation {}"),
        ):
            figure = terminal_figure(
                width, colour, "learning rate" if x == "lr" else x, study.metric
            )
            figure.origin = False
            if x == "lr":
                figure.x_ticks_fkt = lambda low, _: f"{10**low:.2g}"
            for label in dict.fromkeys(columns["activation"]):
                at, middle, _, _ = _line(columns, label, x)
                at = np.log10(at) if x == "lr" else at
                terminal_line(figure, at, middle, label, looks[label], colour)
            drawn.append(f"{said.format(study.metric)}{title}\n{figure.show(legend=True)}")
    return "\n\n".join(drawn)


def _compared(answer: Columns) -> list[tuple[str, float, float, float]]:
    """Return each activation's difference from the baseline and its interval."""
    names = ("activation", "difference", "difference_low", "difference_high", "verdict")
    rows = zip(*(answer[name] for name in names), strict=True)
    return [
        (activation, middle, low, high)
        for activation, middle, low, high, verdict in rows
        if verdict != BASELINE and middle is not None and math.isfinite(middle)
    ]
