"""Write figures to a file or draw them in the terminal."""

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
from actcompare.text import escaped

if TYPE_CHECKING:
    from actcompare.output.canvas import Canvas

# Without dates, equal figures give equal files.
_METADATA: dict[str, Any] = {".svg": {"Date": None}, ".png": {}, ".pdf": {"CreationDate": None}}


@dataclass(frozen=True)
class Picture:
    """One result, as a figure and as text."""

    title: str
    note: str
    """What was measured, and on which machine; shown below the title."""
    labels: Sequence[str]
    """Labels of the activations, the baseline first."""
    size: tuple[float, float]
    """Width and height in inches, without title and note."""
    draw: "Callable[[Canvas], None]"
    text: Callable[[int, bool], str]
    """Draws for a terminal of a width, with or without colours."""


@dataclass(frozen=True)
class Drawing:
    """Where results are drawn: in the terminal, to a file, both, or not at all."""

    terminal: TextIO | None
    file: Path | None
    theme: Theme

    @classmethod
    def asked(
        cls, plot: bool, plot_file: Path | None, theme: Theme, destination: Destination
    ) -> "Drawing":
        """Return the drawing for the options, checked before anything is computed.

        Raises:
            ActcompareError: As `check_figure` and `check_terminal`.
        """
        aside = sys.stderr if destination.for_machines else sys.stdout
        drawing = cls(aside if plot else None, plot_file, theme)
        if drawing.file:
            check_figure(drawing.file)
        if drawing.terminal:
            check_terminal(drawing.terminal.encoding)
        return drawing

    def __bool__(self) -> bool:
        """Return whether anything is drawn."""
        return bool(self.terminal or self.file)

    def show(self, picture: Picture) -> None:
        """Draw a picture.

        Raises:
            ActcompareError: The picture cannot be written.
            ReaderGoneError: The reader of standard output has closed it.
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
    """Check that a figure with this name can be drawn, before anything is computed.

    Raises:
        UsageError: The name does not end in .svg, .png or .pdf.
        ActcompareError: The file cannot be written.
        MissingExtraError: The package matplotlib is not installed.
    """
    if path.suffix.lower() not in _METADATA:
        raise UsageError(f"--plot-file {path}: the name must end in .svg, .png or .pdf")
    check_writable(path)
    if find_spec("matplotlib") is None:
        raise MissingExtraError("--plot-file draws with matplotlib", "plot")


def check_terminal(encoding: str | None) -> None:
    """Check that curves can be drawn in the terminal, before anything is computed.

    Raises:
        ActcompareError: The terminal cannot show Braille.
        MissingExtraError: The package plotille is not installed.
    """
    if "utf" not in (encoding or "").lower():
        raise ActcompareError("--plot needs a UTF-8 terminal: use --plot-file FILE")
    if find_spec("plotille") is None:
        raise MissingExtraError("--plot draws with plotille", "plot")


def write_figure(path: Path, picture: Picture, theme: Theme = Theme.light) -> None:
    """Write a picture to a file atomically, in the format of its ending.

    Raises:
        ActcompareError: The file cannot be written, or as `check_figure`.
    """
    check_figure(path)
    drawn = figure_bytes(picture, path.suffix.lower(), theme)
    with open_binary(path) as out:
        out.write(drawn)


def figure_bytes(picture: Picture, suffix: str, theme: Theme = Theme.light) -> bytes:
    """Return a picture as the bytes of a .svg, .png or .pdf file, the same each time."""
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
        title = textwrap.fill(escaped(picture.title), int(10.5 * width))
        note = textwrap.fill(escaped(picture.note), int(15.5 * width))
        lines = len("\n".join(filter(None, (title, note))).splitlines())
        height += (0.15 + 0.17 * lines) if lines else 0
        figure = Figure(figsize=(width, height), layout="constrained")
        canvas = Canvas(figure, palette, picture.labels, title, note)
        picture.draw(canvas)
        canvas.settle()
        drawn = io.BytesIO()
        figure.savefig(drawn, format=suffix[1:], dpi=300, metadata=_METADATA[suffix])
    return drawn.getvalue()


def named(labels: Sequence[str]) -> str:
    """Return the labels for a title, or their number if there are many."""
    if len(labels) > 4:
        return f"{len(labels)} activations"
    return " and ".join(filter(None, (", ".join(labels[:-1]), labels[-1])))
