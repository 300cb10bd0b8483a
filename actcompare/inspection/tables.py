"""The tables of `inspect`."""

from collections.abc import Mapping
from typing import Any

from actcompare.output.render import Grid, cell
from actcompare.table import Columns
from actcompare.text import percent
from actcompare.units.wording import _VERDICTS, UNIT

# --- inspect -------------------------------------------------------------------------------------


def inspection_grid(columns: Columns, total: Mapping[str, Any]) -> Grid:
    """Return the number of units with each verdict, per use of an activation."""
    if "run" in columns:
        return _what_if_grid(columns)
    rows: list[list[str]] = []
    apart: list[list[str]] = []
    for i, layer in enumerate(columns["layer"]):
        role = columns["role"][i]
        row = [
            str(layer) if role == UNIT else f"({role}) {layer}",
            str(columns["units"][i]),
            *(str(columns[name][i]) for name in _VERDICTS),
            percent(columns["sparsity"][i], 0),
            percent(columns["near_zero"][i], 0),
            cell(columns["mean"][i], 3),
            cell(columns["variance"][i], 3),
        ]
        (rows if role == UNIT else apart).append(row)
    counts = [str(total[name]) for name in _VERDICTS]
    rows.append(["total", str(total["units"]), *counts, "", "", "", ""])
    titles = ["layer", "units", *_VERDICTS.values(), "sparsity", "near zero", "mean", "variance"]
    return Grid(titles, rows + apart, caption=_seen_caption(columns))


def _what_if_grid(columns: Columns) -> Grid:
    """Return the same table for two runs, side by side."""
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
    return Grid(titles, rows, caption="Original -> swapped. " + _seen_caption(columns))


def _seen_caption(columns: Columns) -> str:
    n = max(columns["samples"])
    bound = min(columns["firing_rate_bound"])
    return (
        f"On {n:,} samples: a unit that never fired here may fire on up to {percent(bound, 2)} of"
        " new samples (95 % bound)."
    )
