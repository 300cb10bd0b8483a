"""Figures in a file or in the terminal: what all of them share."""

import io
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from actcompare.errors import ActcompareError, MissingExtraError, UsageError
from actcompare.files.writing import check_writable, open_binary, open_output
from actcompare.output.formats import Destination
from actcompare.output.styles import PALETTES, Theme

if TYPE_CHECKING:
    from actcompare.output.canvas import Canvas

# Dates would make every file differ.
_METADATA: dict[str, Any] = {".svg": {"Date": None}, ".png": {}, ".pdf": {"CreationDate": None}}


@dataclass(frozen=True)
class Picture:
    """One result, as a figure and as text."""

    title: str
    note: str
    """What was measured and on what, below the title."""
    labels: Sequence[str]
    """Of the activations, the baseline first."""
    size: tuple[float, float]
    """In inches, without title and note."""
    draw: "Callable[[Canvas], None]"
    text: Callable[[int, bool], str]
    """For a terminal of some width, with or without colours."""


@dataclass(frozen=True)
class Drawing:
    """Where results are to be drawn: the terminal, a file, both or none."""

    terminal: TextIO | None
    file: Path | None
    theme: Theme

    @classmethod
    def asked(
        cls, plot: bool, plot_file: Path | None, theme: Theme, destination: Destination
    ) -> "Drawing":
        """What the options ask for, checked before anything is computed.

        Raises:
            ActcompareError: It cannot be drawn; and what check_figure and check_terminal raise.
        """
        aside = sys.stderr if destination.for_machines else sys.stdout
        drawing = cls(aside if plot else None, plot_file, theme)
        if drawing.file:
            check_figure(drawing.file)
        if drawing.terminal:
            check_terminal(drawing.terminal.encoding)
        return drawing

    def __bool__(self) -> bool:
        """Whether anything is to be drawn."""
        return bool(self.terminal or self.file)

    def show(self, picture: Picture) -> None:
        """Draw a picture.

        Raises:
            ActcompareError: It cannot be written.
            ReaderGoneError: Whoever read standard output has closed it.
        """
        if self.file:
            write_figure(self.file, picture, self.theme)
        if self.terminal:
            colour = self.terminal.isatty() and not os.environ.get("NO_COLOR")
            text = "\n" + picture.text(shutil.get_terminal_size().columns, colour) + "\n"
            if self.terminal is sys.stdout:
                with open_output(None) as out:
                    out.write(text)
            else:
                self.terminal.write(text)


def check_figure(path: Path) -> None:
    """Check, before anything is computed, that a figure of this name can be drawn.

    Raises:
        UsageError: The name does not end in .svg, .png or .pdf.
        ActcompareError: The file cannot be written.
        MissingExtraError: Matplotlib is not installed.
    """
    if path.suffix.lower() not in _METADATA:
        raise UsageError(f"--plot-file {path}: the name must end in .svg, .png or .pdf")
    check_writable(path)
    if find_spec("matplotlib") is None:
        raise MissingExtraError("--plot-file draws with matplotlib", "plot")


def check_terminal(encoding: str | None) -> None:
    """Check, before anything is computed, that curves can be drawn in the terminal.

    Raises:
        ActcompareError: The terminal cannot show Braille.
        MissingExtraError: Plotille is not installed.
    """
    if "utf" not in (encoding or "").lower():
        raise ActcompareError("--plot needs a UTF-8 terminal; --plot-file draws to a file")
    if find_spec("plotille") is None:
        raise MissingExtraError("--plot draws with plotille", "plot")


def write_figure(path: Path, picture: Picture, theme: Theme = Theme.light) -> None:
    """Write a picture to a file, whole or not at all; its name chooses the format.

    Raises:
        ActcompareError: The file cannot be written; and what check_figure raises.
    """
    check_figure(path)
    drawn = figure_bytes(picture, path.suffix.lower(), theme)
    with open_binary(path) as out:
        out.write(drawn)


def figure_bytes(picture: Picture, suffix: str, theme: Theme = Theme.light) -> bytes:
    """A picture as the content of a .svg, .png or .pdf file: the same bytes each time."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from actcompare.output.canvas import Canvas

    palette = PALETTES[theme]
    style: Any = {
        "font.size": 8.5,
        "text.parse_math": False,
        "figure.titlesize": 10.5,
        "svg.hashsalt": "actcompare",
        "svg.fonttype": "none",
        "figure.constrained_layout.w_pad": 0.08,
        "figure.constrained_layout.h_pad": 0.06,
        "axes.titlelocation": "left",
        "axes.titlesize": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.6,
        "axes.xmargin": 0.02,
        "xtick.labelsize": 7.5,
        "ytick.labelsize": 7.5,
        "text.color": palette.ink,
        "axes.labelcolor": palette.ink,
        "axes.edgecolor": palette.quiet,
        "xtick.color": palette.quiet,
        "ytick.color": palette.quiet,
        "xtick.labelcolor": palette.ink,
        "ytick.labelcolor": palette.ink,
        "figure.facecolor": palette.paper,
        "axes.facecolor": palette.paper,
        "savefig.facecolor": palette.paper,
    }
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(style)
        width, height = picture.size
        title = textwrap.fill(picture.title, int(10.5 * width))
        note = textwrap.fill(picture.note, int(15.5 * width))
        height += 0.15 + 0.17 * len(f"{title}\n{note}".splitlines())
        figure = Figure(figsize=(width, height), layout="constrained")
        canvas = Canvas(figure, palette, picture.labels, title, note)
        picture.draw(canvas)
        canvas.settle()
        drawn = io.BytesIO()
        figure.savefig(drawn, format=suffix[1:], dpi=300, metadata=_METADATA[suffix])
    return drawn.getvalue()


def named(labels: Sequence[str]) -> str:
    """The activations of a title: their labels, or how many there are."""
    if len(labels) > 4:
        return f"{len(labels)} activations"
    return " and ".join(filter(None, (", ".join(labels[:-1]), labels[-1])))
