"""The figures of `bench`: time and ratio over size."""

from pathlib import Path
from typing import Any

import numpy as np

from actcompare.benchmark.records import varied_axes
from actcompare.errors import ActcompareError
from actcompare.output.plotting import (
    COLOURS,
    DASHES,
    check_figure,
    terminal_figure,
    terminal_line,
    write_figure,
)
from actcompare.table import Columns

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
