"""Figures of `bench`: time and ratio over size."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from actcompare.benchmark.records import AXES, COPY, varied_axes
from actcompare.errors import ActcompareError
from actcompare.output.canvas import MOST_TOGETHER, Canvas, Interval, Panel, Style, curves_size
from actcompare.output.plotting import Picture
from actcompare.output.scales import scaled
from actcompare.output.styles import terminal_styles
from actcompare.output.terminal import terminal_figure, terminal_line
from actcompare.table import Columns
from actcompare.text import seconds

_PASSES = {
    "forward": "forward pass",
    "backward": "backward pass",
    "both": "forward and backward pass",
    "step": "training step of SimpleNet",
}

_USUAL = ("cpu", "eager", "hot", "warm", "contiguous", "normal")
"""Default conditions, which are not mentioned."""

_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def _said_size(size: int) -> str:
    """Format a number of elements as 2²⁰, 10⁶ or 5,000."""
    for base, power in ((2, size.bit_length() - 1), (10, len(str(size)) - 1)):
        if size >= 1000 and size == base**power:
            return f"{base}{str(power).translate(_SUPERSCRIPTS)}"
    return f"{size:,}"


def _said_time(value: float) -> str:
    return seconds(value).replace("us", "µs")


def _said_ratio(value: float) -> str:
    return f"{value:.4g}\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True)
class _Quantity:
    """A quantity shown over size: its columns, the middle first, and the format of a value."""

    columns: tuple[str, str, str]
    said: Callable[[float], str]


_TIME = _Quantity(("median_s", "q1_s", "q3_s"), _said_time)

_RATIO = _Quantity(("ratio", "ratio_low", "ratio_high"), _said_ratio)

Curves = dict[str, dict[str, Any]]
"""The columns of each label as arrays over size; the first label may be COPY, `copy_`'s time."""


def cost_picture(columns: Columns, environment: Mapping[str, Any]) -> Picture:
    """Draw time and ratio over size, one strip per condition; for a single size, draw intervals.

    Bars show the quartiles of the time and the 95 % interval of the ratio.

    Args:
        columns: Tidy columns of a benchmark, or of its changes.
        environment: The environment of the measurement.

    Raises:
        ActcompareError: Nothing was measured.
    """
    strips = _curves_by_condition(columns)
    if not strips:
        raise ActcompareError("nothing to draw: no case was measured")
    baseline = "the earlier run" if "old_median_s" in columns else columns["activation"][0]
    sizes = [_strip_size(curves) for curves in strips.values()]

    def draw(canvas: Canvas) -> None:
        heights = [height for _, height in sizes]
        for strip, curves in zip(canvas.strips([*strips], heights), strips.values(), strict=True):
            if _has_one_size(curves):
                _draw_intervals(canvas, strip, curves, baseline)
            else:
                _draw_curves(canvas, strip, curves, baseline)

    passes = set(columns["pass"])
    what = _PASSES[passes.pop()] if len(passes) == 1 else "call"
    return Picture(
        f"Time of a {what}",
        _conditions(columns, environment),
        list(dict.fromkeys(label for curves in strips.values() for label in _labels(curves))),
        (max(width for width, _ in sizes), sum(height for _, height in sizes)),
        draw,
        lambda width, colour: _as_text(strips, baseline, width, colour),
    )


def time_panel(columns: Columns) -> Panel:
    """Return the time of a call over size, for records that differ in nothing else.

    Raises:
        ActcompareError: Nothing was measured.
    """
    strips = _curves_by_condition(columns)
    if not strips:
        raise ActcompareError("nothing to draw: no case was measured")
    (curves,) = strips.values()
    return _panel(curves, _TIME, "median and quartiles", named=_labels(curves))


def _conditions(columns: Columns, environment: Mapping[str, Any]) -> str:
    """Return the conditions that all records share, and the machine."""
    same = [name for name in AXES if name != "pass" and name not in varied_axes(columns)]
    said = [_condition(name, columns[name][0]) for name in same if columns[name][0] not in _USUAL]
    threads = environment["threads"]
    said += [f"{threads} thread{'s' * (threads != 1)}", str(environment["device_name"])]
    return ", ".join(said)


def _condition(name: str, value: str) -> str:
    if name == "pass":
        return _PASSES[value]
    return f"{value} {name}" if name in ("cache", "memory", "layout", "input") else value


def _curves_by_condition(columns: Columns) -> dict[str, Curves]:
    names = ("size", "median_s", "q1_s", "q3_s", "ratio", "ratio_low", "ratio_high")
    varied = varied_axes(columns)
    strips: dict[str, dict[str, dict[str, list[float]]]] = {}
    for i, label in enumerate(columns["activation"]):
        if columns["median_s"][i] is None:
            continue
        title = ", ".join(_condition(name, columns[name][i]) for name in varied)
        strip = strips.setdefault(title, {})
        share = columns["copy_share"][i]
        if share is not None and label == columns["activation"][0]:
            copy = strip.setdefault(COPY, {"size": [], "median_s": []})
            copy["size"].append(columns["size"][i])
            copy["median_s"].append(columns["median_s"][i] * share)
        curve = strip.setdefault(label, {name: [] for name in names})
        for name in names:
            curve[name].append(columns[name][i])
    return {
        title: {label: _by_size(curve) for label, curve in strip.items()}
        for title, strip in strips.items()
    }


def _by_size(curve: Mapping[str, list[float]]) -> dict[str, Any]:
    order = np.argsort(curve["size"], kind="stable")
    return {name: np.asarray(values, dtype=np.float64)[order] for name, values in curve.items()}


def _labels(curves: Curves) -> list[str]:
    return [label for label in curves if label != COPY]


def _has_one_size(curves: Curves) -> bool:
    return all(len(curve["size"]) == 1 for curve in curves.values())


def _strip_size(curves: Curves) -> tuple[float, float]:
    if _has_one_size(curves):
        return 7.2, 0.9 + 0.22 * len(_labels(curves))
    return curves_size(_labels(curves), 2)


def _panel(curves: Curves, what: _Quantity, title: str, **more: Any) -> Panel:
    def line(axes: Any, label: str, style: Style) -> None:
        curve = curves[label]
        x, middle, low, high = (curve[name] for name in ("size", *what.columns))
        axes.plot(x, middle, marker="o", markersize=3, **style)
        known = np.isfinite(low) & np.isfinite(high)
        bars = {"colors": style["color"], "linewidth": 1, "zorder": style["zorder"]}
        axes.vlines(x[known], low[known], high[known], **bars)

    def finish(axes: Any) -> str:
        _scale_sizes(axes, curves)
        scaled(axes.yaxis, what.said)
        return ""

    return Panel(title, "elements", line, finish, **more)


def _scale_sizes(axes: Any, curves: Curves) -> None:
    sizes = sorted({size for curve in curves.values() for size in curve["size"]})
    apart = (sizes[-1] / sizes[0]) ** 0.14
    shown = sizes[:1]
    for size in sizes[1:]:
        shown += [size] if size >= shown[-1] * apart else []
    axes.set_xscale("log")
    axes.set_xticks(shown, [_said_size(int(size)) for size in shown], minor=False)
    axes.set_xticks([], minor=True)


def _draw_curves(canvas: Canvas, strip: Any, curves: Curves, baseline: str) -> None:
    labels = _labels(curves)

    def copy(axes: Any) -> None:
        if COPY in curves and len(labels) <= MOST_TOGETHER:
            x, y = (curves[COPY][name] for name in ("size", "median_s"))
            axes.plot(x, y, color=canvas.palette.faint, linewidth=3.5, zorder=1, label=COPY)

    panels = [
        _panel(curves, _TIME, "median and quartiles", behind=copy, named=[COPY]),
        _panel(curves, _RATIO, f"relative to {baseline} (95 %)", named=labels),
    ]
    canvas.curves(strip, panels, labels)


def _draw_intervals(canvas: Canvas, strip: Any, curves: Curves, baseline: str) -> None:
    """Draw the activations at a single size below each other, the fastest first."""
    labels = sorted(_labels(curves), key=lambda label: curves[label]["median_s"][0])
    row = strip.subplots(1, 2, sharey=True)
    titles = ("median and quartiles", f"relative to {baseline} (95 %)")
    for axes, what, title in zip(row, (_TIME, _RATIO), titles, strict=True):
        rows = []
        for label in labels:
            middle, low, high = (float(curves[label][name][0]) for name in what.columns)
            rows.append(Interval(label, middle, low, high))
        canvas.forest(axes, rows)
        axes.set_title(title)
        axes.set_xlabel(f"{_said_size(int(curves[labels[0]]['size'][0]))} elements")
        scaled(axes.xaxis, what.said)
        axes.grid(axis="x", color=canvas.palette.faint, linewidth=0.4)
    row[1].tick_params(labelleft=False)


# --- in the terminal -----------------------------------------------------------------------------


def _as_text(strips: Mapping[str, Curves], baseline: str, width: int, colour: bool) -> str:
    """Draw time and ratio over size as text, on logarithmic axes."""
    drawn = []
    for title, curves in strips.items():
        for what, of in ((_TIME, "time of a call"), (_RATIO, f"time relative to {baseline}")):
            name = what.columns[0]
            shown = {label: curve for label, curve in curves.items() if name in curve}
            looks = terminal_styles(list(shown), colour=colour)
            figure = terminal_figure(width, colour, "elements", of)
            figure.origin = False
            figure.x_ticks_fkt = lambda low, _: f"{10**low:,.0f}"
            figure.y_ticks_fkt = lambda low, _, said=what.said: said(10**low)
            for label, curve in shown.items():
                x, y = np.log10(curve["size"]), np.log10(curve[name])
                terminal_line(figure, x, y, label, looks[label], colour)
            drawn.append(f"{title}: {of}".lstrip(": ") + f"\n{figure.show(legend=True)}")
    return "\n\n".join(drawn)
