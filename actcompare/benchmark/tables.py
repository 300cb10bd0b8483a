"""The tables of `bench`."""

import math
from collections.abc import Mapping

from actcompare.benchmark.records import AXES, varied_axes
from actcompare.output.render import Grid
from actcompare.table import Columns
from actcompare.text import _scale, _short, in_bytes, percent, seconds


def cost_grid(columns: Columns, environment: Mapping[str, object]) -> Grid:
    """Return the table of costs: the conditions that vary, then the times of each activation.

    If `old_median_s` is among the columns, ratios are relative to an earlier run.
    """
    n, of_model = len(columns["activation"]), "model" in columns
    varied = [*varied_axes(columns), "shape"]
    shown: dict[str, list[str]] = {
        ("input" if of_model else "size") if name == "shape" else name: [
            _axis_cell(name, columns[name][i]) for i in range(n)
        ]
        for name in varied
    }
    shown["activation"] = list(columns["activation"])
    if "old_median_s" in columns:
        shown["old median"] = [seconds(s) for s in columns["old_median_s"]]
    shown["median"] = [seconds(s) for s in columns["median_s"]]
    shown["quartiles"] = [
        _seconds_between(*pair) for pair in zip(columns["q1_s"], columns["q3_s"], strict=True)
    ]
    title = "new / old (95 %)" if "old_median_s" in columns else "ratio (95 %)"
    shown[title] = [_ratio_cell(columns, i) for i in range(n)]
    shown["verdict"] = list(columns["verdict"])
    shown["noise floor"] = [percent(share, 1) for share in columns["noise_floor"]]
    optional = {
        "samples/s": [_rate(v) for v in columns.get("samples_per_s", ())],
        "activations": [_share(v) for v in columns.get("activation_share", ())],
        "kept": [_bytes(v) for v in columns.get("saved_bytes", ())],
        "bandwidth": [_bytes_per_s(v) for v in columns["bytes_per_s"]],
        "of copy_": [percent(v, 0) for v in columns["copy_share"]],
        "peak memory": [_bytes(v) for v in columns["peak_bytes"]],
        "compile time": [seconds(v) for v in columns["compile_s"]],
    }
    shown |= {name: cells for name, cells in optional.items() if set(cells) - {"n/a"}}
    same = [_condition(n, columns[n][0]) for n in AXES if n not in varied and n in columns]
    same = [str(columns["model"][0]), *same] if of_model else same
    threads = environment["threads"]
    caption = ", ".join([*same, f"{threads} thread{'s' if threads != 1 else ''}"])
    of_copy = " of copy_: bandwidth relative to a plain copy of the input." * ("of copy_" in shown)
    return Grid(
        list(shown),
        list(zip(*shown.values(), strict=True)),
        keys=len(varied) + 1,
        caption=f"{caption}; {environment['device_name']}; torch {environment['torch']}.{of_copy}",
    )


def _condition(name: str, value: object) -> str:
    return f"{value} {name}" if name in ("cache", "memory", "layout", "input") else str(value)


def row_name(columns: Columns, i: int) -> str:
    """Describe one record on one line: activation, conditions, median time, ratio and verdict."""
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
    digits = 3 if 0.95 < ratio < 1.05 else 2  # 0.998 must not read as 1.00
    if ratio >= 100:
        digits = 0
    return f"{ratio:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _seconds_between(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return "n/a"
    unit, scale = _scale(high)
    return f"{_short(low / scale)} to {_short(high / scale)} {unit}"


def _share(value: float | None) -> str:
    return percent(None if value is None else max(0.0, value), 1)  # below 0 it is noise


def _rate(value: float | None) -> str:
    return "n/a" if value is None else f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"


def _bytes_per_s(value: float | None) -> str:
    return "n/a" if value is None else f"{value / 1e9:.3g} GB/s"


def _bytes(count: float | None) -> str:
    return "n/a" if count is None else in_bytes(count)
