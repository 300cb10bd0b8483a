"""Figures in a file or in the terminal: what all of them share. Imports no torch."""

import io
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TextIO

from actcompare.errors import ActcompareError, MissingExtraError, UsageError


def check_plots(plot_file: Path | None, terminal: TextIO | None) -> None:
    """Check, before anything is computed, that what is to be drawn can be."""
    if plot_file or terminal:
        if plot_file:
            check_figure(plot_file)
        if terminal:
            check_terminal(terminal.encoding)


# Okabe and Ito's colours, told apart by every kind of colour vision; black comes last.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)))

_TERMINAL_COLOURS = ("bright_blue", "bright_red", "bright_green", "bright_magenta", "bright_yellow")

_MARKS = "ox+*#@%&"


# Dates would make every file differ.
_METADATA: dict[str, Any] = {".svg": {"Date": None}, ".png": {}, ".pdf": {"CreationDate": None}}


def check_figure(path: Path) -> None:
    """Check, before anything is computed, that a figure of this name can be drawn.

    Raises:
        UsageError: the name does not end in .svg, .png or .pdf.
        MissingExtraError: matplotlib is not installed.
    """
    if path.suffix.lower() not in _METADATA:
        raise UsageError(f"--plot-file {path}: the name must end in .svg, .png or .pdf")
    if not path.parent.is_dir():
        raise ActcompareError(f"cannot write {path}: there is no folder {path.parent}")
    if find_spec("matplotlib") is None:
        raise MissingExtraError("--plot-file draws with matplotlib", "plot")


def check_terminal(encoding: str | None) -> None:
    """Check, before anything is computed, that curves can be drawn in the terminal.

    Raises:
        ActcompareError: the terminal cannot show Braille.
        MissingExtraError: plotille is not installed.
    """
    if "utf" not in (encoding or "").lower():
        raise ActcompareError("--plot needs a UTF-8 terminal; --plot-file draws to a file")
    if find_spec("plotille") is None:
        raise MissingExtraError("--plot draws with plotille", "plot")


def write_figure(path: Path, size: tuple[float, float], draw: Callable[[Any], None]) -> None:
    """Write what is drawn on a figure of that size in inches; its name chooses the format."""
    check_figure(path)
    import matplotlib as mpl
    from matplotlib.figure import Figure

    style: Any = {"font.size": 9, "svg.hashsalt": "actcompare", "svg.fonttype": "none"}
    with mpl.rc_context(style):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        drawn, suffix = io.BytesIO(), path.suffix.lower()
        figure.savefig(drawn, format=suffix[1:], dpi=300, metadata=_METADATA[suffix])
    try:
        path.write_bytes(drawn.getvalue())
    except OSError as error:
        raise ActcompareError(f"cannot write {path}: {error.strerror or error}") from error


def terminal_figure(width: int, colour: bool, x: str, y: str, *, log: bool = False) -> Any:
    """An empty figure for a terminal of that width."""
    import plotille

    def number(value: float, chars: int, delta: float, left: bool = False) -> str:  # noqa: ARG001
        text = f"{10**value:.2g}" if log else f"{value + 0.0:.3g}"
        return text.ljust(chars) if left else text.rjust(chars)

    figure = plotille.Figure()
    figure.width, figure.height = max(20, min(width - 24, 72)), 14
    figure.color_mode, figure.with_colors = "names", colour
    figure.x_label, figure.y_label = x, y
    figure.register_label_formatter(float, number)
    return figure


def terminal_line(figure: Any, x: Any, y: Any, label: str, k: int, colour: bool) -> None:
    """Draw the k-th line, told apart by colour, or by what it is drawn with."""
    if colour:
        figure.plot(x, y, lc=_TERMINAL_COLOURS[k % len(_TERMINAL_COLOURS)], label=label)
    else:
        figure.scatter(x, y, marker=_MARKS[k % len(_MARKS)], label=label)
