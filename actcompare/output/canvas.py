"""Draw a figure: panels with one line per label, and the names at the ends of the lines.

Axes and (sub)figures are matplotlib objects, typed Any because matplotlib is optional.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from actcompare.output.styles import Palette, line_styles
from actcompare.text import escaped

Style = dict[str, Any]
"""Colour, dash and width of a line, as matplotlib keywords."""

MOST_TOGETHER = 7
"""Most lines in one panel; with more, each gets a small panel."""

SMALL = 7.5
"""Font size beside lines and ticks, in points."""

_FAR = 0.15
"""Most inches between a name and the end of its line; beyond it a legend is clearer."""


@dataclass(frozen=True)
class Panel:
    """A panel for one quantity, with one line per label."""

    title: str
    x: str
    """Label of the horizontal axis."""
    line: Callable[[Any, str, Style], None]
    """Draws the line of a label on axes in a style."""
    finish: Callable[[Any], str]
    """Sets scales, limits and ticks once all lines are drawn, and returns a remark for the axis."""
    behind: Callable[[Any], None] = lambda _: None
    """Draws what belongs to no label, behind the lines."""
    named: Sequence[str] = ()
    """Labels of the lines to name at their ends."""


@dataclass(frozen=True)
class Interval:
    """A row of a forest plot; the interval is drawn only if both ends are finite."""

    label: str
    middle: float
    low: float
    high: float
    said: str = ""
    """Text above the interval."""


def wrapped(label: str, width: int = 22) -> str:
    """Wrap a SPEC to a width, breaking it between its parts, with what fonts lack `escaped`."""
    label = "\n".join(escaped(line) for line in label.split("\n"))
    lines = [""]
    for part in re.findall(r"\n|[^,:/=._\n]+[,:/=._]*|[,:/=._]+", label):
        if part == "\n" or (lines[-1] and len(lines[-1]) + len(part) > width):
            lines.append("")
        while len(part) > width:
            lines[-1:], part = [part[:width], ""], part[width:]
        lines[-1] += part.strip("\n")
    return "\n".join(lines)


def curves_size(labels: Sequence[str], panels: int) -> tuple[float, float]:
    """Return the width and height in inches that `Canvas.curves` needs, without the titles."""
    if len(labels) > MOST_TOGETHER:
        columns = _columns(len(labels))
        return 1.4 * columns, panels * (1.2 * math.ceil(len(labels) / columns) + 0.45)
    longest = max((len(part) for label in labels for part in wrapped(label).split()), default=0)
    return 2.75 * panels + 0.4 + 0.065 * longest, 2.75


def _columns(count: int) -> int:
    return 6 if count > 12 else 4


class Canvas:
    """A figure that is being drawn, in the colours of a theme."""

    def __init__(
        self, figure: Any, palette: Palette, labels: Sequence[str], title: str, note: str
    ) -> None:
        """Begin a figure with a title and, below it, a note."""
        self.palette = palette
        looks = line_styles(labels, palette).items()
        self.styles: Mapping[str, Style] = {
            label: {"linewidth": 1.5, "zorder": 3} | look for label, look in looks
        }
        """Style of each label, the same in every panel."""
        self._ends: list[tuple[Any, list[Any]]] = []
        width = figure.get_size_inches()[0]
        self._left = 0.08 / width
        left: dict[str, Any] = {"x": self._left, "ha": "left"}
        self._figure, self._body = figure, figure.subfigures(1, 1)
        if title:
            figure.suptitle(title, weight="bold", **left)
        if note:
            self._body.suptitle(note, fontsize=SMALL + 0.5, color=palette.quiet, **left)

    def strips(self, titles: Sequence[str], heights: Sequence[float]) -> list[Any]:
        """Return one strip of the figure per title, from top to bottom."""
        strips = self._body.subfigures(len(titles), 1, squeeze=False, height_ratios=heights)[:, 0]
        for strip, title in zip(strips, titles, strict=True):
            if title:
                strip.suptitle(title, x=self._left, ha="left", fontsize=9, weight="bold")
        return list(strips)

    # --- curves ----------------------------------------------------------------------------------

    def curves(self, strip: Any, panels: Sequence[Panel], labels: Sequence[str]) -> None:
        """Draw the panels side by side or, with too many labels, as grids below each other."""
        if len(labels) <= MOST_TOGETHER:
            self.row(strip.subplots(1, len(panels), squeeze=False)[0], panels, labels)
        else:
            self.grids(strip, panels, labels)

    def row(self, row: Sequence[Any], panels: Sequence[Panel], labels: Sequence[str]) -> None:
        """Draw each panel on its own axes, with all labels together."""
        for panel, axes in zip(panels, row, strict=True):
            panel.behind(axes)
            for label in labels:
                panel.line(axes, label, {"label": label} | self.styles[label])
            axes.set_title(panel.title)
            axes.set_xlabel("\n".join(filter(None, (panel.x, panel.finish(axes)))))
            if panel.named:
                self.name_ends(axes, panel.named)

    def grids(self, strip: Any, panels: Sequence[Panel], labels: Sequence[str]) -> None:
        """Draw a grid per panel: small axes for each label, with the first label in grey behind."""
        figures = strip.subfigures(len(panels), 1, squeeze=False)[:, 0]
        for panel, figure in zip(panels, figures, strict=True):
            self._grid(figure, panel, labels)

    def _grid(self, figure: Any, panel: Panel, labels: Sequence[str]) -> None:
        columns = _columns(len(labels))
        rows = math.ceil(len(labels) / columns)
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        baseline, faint = labels[0], self.palette.faint
        behind = {"color": faint, "linestyle": "-", "linewidth": 1.5, "zorder": 2}
        for k, axes in enumerate(grid.flat):
            if k >= len(labels):
                axes.remove()
                continue
            label, style = labels[k], self.styles[labels[k]]
            panel.behind(axes)
            if k:
                panel.line(axes, baseline, behind)
            panel.line(axes, label, style)
            colour = readable(style["color"], self.palette)
            axes.set_title(wrapped(label, 17), fontsize=SMALL - 0.5, color=colour, pad=2)
            axes.tick_params(labelsize=SMALL - 1, length=2, labelbottom=k + columns >= len(labels))
        below = "; ".join(filter(None, (panel.x, panel.finish(grid[0, 0]))))
        title = f"{panel.title}; grey: {baseline}"
        figure.suptitle(title, x=self._left, ha="left", fontsize=9)
        figure.supxlabel(below, fontsize=SMALL)

    def forest(self, axes: Any, rows: Sequence[Interval], start: float | None = None) -> None:
        """Draw one interval per row, the first on top; with a start, each on a bar from there."""
        for y, row in enumerate(rows):
            style = self.styles[row.label] | {"linestyle": "-"}
            if start is not None and math.isfinite(row.middle):
                bar = {"color": style["color"], "alpha": 0.3, "linewidth": 0, "zorder": 1}
                axes.barh(-y, row.middle - start, left=start, height=0.42, **bar)
            if math.isfinite(row.low) and math.isfinite(row.high):
                axes.plot([row.low, row.high], [-y, -y], solid_capstyle="butt", **style)
            axes.plot([row.middle], [-y], "o", markersize=4.5, **style)
            if row.said and math.isfinite(row.middle):
                said = {"fontsize": SMALL, "color": self.palette.quiet, "ha": "center"}
                axes.annotate(
                    row.said, (row.middle, -y), (0, 4), textcoords="offset points", **said
                )
        axes.set_yticks([-y for y in range(len(rows))], [wrapped(row.label) for row in rows])
        axes.tick_params(axis="y", length=0)
        axes.margins(x=0.08)
        axes.set_ylim(-len(rows) + 0.4, 0.6)

    # --- names at the ends of lines --------------------------------------------------------------

    def name_ends(self, axes: Any, names: Iterable[str]) -> None:
        """Name lines at their right ends, or in a legend if there is no room."""
        lines = {line.get_label(): line for line in axes.get_lines()}
        texts = []
        for name in names:
            end = _last_point(lines[name]) if name in lines else None
            if end is None:
                continue
            colour = lines[name].get_color()
            texts.append(
                axes.annotate(
                    wrapped(name),
                    end,
                    (1.03, 0.5),
                    textcoords="axes fraction",
                    annotation_clip=False,
                    va="center",
                    fontsize=SMALL,
                    linespacing=1.1,
                    color=readable(colour, self.palette),
                    arrowprops={
                        "arrowstyle": "-",
                        "color": colour,
                        "linewidth": 0.6,
                        "shrinkA": 1,
                        "shrinkB": 0,
                        "relpos": (0, 0.5),
                    },
                )
            )
        if texts:
            self._ends.append((axes, texts))

    def settle(self) -> None:
        """Lay the figure out, and move overlapping names apart."""
        from matplotlib.text import Text

        self._figure.draw_without_rendering()
        for axes, texts in self._ends:
            box = axes.get_window_extent()
            texts.sort(key=lambda text: _clamped_end(axes, text))
            heights = [Text.get_window_extent(text).height for text in texts]
            wanted = [axes.transData.transform(_clamped_end(axes, text)[::-1])[1] for text in texts]
            moved = spread(wanted, heights, box.y0, box.y1)
            off = (abs(a - b) - h / 2 for a, b, h in zip(wanted, moved, heights, strict=True))
            if sum(heights) > box.height or max(off) > _FAR * self._figure.dpi:
                self._legend(axes, texts)
                continue
            for text, y in zip(texts, moved, strict=True):
                text.xy = _clamped_end(axes, text)[::-1]
                text.set_position(
                    (1 + 0.14 * self._figure.dpi / box.width, (y - box.y0) / box.height)
                )
        self._figure.draw_without_rendering()
        self._figure.set_layout_engine("none")

    def _legend(self, axes: Any, texts: Sequence[Any]) -> None:
        names = {text.get_text() for text in texts}
        for text in texts:
            text.remove()
        lines = [line for line in axes.get_lines() if wrapped(line.get_label()) in names]
        axes.legend(
            lines,
            [wrapped(line.get_label()) for line in lines],
            loc="center left",
            bbox_to_anchor=(1.01, 0.5),
            frameon=False,
            fontsize=SMALL,
            handlelength=2.4,
        )


def _last_point(line: Any) -> tuple[float, float] | None:
    """Return the last finite point of a line, if any."""
    x, y = (np.asarray(each, dtype=np.float64) for each in line.get_data())
    good = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    return (float(x[good[-1]]), float(y[good[-1]])) if len(good) else None


def _clamped_end(axes: Any, text: Any) -> tuple[float, float]:
    """Return (y, x), where a line ends or leaves the axes."""
    x, y = text.xy
    low, high = sorted(axes.get_ylim())
    return min(max(y, low), high), x


def readable(colour: str, palette: Palette) -> str:
    """Return a line's colour, closer to that of the text so that letters are readable."""
    return mixed(colour, palette.ink, 0.35)


def mixed(colour: str, other: str, share: float) -> str:
    """Mix a share of another colour into a colour, both #rrggbb."""
    parts = (
        (1 - share) * int(colour[i : i + 2], 16) + share * int(other[i : i + 2], 16)
        for i in (1, 3, 5)
    )
    return "#" + "".join(f"{round(part):02X}" for part in parts)


def spread(
    wanted: Sequence[float], heights: Sequence[float], low: float, high: float
) -> list[float]:
    """Return the centres nearest to the ascending `wanted` ones at which no heights overlap.

    Nearest in least squares (isotonic regression after subtracting the heights), then moved into
    [low, high].
    """
    below = [0.0, *accumulate((a + b) / 2 for a, b in pairwise(heights))]
    pools: list[tuple[float, int]] = []
    for goal in (y - away for y, away in zip(wanted, below, strict=True)):
        mean, count = goal, 1
        while pools and pools[-1][0] >= mean:
            before, many = pools.pop()
            mean, count = (mean * count + before * many) / (count + many), count + many
        pools.append((mean, count))
    free = [mean for mean, count in pools for _ in range(count)]
    bottom, top = low + heights[0] / 2, high - below[-1] - heights[-1] / 2
    return [min(max(y, bottom), top) + away for y, away in zip(free, below, strict=True)]
