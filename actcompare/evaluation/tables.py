"""Tables of `eval`."""

from collections.abc import Iterable, Sequence
from typing import Any

from actcompare.output.render import Grid, cell
from actcompare.table import Columns

MOST_ROWS = 40
"""Most points in a table; longer evaluations show the first and last MOST_ROWS / 2."""

DIGITS = {"float32": 7, "float64": 16, "bfloat16": 4, "float16": 5}
"""Significant digits of each dtype."""

_EVALUATED = {
    "value": "{}",
    "exact": "exact",
    "ulp_error": "ULP",
    "grad": "{}'",
    "grad_exact": "exact'",
    "grad_ulp_error": "ULP'",
    "grad2": "{}''",
}


def keep_ends(chunks: Iterable[Columns], records_per_row: int) -> tuple[dict[str, list[Any]], int]:
    """Return the first and last records of a stream, for a table, and its number of rows."""
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
            # The tail consists of the last records that did not fit in the head.
            rest = list(column[max(room, length - half) :])
            tail[name] = (tail.get(name, []) + rest)[-half:]
        total += length
    return {name: head[name] + tail[name] for name in head}, total // records_per_row


def evaluation_grid(
    columns: Columns, activations: Sequence[str], dtype: str, total: int | None = None
) -> Grid:
    """Return a row per point: x, then value, derivatives and errors of each activation.

    If there are more points (`total`) than in `columns`, the rows in the middle are elided.
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
            " --format csv --output FILE writes all of them."
        )
    return Grid(titles, rows, group=len(names), caption=caption)


def _evaluated_cell(name: str, value: Any, digits: int) -> str:
    if value is None:
        return "n/a"
    if name.endswith("ulp_error"):
        return f"{float(value):.3g}"
    return cell(float(value), min(digits + 3, 17) if name.endswith("exact") else digits)
