"""The tables of `bench`."""

import math
from collections.abc import Mapping

from actcompare.benchmark.records import AXES, varied_axes
from actcompare.output.render import Grid
from actcompare.table import Columns
from actcompare.text import _scale, _short, in_bytes, percent, seconds

_SHAPE_TITLES = {"shape": "size"}


def cost_grid(columns: Columns, environment: Mapping[str, object]) -> Grid:
    """What activations cost: the axes that vary, then per activation its times and their reading.

    With `old_median_s` among the columns, ratios are to an earlier run.
    """
    n = len(columns["activation"])
    varied = [*varied_axes(columns), "shape"]
    shown: dict[str, list[str]] = {
        _SHAPE_TITLES.get(name, name): [_axis_cell(name, columns[name][i]) for i in range(n)]
        for name in varied
    }
    shown["activation"] = list(columns["activation"])
    if "old_median_s" in columns:
        shown["then"] = [seconds(s) for s in columns["old_median_s"]]
    shown["median"] = [seconds(s) for s in columns["median_s"]]
    shown["quartiles"] = [
        _seconds_between(*pair) for pair in zip(columns["q1_s"], columns["q3_s"], strict=True)
    ]
    title = "now / then (95 %)" if "old_median_s" in columns else "ratio (95 %)"
    shown[title] = [_ratio_cell(columns, i) for i in range(n)]
    shown["verdict"] = list(columns["verdict"])
    shown["noise"] = [percent(share, 1) for share in columns["noise_floor"]]
    optional = {
        "bytes/s": [_bytes_per_s(v) for v in columns["bytes_per_s"]],
        "of copy": [percent(v, 0) for v in columns["copy_share"]],
        "peak": [_bytes(v) for v in columns["peak_bytes"]],
        "compile": [seconds(v) for v in columns["compile_s"]],
    }
    shown |= {name: cells for name, cells in optional.items() if set(cells) != {"n/a"}}
    same = [_condition(name, columns[name][0]) for name in AXES if name not in varied]
    threads = environment["threads"]
    caption = ", ".join([*same, f"{threads} thread{'s' if threads != 1 else ''}"])
    return Grid(
        list(shown),
        list(zip(*shown.values(), strict=True)),
        keys=len(varied) + 1,
        caption=f"{caption}; {environment['device_name']}; torch {environment['torch']}.",
    )


def _condition(name: str, value: object) -> str:
    return f"{value} {name}" if name in ("cache", "memory", "layout", "input") else str(value)


def row_name(columns: Columns, i: int) -> str:
    """One record on one line: what it is of, its time and ratio."""
    varied = [*varied_axes(columns), "shape"]
    axes = " ".join(_axis_cell(name, columns[name][i]) for name in varied)
    ratio = _ratio_cell(columns, i)
    return (
        f"{columns['activation'][i]} ({axes}) takes {seconds(columns['median_s'][i])},"
        f" ratio {ratio}, {columns['verdict'][i]}"
    )


def _axis_cell(name: str, value: object) -> str:
    return f"{int(value):,}" if name == "shape" and str(value).isdigit() else str(value)  # type: ignore[call-overload]


def _ratio_cell(columns: Columns, i: int) -> str:
    ratio, low, high = (columns[name][i] for name in ("ratio", "ratio_low", "ratio_high"))
    if ratio is None:
        return "n/a"
    if low == high == 1:
        return "1"
    if math.isinf(high):
        return f"{ratio:.2f} (too few rounds)"
    digits = 3 if 0.95 < ratio < 1.05 else 2  # so that 0.998 does not read as 1
    if ratio >= 100:
        digits = 0
    return f"{ratio:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _seconds_between(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return "n/a"
    unit, scale = _scale(high)
    return f"{_short(low / scale)} to {_short(high / scale)} {unit}"


def _bytes_per_s(value: float | None) -> str:
    return "n/a" if value is None else f"{value / 1e9:.3g} GB/s"


def _bytes(count: float | None) -> str:
    return "n/a" if count is None else in_bytes(count)
