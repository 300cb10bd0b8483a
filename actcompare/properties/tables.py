"""Tables of `table` and `list`."""

from collections.abc import Mapping, Sequence
from typing import Any

from actcompare.activations.catalogue import Entry, written
from actcompare.output.render import Grid, cell
from actcompare.table import Columns

MOST_COLUMNS = 4
"""Most activations that are compared as columns; more become rows."""

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


def _property_cell(value: object) -> str:
    return "none" if value is None or value == "" else cell(value, 6)


def comparison_grids(columns: Columns) -> list[Grid]:
    """Return the comparison with a column per activation or, for many of them, a row each."""
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
    """Return the catalogue as tidy columns, one record per activation."""
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
    """Return the catalogue as a table for people."""
    names = {
        "activation": "SPEC",
        "formula": "formula",
        "parameters": "parameters: default (bounds)",
        "torch_class": "class",
    }
    rows = [[str(columns[name][i]) for name in names] for i in range(len(columns["activation"]))]
    return Grid(list(names.values()), rows, align="left")
