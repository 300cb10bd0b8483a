"""Which columns people see, under which titles: tidy columns in, grids of finished cells out."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from actcompare.activations import Entry, written
from actcompare.render import Columns, Grid, cell
from actcompare.units import in_bytes

MOST_ROWS = 40
"""A longer evaluation shows its first and last MOST_ROWS / 2 points."""
DIGITS = {"float32": 7, "float64": 16, "bfloat16": 4, "float16": 5}
"""Significant digits that a dtype holds, and no more than that."""
MOST_COLUMNS = 4
"""More activations than this are compared as rows, not as columns."""

_EVALUATED = {
    "value": "{}",
    "exact": "exact",
    "ulp_error": "ULP",
    "grad": "{}'",
    "grad_exact": "exact'",
    "grad_ulp_error": "ULP'",
    "grad2": "{}''",
}

_SECTIONS: tuple[tuple[str, dict[str, str]], ...] = (
    ("formula", {"formula": "f(x)", "derivative": "f'(x)"}),
    (
        "shape",
        {
            "smoothness": "smoothness",
            "jumps": "jumps",
            "monotone": "monotone",
            "convex": "convex",
            "range_min": "least output",
            "range_max": "greatest output",
            "limit_neg_inf": "limit at -inf",
            "limit_pos_inf": "limit at +inf",
            "lipschitz": "max |f'|",
            "max_curvature": "max |f''|",
        },
    ),
    (
        "at points",
        {
            "value_at_neg2": "f(-2)",
            "value_at_0": "f(0)",
            "value_at_5": "f(5)",
            "grad_at_neg2": "f'(-2)",
            "grad_at_0": "f'(0)",
            "grad_at_5": "f'(5)",
        },
    ),
    (
        "for N(0,1) inputs",
        {
            "zero_output_share": "P(f = 0)",
            "zero_grad_share": "P(f' = 0)",
            "mean_output": "mean f",
            "second_moment": "mean f^2",
            "grad_second_moment": "mean f'^2",
        },
    ),
    (
        "exact zeros",
        {
            "zero_output_below": "f = 0 up to x",
            "zero_grad_below": "f' = 0 up to x",
            "zero_grad_above": "f' = 0 from x",
            "nan_grad_beyond": "f' = NaN from |x|",
            "dead_units": "dead units",
        },
    ),
)


def keep_ends(chunks: Iterable[Columns], records_per_row: int) -> tuple[dict[str, list[Any]], int]:
    """The first and last records of a stream, enough for a table, and how many rows it had."""
    half = MOST_ROWS // 2 * records_per_row
    head: dict[str, list[Any]] = {}
    tail: dict[str, list[Any]] = {}
    total = 0
    for columns in chunks:
        length = len(next(iter(columns.values())))
        for name, column in columns.items():
            kept = head.setdefault(name, [])
            room = half - len(kept)
            kept += list(column[:room])
            # What did not fit in the head may be the tail; only its last records can be.
            rest = list(column[max(room, length - half) :])
            tail[name] = (tail.get(name, []) + rest)[-half:]
        total += length
    return {name: head[name] + tail[name] for name in head}, total // records_per_row


def evaluation_grid(
    columns: Columns, activations: Sequence[str], dtype: str, total: int | None = None
) -> Grid:
    """One row per point: x, then for each activation its value, derivatives and errors.

    `columns` holds the records of every point, or, where `total` points were more, of the first
    and the last of them.
    """
    digits, k = DIGITS[dtype], len(activations)
    names = [name for name in _EVALUATED if name in columns]
    titles = ["x"] + [_EVALUATED[name].format(label) for label in activations for name in names]
    rows = []
    for start in range(0, len(columns["x"]), k):
        row = [cell(float(columns["x"][start]), digits)]
        for i in range(start, start + k):
            row += [_evaluated_cell(name, columns[name][i], digits) for name in names]
        rows.append(row)
    caption = ""
    if total is not None and total > len(rows):
        rows.insert(len(rows) // 2, ["..."] * len(titles))
        caption = (
            f"The first and last {MOST_ROWS // 2} of {total:,} points;"
            " --format csv --output FILE writes them all."
        )
    return Grid(titles, rows, group=len(names), caption=caption)


def _evaluated_cell(name: str, value: Any, digits: int) -> str:
    if value is None:
        return "n/a"
    if name.endswith("ulp_error"):
        return f"{float(value):.3g}"
    return cell(float(value), min(digits + 3, 17) if name.endswith("exact") else digits)


def _property_cell(value: object) -> str:
    return "none" if value is None or value == "" else cell(value, 6)


def comparison_grids(columns: Columns) -> list[Grid]:
    """The comparison table: a column per activation, or for many of them a row per activation."""
    labels = [str(label) for label in columns["activation"]]
    if len(labels) <= MOST_COLUMNS:
        rows = [
            [title, *(_property_cell(value) for value in columns[name])]
            for _, section in _SECTIONS
            for name, title in section.items()
        ]
        return [Grid(["", *labels], rows, align="left")]
    return [
        Grid(
            [f"{heading}:", *section.values()],
            [
                [label, *(_property_cell(columns[name][i]) for name in section)]
                for i, label in enumerate(labels)
            ],
            align="left",
        )
        for heading, section in _SECTIONS
    ]


def catalogue_columns(catalogue: Sequence[Entry]) -> dict[str, list[object]]:
    """The catalogue as tidy columns, one record per activation."""
    return {
        "activation": [entry.spec for entry in catalogue],
        "torch_class": [f"torch.nn.{entry.torch_class}" for entry in catalogue],
        "formula": [entry.formula for entry in catalogue],
        "derivative": [entry.derivative for entry in catalogue],
        "parameters": [
            "; ".join(f"{p.name}={written(p.default)} ({p.bounds})" for p in entry.parameters)
            for entry in catalogue
        ],
    }


def catalogue_grid(columns: Mapping[str, Sequence[Any]]) -> Grid:
    """The catalogue for people."""
    names = {
        "activation": "SPEC",
        "formula": "formula",
        "parameters": "parameters: default (bounds)",
        "torch_class": "class",
    }
    rows = [[str(columns[name][i]) for name in names] for i in range(len(columns["activation"]))]
    return Grid(list(names.values()), rows, align="left")


# --- bench ---------------------------------------------------------------------------------------

AXES = ("device", "dtype", "pass", "mode", "cache", "memory", "layout", "input")
_SHAPE_TITLES = {"shape": "size"}


def varied_axes(columns: Columns) -> list[str]:
    """The conditions that records of a benchmark differ in, the size aside."""
    return [name for name in AXES if len(set(columns[name])) > 1]


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


_SECONDS = (("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9))


def _scale(seconds: float) -> tuple[str, float]:
    return next((unit for unit in _SECONDS if seconds >= 0.9995 * unit[1]), _SECONDS[-1])


def seconds(value: float | None) -> str:
    """A time, in the unit that suits it."""
    if value is None:
        return "n/a"
    unit, scale = _scale(value)
    return f"{_short(value / scale)} {unit}"


def _seconds_between(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return "n/a"
    unit, scale = _scale(high)
    return f"{_short(low / scale)} to {_short(high / scale)} {unit}"


def _short(value: float) -> str:
    return f"{value:.3g}" if value < 999.5 else f"{value:.0f}"


def percent(share: float | None, digits: int) -> str:
    """A share in percent."""
    if share is None:
        return "n/a"
    return "unknown" if math.isinf(share) else f"{100 * share:.{digits}f} %"


def _bytes_per_s(value: float | None) -> str:
    return "n/a" if value is None else f"{value / 1e9:.3g} GB/s"


def _bytes(count: float | None) -> str:
    return "n/a" if count is None else in_bytes(count)


# --- train ---------------------------------------------------------------------------------------

MOST_EPOCHS = 10
"""A longer course is shown at so many epochs, evenly spaced, the first and the last among them."""
_VERDICTS = {
    "zero_dead": "zero-dead",
    "gradient_dead": "gradient-dead",
    "gradient_zero": "gradient 0",
    "constant": "constant",
    "dormant": "dormant",
    "saturated": "saturated",
}


def score_grid(metrics: Mapping[str, Any], samples: Sequence[int]) -> Grid:
    """Loss and metric of each part."""
    parts = ("train", "validation", "test")
    rows = [
        [
            part,
            f"{count:,}",
            cell(metrics[f"{part}_loss"], 4),
            cell(metrics[f"{part}_metric"], 4),
        ]
        for part, count in zip(parts, samples, strict=True)
    ]
    speed = metrics["samples_per_s"]
    caption = f"{metrics['epochs']} epochs"
    if speed:
        caption += f", {seconds(metrics['seconds'])} in steps, {speed:,.0f} samples a second"
    return Grid(["part", "samples", "loss", metrics["metric"]], rows, caption=caption + ".")


def unit_grid(first: Columns, last: Columns) -> Grid:
    """Of each hidden layer how many units each verdict holds for, at initialisation and now."""
    rows = []
    for i, layer in enumerate(last["layer"]):
        verdicts = [f"{first[name][i]} -> {last[name][i]}" for name in _VERDICTS]
        sparsity = f"{percent(first['sparsity'][i], 0)} -> {percent(last['sparsity'][i], 0)}"
        norms = f"{cell(first['gradient_norm'][i], 2)} -> {cell(last['gradient_norm'][i], 2)}"
        rows.append([str(layer), str(last["units"][i]), *verdicts, sparsity, norms])
    titles = ["layer", "units", *_VERDICTS.values(), "sparsity", "gradient norm"]
    n, bound = last["samples"][0], last["firing_rate_bound"][0]
    caption = (
        f"Initialisation -> now, on {n:,} samples: a unit silent on all of them fires at most"
        f" {percent(bound, 2)} of the time (95 %)."
    )
    return Grid(titles, rows, caption=caption)


def course_grid(course: Columns, metric: str) -> Grid:
    """The run over its epochs."""
    total = len(course["epoch"])
    steps = min(total, MOST_EPOCHS) - 1
    shown = [round(i * (total - 1) / steps) for i in range(steps + 1)] if steps else [0]
    titles = ["epoch", "train loss", "validation loss", f"validation {metric}"]
    rows = [
        [
            str(course["epoch"][i]),
            *(cell(course[name][i], 4) for name in _SCORES),
        ]
        for i in shown
    ]
    if "died" in course:
        titles += ["zero-dead", "gradient-dead", "died", "revived"]
        for row, last, i in zip(rows, [-1, *shown], shown, strict=False):
            row += [str(course["zero_dead"][i]), str(course["gradient_dead"][i])]
            row += [str(sum(course[name][last + 1 : i + 1])) for name in ("died", "revived")]
    return Grid(titles, rows)


_SCORES = ("train_loss", "validation_loss", "validation_metric")


# --- inspect -------------------------------------------------------------------------------------


def inspection_grid(columns: Columns, total: Mapping[str, Any]) -> Grid:
    """Of each use of an activation how many units each verdict holds for, and all together."""
    if "run" in columns:
        return _what_if_grid(columns)
    rows = [
        [
            str(layer),
            str(columns["units"][i]),
            *(str(columns[name][i]) for name in _VERDICTS),
            percent(columns["sparsity"][i], 0),
            cell(columns["mean"][i], 3),
            cell(columns["variance"][i], 3),
        ]
        for i, layer in enumerate(columns["layer"])
    ]
    counts = [str(total[name]) for name in _VERDICTS]
    rows.append(["total", str(total["units"]), *counts, "", "", ""])
    titles = ["layer", "units", *_VERDICTS.values(), "sparsity", "mean", "variance"]
    return Grid(titles, rows, caption=_seen_caption(columns))


def _what_if_grid(columns: Columns) -> Grid:
    """The same of two runs side by side."""
    n = list(columns["run"]).count(columns["run"][0])
    others = len(columns["run"]) - n
    rows = []
    for i in range(max(n, others)):
        one, two = (i if i < n else None), (n + i if i < others else None)

        def both(name: str, digits: int, one: int | None = one, two: int | None = two) -> str:
            shown = ["" if k is None else cell(columns[name][k], digits) for k in (one, two)]
            return " -> ".join(shown)

        then = "" if two is None else str(columns["activation"][two])
        name = str(columns["layer"][two if one is None else one])
        rows.append(
            [
                f"{name} -> {then}",
                str(columns["units"][two if one is None else one]),
                *(both(verdict, 9) for verdict in _VERDICTS),
                *(both(number, 3) for number in ("mean", "variance")),
            ]
        )
    titles = ["layer", "units", *_VERDICTS.values(), "mean", "variance"]
    return Grid(titles, rows, caption="As it is -> swapped. " + _seen_caption(columns))


def _seen_caption(columns: Columns) -> str:
    n = max(columns["samples"])
    bound = min(columns["firing_rate_bound"])
    return (
        f"On {n:,} samples: a unit silent on all of them fires at most {percent(bound, 2)} of the"
        " time (95 %)."
    )
