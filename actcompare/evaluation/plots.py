"""The figures of `eval`: an activation and its derivatives."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from actcompare.output.plotting import COLOURS, DASHES, terminal_figure, terminal_line, write_figure
from actcompare.table import Columns

_TITLES = {"value": "f(x)", "grad": "f'(x)", "grad2": "f''(x)"}


def write_curves(curves: Columns, points: Columns, path: Path) -> None:
    """Write f, f' (and f'') as panels of one figure, the given points marked.

    Args:
        curves: tidy evaluation columns over a fine grid.
        points: tidy evaluation columns of the given points; may be empty.
        path: the file; its ending chooses SVG, PNG or PDF.

    Raises:
        ActcompareError: the file cannot be written; and what check_figure raises.
    """
    panels = [name for name in _TITLES if name in curves]
    labels = list(dict.fromkeys(curves["activation"]))
    aside = len(labels) > len(COLOURS)  # a legend too long to stand among the curves

    def draw(figure: Any) -> None:
        for i, name in enumerate(panels):
            _draw(figure.add_subplot(1, len(panels), i + 1), name, curves, points)
        if aside:
            lines, names = figure.axes[0].get_legend_handles_labels()
            figure.legend(lines, names, loc="outside right upper", frameon=False, fontsize=8)
        else:
            figure.axes[0].legend(frameon=False, fontsize=8)

    size = (3.4 * len(panels) + 1.8 * aside, max(2.9, 0.17 * len(labels) * aside))
    write_figure(path, size, draw)


def _draw(axes: Any, name: str, curves: Columns, points: Columns) -> None:
    for k, label in enumerate(dict.fromkeys(curves["activation"])):
        x, y = _select(curves, label, name)
        colour, dash = COLOURS[k % len(COLOURS)], DASHES[k % len(DASHES)]
        axes.plot(x, y, color=colour, linestyle=dash, linewidth=1.4, label=label)
        x, y = _select(points, label, name)
        axes.plot(x, y, "o", color=colour, markersize=3.5, clip_on=False)
    axes.axhline(0, color="0.8", linewidth=0.6, zorder=0)
    axes.axvline(0, color="0.8", linewidth=0.6, zorder=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("x")
    axes.set_title(_TITLES[name], fontsize=9)


def terminal_curves(curves: Columns, width: int, *, colour: bool) -> str:
    """F and f' as text: told apart by colour, or without colours by what they are drawn with."""
    drawn = []
    for name in (name for name in _TITLES if name in curves):
        figure = terminal_figure(width, colour, "x", _TITLES[name])
        for k, label in enumerate(dict.fromkeys(curves["activation"])):
            terminal_line(figure, *_select(curves, label, name), label, k, colour)
        drawn.append(figure.show(legend=True))
    return "\n\n".join(drawn) + "\n"


def _select(columns: Columns, label: str, name: str) -> tuple[Sequence[float], Sequence[float]]:
    """The finite points of one activation."""
    mine = np.asarray(columns["activation"], dtype=object) == label
    x = np.asarray(columns["x"], dtype=np.float64)[mine]
    y = np.asarray(columns[name], dtype=np.float64)[mine]
    finite = np.isfinite(x) & np.isfinite(y)
    return x[finite].tolist(), y[finite].tolist()
