"""The tables of `depth`."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from actcompare.output.render import Grid, cell
from actcompare.propagation.training import HIDDEN, STEPS
from actcompare.table import Columns
from actcompare.text import percent


def theory_grid(columns: Columns) -> Grid:
    """Return what theory says of each activation and initialisation."""
    rows = [
        [
            *(str(columns[name][i]) for name in ("activation", "init")),
            *(cell(columns[name][i], 4) for name in ("sigma_w2", "sigma_b2")),
            _fixed_point(columns, i),
            *(cell(columns[name][i], 3) for name in ("chi", "slope_q", "xi_q", "xi_c")),
            cell(columns["phase"][i], 3),
            cell(columns["reach_layers"][i], 4),
        ]
        for i in range(len(columns["activation"]))
    ]
    titles = ["activation", "init", "sigma_w^2", "sigma_b^2", "fixed point", "chi", "slope"]
    caption = (
        "Wide nets. fixed point: the variance of pre-activations that signals approach. chi: factor"
        " of the gradient's variance per layer there; below 1 gradients vanish (ordered), above 1"
        " they explode (chaotic). slope: of the length map. xi_q, xi_c: layers in which length and"
        " correlation come e times closer to their fixed points. reach: layers in which the"
        " gradient's variance changes by e^6."
    )
    return Grid([*titles, "xi_q", "xi_c", "phase", "reach"], rows, keys=2, caption=caption)


def gradient_grid(columns: Columns, layers: int) -> Grid:
    """Return what is left of the gradient: by theory, corrected for the width, and measured."""
    rows = [
        [
            *(str(columns[name][i]) for name in ("activation", "init")),
            *(_decimal(columns[f"log10_gradient_{of}"][i]) for of in ("theory", "corrected")),
            _measured(columns, i),
            {None: "n/a", 0: "no", 1: "yes"}[columns["agrees"][i]],
        ]
        for i in range(len(columns["activation"]))
    ]
    titles = ["activation", "init", "theory", "corrected", "measured (95 %)", "agrees"]
    caption = (
        f"log10 of the factor of the gradient's variance over {layers:,} layers; corrected: for the"
        " width. agrees: measured and corrected; n/a where the width is too"
        " small for the depth, or nothing was measured."
    )
    return Grid(titles, rows, keys=2, caption=caption)


def samples_grid(columns: Columns) -> Grid:
    """Return how far samples stay apart, and which units are dead on all of them."""
    rows = [
        [
            *(str(columns[name][i]) for name in ("activation", "init")),
            " / ".join(cell(columns[f"one_minus_c_{of}"][i], 2) for of in _BOTH),
            " / ".join(percent(columns[f"zero_dead_{of}"][i], 1) for of in _BOTH),
            percent(columns["gradient_dead"][i], 1),
            percent(columns["constant"][i], 1),
        ]
        for i in range(len(columns["activation"]))
    ]
    titles = ["activation", "init", "1 - c", "zero-dead", "gradient-dead", "constant"]
    caption = (
        "theory / measured. 1 - c: 1 - correlation of two samples after the last layer; measured"
        " values below 1e-28 are rounding. Dead and"
        " constant: shares of units, in the mean over layers; gradient-dead and constant are"
        " measured."
    )
    return Grid(titles, rows, keys=2, caption=caption)


_BOTH = ("theory", "measured")


def gains_grid(gains: Sequence[Any]) -> Grid:
    """Return the gains of each activation, beside torch's."""
    rows = [
        [
            each.activation,
            *(f"{v:.6g}" for v in (each.mean, each.mean_square, each.slope_mean_square)),
            *(f"{v:.6g}" for v in (each.forward, each.backward, each.variance, each.ratio)),
            "none" if each.torch is None else f"{each.torch:.6g}",
        ]
        for each in gains
    ]
    titles = ["activation", "E f", "E f^2", "E f'^2", "forward", "backward", "variance", "R"]
    caption = (
        "Pre-activations N(0,1). Weights of standard deviation gain/sqrt(inputs) keep the signal's"
        " mean square (forward), the gradient's (backward), or the signal's variance. R: factor of"
        " the gradient's variance per layer while the signal keeps its length. torch:"
        " torch.nn.init.calculate_gain."
    )
    return Grid([*titles, "torch"], rows, caption=caption)


def training_grid(rows: Sequence[Mapping[str, Any]], metric: str) -> Grid:
    """Return whether nets of this depth train, per activation and initialisation."""
    cells = [
        [
            *(str(row[name]) for name in ("activation", "init", "verdict")),
            cell(row["lr"], 3),
            "n/a" if row["mean"] is None else _interval(row, "mean", 3),
            cell(row["guess"], 3),
            str(row["diverged"]),
            str(row["seeds"]),
        ]
        for row in rows
    ]
    caption = (
        f"SimpleNet of width {HIDDEN}, {STEPS} steps of SGD with momentum 0.9; lr chosen on the"
        " validation set. chance: a constant prediction."
    )
    titles = ["activation", "init", "verdict", "lr", f"test {metric} (95 %)", "chance"]
    return Grid([*titles, "diverged", "seeds"], cells, keys=2, caption=caption)


def row_name(columns: Columns, column: str, i: int) -> str:
    """Return a row's name with the value of a column."""
    return f"{columns['activation'][i]} with {columns['init'][i]}: {column} {columns[column][i]}"


def _fixed_point(columns: Columns, i: int) -> str:
    kind, q = columns["fixed_point_kind"][i], columns["fixed_point"][i]
    if kind is None:
        return "n/a"
    return {"attracting": cell(q, 4), "zero": "0", "none": "none: grows", "any": "any length"}[kind]


def _decimal(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "n/a" if value is None else f"{value}"
    digits = 2 if abs(value) < 10 else 1
    return f"{round(value, digits) + 0.0:.{digits}f}"  # no -0.00


def _measured(columns: Columns, i: int) -> str:
    middle, low, high = (columns[f"log10_gradient_{end}"][i] for end in ("measured", "low", "high"))
    if low is None:
        return _decimal(middle)
    return f"{_decimal(middle)} ({_decimal(low)} to {_decimal(high)})"


def _interval(row: Mapping[str, Any], name: str, digits: int) -> str:
    middle, low, high = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
