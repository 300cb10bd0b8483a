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
from actcompare.studies.comparison import BASELINE, validated
from actcompare.studies.study import Study
from actcompare.table import Columns, Table


def study_picture(study: Study) -> Picture:
    """Draw differences, metric against learning rate and learning curves, one strip per setting.

    With many activations, the latter two become small multiples. Of a fit, the latter two are left
    out where there is one rate, or no series of reports.
    """
    labels = study.config.activations
    titles = [title for title, _, _ in _settings(study.columns())]
    width, height = curves_size(labels, len(_series(study)))
    height = max(height, 0.9 + 0.36 * len(labels))

    def draw(canvas: Canvas) -> None:
        strips = canvas.strips(titles, [height] * len(titles))
        for strip, (_, depth, hidden) in zip(strips, _settings(study.columns()), strict=True):
            answer = _at(study.columns(), depth, hidden)
            panels = [
                rate_panel(study, _at(columns, depth, hidden), answer)
                if x == "lr"
                else _epoch_panel(study, _at(columns, depth, hidden))
                for x, columns in _series(study).items()
            ]
            if len(labels) <= MOST_TOGETHER or not panels:
                first, *others = strip.subplots(1, 1 + len(panels), squeeze=False)[0]
                canvas.row(others, panels, labels)
            else:
                left, right = strip.subfigures(1, 2, width_ratios=(1.2 * _ASIDE, width))
                first = left.subplots()
                canvas.grids(right, panels, labels)
            draw_differences(canvas, first, answer, study)

    seeds = max(study.columns()["seeds"])
    fit = study.config.fit
    where = f"on {study.config.net.data}" if fit is None else f"of {fit.function}"
    return Picture(
        f"{_sentence(_tested(study))} over {seeds} seed{'s' * (seeds != 1)} {where}",
        _note(study, len(titles)),
        labels,
        (_ASIDE + width, height * len(titles)),
        draw,
        lambda width, colour: _as_text(study, width, colour),
    )


_ASIDE = 2.9
"""Width of the differences panel in inches."""


def _note(study: Study, settings: int) -> str:
    """Return what the picture says of the training, given the number of depths and widths."""
    config = study.config
    judge = "validation" if validated(study.results) else "the metric"
    said = [
        *[f"learning rates chosen on {judge}"] * (len(config.lrs) > 1),
        "bars and bands: 95 % intervals",
    ]
    if config.fit is not None:
        return "; ".join(said)
    net = config.net
    trained = f"{net.epochs} epochs of {net.optimizer}, batches of {net.batch_size}, {net.dtype}"
    if settings == 1:
        layers = "-".join(map(str, config.hiddens * config.depths[0]))
        trained = f"SimpleNet {net.input_size}-{layers}-{net.output_size}, {trained}"
    return "; ".join([trained, *said])


def _series(study: Study) -> dict[str, Table]:
    """Return what is drawn beside the differences, by the name of its x."""
    found = {"lr": study.shared_rates(), "epoch": study.curves()}
    if study.config.fit is None:
        return found
    several = {x: len(set(columns.get(x, ()))) > 1 for x, columns in found.items()}
    return {x: columns for x, columns in found.items() if several[x]}


def _tested(study: Study) -> str:
    """Return the name of the metric; a fit does not say what it was tested on."""
    return "test " * (study.config.fit is None) + study.metric.replace("^2", "²")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _followed(study: Study) -> str:
    """Return the name of the metric of learning curves."""
    return "validation " * (study.config.fit is None) + study.metric


def _scale(study: Study) -> str:
    """Return the metric as axes show it: an accuracy of SimpleNet's in percent."""
    return study.metric if study.config.fit is None else ""


def _shown(study: Study, values: list[float], ends: list[float]) -> tuple[float, float] | None:
    """Return the axis range that shows how the best differ."""
    sign, least = study.config.sign, 2 * study.config.margin
    if not least:
        finite = [abs(value) for value in ends if math.isfinite(value)]
        least = 0.01 * max(finite, default=1.0) if study.config.fit is not None else 0.01
    found = zoomed([sign * each for each in values], [sign * each for each in ends], least)
    return found if found is None or sign == 1 else (-found[1], -found[0])


def _is_cut(study: Study, value: Any, shown: tuple[float, float] | None) -> Any:
    """Return whether values are so far worse that the axis cuts them off."""
    if shown is None:
        return value != value
    return value < shown[0] if study.config.sign == 1 else value > shown[1]


def _settings(columns: Columns) -> Iterator[tuple[str, int, int]]:
    """Yield every depth and width with its title."""
    none = [0] * len(columns["activation"])
    pairs = zip(columns.get("depth", none), columns.get("hidden", none), strict=True)
    found = list(dict.fromkeys(pairs))
    for depth, hidden in found:
        yield (f"depth {depth}, hidden {hidden}" if len(found) > 1 else ""), depth, hidden


def _at(columns: Columns, depth: int, hidden: int) -> dict[str, list[Any]]:
    if "depth" not in columns:
        return dict(columns)
    here = [
        i
        for i in range(len(columns["activation"]))
        if (columns["depth"][i], columns["hidden"][i]) == (depth, hidden)
    ]
    return {name: [values[i] for i in here] for name, values in columns.items()}


def draw_differences(canvas: Canvas, axes: Any, answer: Columns, study: Study) -> None:
    """Draw each activation's difference from the baseline, with interval and verdict."""
    in_points = study.in_points
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
    of = f"{'points of ' * in_points}{_tested(study)}"
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
    shown, above = _shown(study, values, ends), study.config.sign == -1
    rates = sorted(set(shared["lr"]))

    def line(axes: Any, label: str, style: Style) -> None:
        rate, middle, low, high = lines[label]
        cut, best = _is_cut(study, middle, shown), rate == chosen[label]
        together = len(labels) <= MOST_TOGETHER
        aside = (labels.index(label) - (len(labels) - 1) / 2) * together
        step = (rates[-1] / rates[0] if len(rates) > 1 else 10) ** 0.012
        x = rate * step**aside
        axes.plot(x, np.where(cut, np.nan, middle), marker="o", markersize=2.5, **style)
        axes.vlines(x, low, high, colors=style["color"], linewidth=1, zorder=2)
        ring = {"markerfacecolor": axes.get_facecolor(), "markeredgewidth": 1.3, "zorder": 4}
        axes.plot(x[best], middle[best], "o", markersize=5.5, color=style["color"], **ring)
        mark_below(axes, rate[cut] * step ** (2 * aside), style["color"], above=above)

    def finish(axes: Any) -> str:
        axes.set_xscale("log")
        axes.margins(x=0.06 if len(rates) > 1 else 0.5)
        axes.set_xticks(rates, [f"{rate:g}" for rate in rates])
        axes.set_xticks([], minor=True)
        scale_metric(axes, _scale(study), shown)
        cut = [value for value in values if _is_cut(study, value, shown)]
        ends = dict.fromkeys(
            said_metric(_scale(study), end) for end in sorted(cut)[:: len(cut) - 1 or 1]
        )
        where = "▲ above" if above else "▼ below"
        return f"{where} the axis: {' to '.join(ends)}" if cut else ""

    title = f"{_tested(study)} against learning rate"
    return Panel(title, "learning rate (ring: chosen)", line, finish)


def _epoch_panel(study: Study, curves: Columns) -> Panel:
    labels = study.config.activations
    lines = {label: _line(curves, label, "epoch") for label in labels}
    values = [float(y) for _, middle, _, _ in lines.values() for y in middle]
    ends = [float(end) for _, *ends in lines.values() for each in ends for end in each[-1:]]
    shown = _shown(study, values, ends)

    def line(axes: Any, label: str, style: Style) -> None:
        epoch, middle, low, high = lines[label]
        points = {"marker": "o", "markersize": 2.5} if len(epoch) < 6 else {}
        axes.plot(epoch, middle, **points, **style)
        band = {"color": style["color"], "alpha": 0.18, "linewidth": 0, "zorder": 1}
        axes.fill_between(epoch, low, high, **band)

    def finish(axes: Any) -> str:
        whole_numbers(axes.xaxis)
        scale_metric(axes, _scale(study), shown)
        cut = any(_is_cut(study, value, shown) for value in values)
        return f"starts {'below' if study.config.sign == 1 else 'above'} the axis" * cut

    followed, x = _followed(study).replace("^2", "²"), "epoch"
    return Panel(followed, "report" if study.config.fit else x, line, finish, named=labels)


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
        titles = {
            "lr": f"{'test ' * (study.config.fit is None)}{study.metric} against learning rate",
            "epoch": _followed(study),
        }
        for x, whole in _series(study).items():
            columns = _at(whole, depth, hidden)
            named = {"lr": "learning rate"} | ({"epoch": "report"} if study.config.fit else {})
            figure = terminal_figure(width, colour, named.get(x, x), study.metric)
            figure.origin = False
            if x == "lr":
                figure.x_ticks_fkt = lambda low, _: f"{10**low:.2g}"
            for label in dict.fromkeys(columns["activation"]):
                at, middle, _, _ = _line(columns, label, x)
                at = np.log10(at) if x == "lr" else at
                terminal_line(figure, at, middle, label, looks[label], colour)
            drawn.append(f"{titles[x]}{title}\n{figure.show(legend=True)}")
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
