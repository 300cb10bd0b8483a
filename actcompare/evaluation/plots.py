"""Figures of `eval`: activations and their derivatives."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from actcompare.evaluation.evaluate import Evaluation
from actcompare.output.canvas import Canvas, Panel, Style, curves_size
from actcompare.output.plotting import Picture, named
from actcompare.output.styles import terminal_styles
from actcompare.output.terminal import terminal_figure, terminal_line
from actcompare.table import Columns

_TITLES = {"value": "f(x)", "grad": "f'(x)", "grad2": "f''(x)"}

_ORDERS = ("value", "value and derivative", "value and two derivatives")

_BEYOND = 1e300
"""Larger numbers could overflow when the axis gets margins."""


def curve_picture(curves: Evaluation, marked: Evaluation | None = None) -> Picture:
    """Draw f, f' and, if present, f'' side by side.

    Args:
        curves: The activations on a fine grid.
        marked: The same activations at points to mark.
    """
    config, columns = curves.config, curves.columns()
    names = [name for name in _TITLES if name in columns]

    def draw(canvas: Canvas) -> None:
        panels = [curve_panel(canvas, name, curves, marked) for name in names]
        panels[-1] = replace(panels[-1], named=config.activations)
        (strip,) = canvas.strips([""], [1])
        canvas.curves(strip, panels, config.activations)

    return Picture(
        f"{named(config.activations)}: {_ORDERS[len(names) - 1]}",
        config.dtype + f", {curves.environment.device_name}" * (config.device != "cpu"),
        config.activations,
        curves_size(config.activations, len(names)),
        draw,
        lambda width, colour: _as_text(curves, width, colour),
    )


def curve_panel(
    canvas: Canvas, name: str, curves: Evaluation, marked: Evaluation | None = None
) -> Panel:
    """Return the curves of value, grad or grad2, with some points marked."""
    columns, points = curves.columns(), marked.columns() if marked is not None else None

    def behind(axes: Any) -> None:
        axes.axhline(0, color=canvas.palette.faint, linewidth=0.5, zorder=0)
        axes.axvline(0, color=canvas.palette.faint, linewidth=0.5, zorder=0)

    def line(axes: Any, label: str, style: Style) -> None:
        axes.plot(*_select(columns, label, name), **style)
        if points is not None:
            x, y = _select(points, label, name)
            axes.plot(x, y, "o", color=style["color"], markersize=3.5, zorder=style["zorder"])

    def finish(axes: Any) -> str:
        low, high = _interesting(columns, name)
        axes.set_ylim(low - 0.04 * (high - low), high + 0.04 * (high - low))
        axes.locator_params(nbins=5)
        return ""

    return Panel(_TITLES[name], "x", line, finish, behind)


def _select(columns: Columns, label: str, name: str) -> tuple[Any, Any]:
    """Return the points of one activation, NaN where nothing can be drawn."""
    mine = np.asarray(columns["activation"], dtype=object) == label
    x, y = (np.asarray(columns[each], dtype=np.float64)[mine] for each in ("x", name))
    return _drawable(x), _drawable(y)


def _drawable(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.where(np.abs(values) < _BEYOND, values, np.nan)


def _interesting(columns: Columns, name: str) -> tuple[float, float]:
    """Return the range of the numbers, without the few near a pole that would hide the others."""
    y = _drawable(np.asarray(columns[name], dtype=np.float64))
    y = y[np.isfinite(y)]
    if not len(y):
        return 0.0, 1.0
    low, high = float(y.min()), float(y.max())
    most = [float(end) for end in np.percentile(y, (2, 98))]
    if high - low > 20 * (most[1] - most[0]) > 0:
        low, high = most
    return (low, high) if low < high else (low - 1, high + 1)


def _as_text(curves: Evaluation, width: int, colour: bool) -> str:
    """Draw the curves as text, distinguished by colour or else by character."""
    columns, drawn = curves.columns(), []
    looks = terminal_styles(curves.config.activations, colour=colour)
    for name in (name for name in _TITLES if name in columns):
        figure = terminal_figure(width, colour, "x", _TITLES[name])
        for label, look in looks.items():
            terminal_line(figure, *_select(columns, label, name), label, look, colour)
        drawn.append(figure.show(legend=True))
    return "\n\n".join(drawn)
