"""Columns -> figure, in the terminal or in a file. Imports no torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from actcompare.errors import ActcompareError, MissingExtraError, UsageError
from actcompare.render import Columns

# Okabe and Ito's colours, told apart by every kind of colour vision; black comes last.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)))
_TERMINAL_COLOURS = ("bright_blue", "bright_red", "bright_green", "bright_magenta", "bright_yellow")
_TITLES = {"value": "f(x)", "grad": "f'(x)", "grad2": "f''(x)"}


def write_curves(curves: Columns, points: Columns, path: Path) -> None:
    """Write f, f' (and f'') as panels of one figure, the given points marked.

    Args:
        curves: tidy evaluation columns over a fine grid.
        points: tidy evaluation columns of the given points; may be empty.
        path: the file; its ending chooses SVG, PNG or PDF.

    Raises:
        UsageError: another ending.
        ActcompareError: the file cannot be written, or matplotlib is missing.
    """
    formats = {".svg": {"Date": None}, ".png": {}, ".pdf": {"CreationDate": None}}
    metadata = formats.get(path.suffix.lower())
    if metadata is None:
        raise UsageError(f"--plot-file {path}: the name must end in .svg, .png or .pdf")
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("--plot-file draws with matplotlib", "plot") from None
    panels = [name for name in _TITLES if name in curves]
    style: Any = {"font.size": 9, "svg.hashsalt": "actcompare", "svg.fonttype": "none"}
    with mpl.rc_context(style):
        figure = Figure(figsize=(3.4 * len(panels), 2.9), layout="constrained")
        for i, name in enumerate(panels):
            axes = figure.add_subplot(1, len(panels), i + 1)
            _draw(axes, name, curves, points)
        figure.axes[0].legend(frameon=False, fontsize=8)
        try:
            figure.savefig(path, dpi=300, metadata=metadata)
        except OSError as error:
            raise ActcompareError(f"cannot write {path}: {error.strerror or error}") from error


def _draw(axes: Any, name: str, curves: Columns, points: Columns) -> None:
    for k, label in enumerate(dict.fromkeys(curves["activation"])):
        x, y = _select(curves, label, name)
        colour, dash = _COLOURS[k % len(_COLOURS)], _DASHES[k % len(_DASHES)]
        axes.plot(x, y, color=colour, linestyle=dash, linewidth=1.4, label=label)
        x, y = _select(points, label, name)
        axes.plot(x, y, "o", color=colour, markersize=3.5, clip_on=False)
    axes.axhline(0, color="0.8", linewidth=0.6, zorder=0)
    axes.axvline(0, color="0.8", linewidth=0.6, zorder=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("x")
    axes.set_title(_TITLES[name], fontsize=9)


def terminal_curves(curves: Columns, width: int, *, colour: bool) -> str:
    """F and f' as text, drawn with Braille dots.

    Raises:
        MissingExtraError: plotille is not installed.
    """
    try:
        import plotille
    except ImportError:
        raise MissingExtraError("--plot draws with plotille", "plot") from None
    drawn = []
    for name in (name for name in _TITLES if name in curves):
        figure = plotille.Figure()
        figure.width, figure.height = max(20, min(width - 24, 72)), 14
        figure.color_mode, figure.with_colors = "names", colour
        figure.x_label, figure.y_label = "x", _TITLES[name]
        for k, label in enumerate(dict.fromkeys(curves["activation"])):
            x, y = _select(curves, label, name)
            tint = _TERMINAL_COLOURS[k % len(_TERMINAL_COLOURS)] if colour else None
            figure.plot(x, y, lc=tint, label=label)
        drawn.append(figure.show(legend=True))
    return "\n\n".join(drawn) + "\n"


def _select(columns: Columns, label: str, name: str) -> tuple[Sequence[float], Sequence[float]]:
    """The finite points of one activation."""
    mine = np.asarray(columns["activation"], dtype=object) == label
    x = np.asarray(columns["x"], dtype=np.float64)[mine]
    y = np.asarray(columns[name], dtype=np.float64)[mine]
    finite = np.isfinite(x) & np.isfinite(y)
    return x[finite].tolist(), y[finite].tolist()
