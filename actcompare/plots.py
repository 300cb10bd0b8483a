"""Columns -> figure, in the terminal or in a file. Imports no torch."""

import io
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from actcompare.errors import ActcompareError, MissingExtraError, UsageError
from actcompare.layouts import varied_axes
from actcompare.render import Columns

# Okabe and Ito's colours, told apart by every kind of colour vision; black comes last.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)))
_TERMINAL_COLOURS = ("bright_blue", "bright_red", "bright_green", "bright_magenta", "bright_yellow")
_MARKS = "ox+*#@%&"
_TITLES = {"value": "f(x)", "grad": "f'(x)", "grad2": "f''(x)"}


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


# --- bench ---------------------------------------------------------------------------------------


def write_costs(columns: Columns, path: Path) -> None:
    """Write time (with what `copy_` would take) and ratio over size, a row of panels per condition.

    Bars are quartiles of the time, and 95 % intervals of the ratio.

    Args:
        columns: tidy columns of a benchmark.
        path: the file; its ending chooses SVG, PNG or PDF.

    Raises:
        ActcompareError: the file cannot be written, or nothing was measured; and what check_figure
            raises.
    """
    check_figure(path)
    from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

    panels = _cost_panels(columns)
    if not panels:
        raise ActcompareError("nothing was measured that could be drawn")

    def draw(figure: Any) -> None:
        for i, (title, curves) in enumerate(panels.items()):
            time = figure.add_subplot(len(panels), 2, 2 * i + 1)
            ratio = figure.add_subplot(len(panels), 2, 2 * i + 2, sharex=time)
            for k, (label, c) in enumerate(curves.items()):
                style: Any = {
                    "color": COLOURS[k % len(COLOURS)],
                    "linestyle": DASHES[k % len(DASHES)],
                    "linewidth": 1.2,
                    "marker": "o",
                    "markersize": 3,
                    "capsize": 2,
                }
                if label == "copy_":
                    time.plot(c["size"], c["median_s"], color="0.6", linewidth=4, label="copy_")
                    continue
                middle, low, high = (c[name] for name in ("median_s", "q1_s", "q3_s"))
                time.errorbar(
                    c["size"], middle, (middle - low, high - middle), label=label, **style
                )
                middle, low, high = (c[name] for name in ("ratio", "ratio_low", "ratio_high"))
                bars = np.maximum((middle - low, high - middle), 0)
                ratio.errorbar(c["size"], middle, bars, label=label, **style)
            for axes, name in ((time, "seconds a call"), (ratio, "ratio")):
                axes.set(xscale="log", yscale="log", xlabel="elements", ylabel=name)
                axes.set_title(title, fontsize=9)
                axes.spines[["top", "right"]].set_visible(False)
            ratio.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
            ratio.yaxis.set_major_formatter(FormatStrFormatter("%g"))
            ratio.yaxis.set_minor_formatter(NullFormatter())
            time.legend(frameon=False, fontsize=8)

    write_figure(path, (7.2, 2.9 * len(panels)), draw)


def _cost_panels(columns: Columns) -> dict[str, dict[str, dict[str, Any]]]:
    """For each set of conditions, each label's arrays over size; `copy_` among them, first."""
    names = ("size", "median_s", "q1_s", "q3_s", "ratio", "ratio_low", "ratio_high")
    varied = varied_axes(columns) or ["pass"]
    panels: dict[str, dict[str, dict[str, list[float]]]] = {}
    for i, label in enumerate(columns["activation"]):
        if columns["median_s"][i] is None:
            continue
        panel = panels.setdefault(" ".join(str(columns[name][i]) for name in varied), {})
        share = columns["copy_share"][i]
        if share is not None and columns["verdict"][i] == "baseline":
            copy = panel.setdefault("copy_", {"size": [], "median_s": []})
            copy["size"].append(columns["size"][i])
            copy["median_s"].append(columns["median_s"][i] * share)
        curve = panel.setdefault(label, {name: [] for name in names})
        for name in names:
            curve[name].append(columns[name][i])
    return {
        title: {label: _by_size(curve) for label, curve in panel.items()}
        for title, panel in panels.items()
    }


def _by_size(curve: dict[str, list[float]]) -> dict[str, Any]:
    order = np.argsort(curve["size"], kind="stable")
    return {name: np.asarray(values, dtype=np.float64)[order] for name, values in curve.items()}


def terminal_costs(columns: Columns, width: int, *, colour: bool) -> str:
    """Time and ratio over size as text, both axes logarithmic."""
    drawn = []
    for title, curves in _cost_panels(columns).items():
        for name, of in (("median_s", "seconds a call"), ("ratio", "ratio")):
            shown = {label: c for label, c in curves.items() if name in c}
            figure = terminal_figure(width, colour, "elements", of, log=True)
            for k, (label, c) in enumerate(shown.items()):
                terminal_line(figure, np.log10(c["size"]), np.log10(c[name]), label, k, colour)
            drawn.append(f"{title}: {of}\n{figure.show(legend=True)}")
    return "\n\n".join(drawn) + "\n"


# --- train ---------------------------------------------------------------------------------------

_COURSE: dict[str, tuple[str, ...]] = {
    "loss": ("train_loss", "validation_loss"),
    "metric": ("train_metric", "validation_metric"),
    "units": ("zero_dead", "gradient_dead", "constant", "dormant", "saturated"),
}


def write_course(course: Columns, metric: str, path: Path) -> None:
    """Write loss, metric and unit verdicts over epochs as panels of one figure.

    Args:
        course: tidy columns of a training, one record per epoch.
        metric: what the metric is called.
        path: the file; its ending chooses SVG, PNG or PDF.

    Raises:
        ActcompareError: the file cannot be written; and what check_figure raises.
    """
    panels = _course_panels(course, metric)

    def draw(figure: Any) -> None:
        for i, (title, names) in enumerate(panels.items()):
            axes = figure.add_subplot(1, len(panels), i + 1)
            for k, name in enumerate(names):
                style: Any = {"color": COLOURS[k], "linestyle": DASHES[k % len(DASHES)]}
                label = _line_label(name)
                axes.plot(course["epoch"], course[name], label=label, linewidth=1.4, **style)
            axes.set_xlabel("epoch")
            axes.set_title(title, fontsize=9)
            axes.spines[["top", "right"]].set_visible(False)
            axes.legend(frameon=False, fontsize=8)

    write_figure(path, (3.4 * len(panels), 2.9), draw)


def terminal_course(course: Columns, metric: str, width: int, *, colour: bool) -> str:
    """Loss, metric and unit verdicts over epochs as text."""
    drawn = []
    for title, names in _course_panels(course, metric).items():
        figure = terminal_figure(width, colour, "epoch", title)
        figure.origin = False
        figure.set_x_limits(0, 1.05 * max(1, course["epoch"][-1]))
        if title.startswith("units"):
            figure.set_y_limits(0, 1.1 * max(1, *(max(course[name]) for name in names)))
        for k, name in enumerate(names):
            terminal_line(figure, course["epoch"], course[name], _line_label(name), k, colour)
        drawn.append(f"{title}\n{figure.show(legend=True)}")
    return "\n\n".join(drawn) + "\n"


def _course_panels(course: Columns, metric: str) -> dict[str, list[str]]:
    """For each panel's title the columns it shows."""
    titles = {"metric": metric, "units": f"units, of {course.get('units', [0])[0]}"}
    panels = {
        titles.get(of, of): [name for name in names if name in course]
        for of, names in _COURSE.items()
    }
    return {title: names for title, names in panels.items() if names}


def _line_label(name: str) -> str:
    return name.removesuffix("_loss").removesuffix("_metric").replace("_", "-")


def _select(columns: Columns, label: str, name: str) -> tuple[Sequence[float], Sequence[float]]:
    """The finite points of one activation."""
    mine = np.asarray(columns["activation"], dtype=object) == label
    x = np.asarray(columns["x"], dtype=np.float64)[mine]
    y = np.asarray(columns[name], dtype=np.float64)[mine]
    finite = np.isfinite(x) & np.isfinite(y)
    return x[finite].tolist(), y[finite].tolist()
