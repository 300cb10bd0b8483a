"""What leaves through Arrow is what leaves without it."""

import io
import itertools
import math
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actcompare.output import render
from actcompare.output.arrow import csv_lines, write_parquet
from actcompare.table import Columns


def as_csv(*chunks: Columns) -> str:
    out = io.StringIO(newline="")
    render.write_csv(chunks, out)
    return out.getvalue()


EDGES = [
    0.0,
    -0.0,
    1.0,
    1e9,
    1e10,
    12345678901.5,
    1e15,
    1e16,
    1e-4,
    9.9e-5,
    5e-324,
    1.7976931348623157e308,
    0.1,
]
VALUES = st.sampled_from([*EDGES, math.inf, -math.inf, math.nan]) | st.floats()


@given(st.lists(VALUES, min_size=1))
def test_numbers_are_written_as_python_writes_them(numbers: list[float]) -> None:
    columns = {"x": np.array(numbers)}
    assert "".join(csv_lines(columns, render.csv_field)) == as_csv(columns).removeprefix("x\n")


@pytest.mark.parametrize("kind", [np.float32, np.float16, np.int64, np.bool_, object])
def test_columns_of_every_kind(kind: type) -> None:
    columns = {
        "x": np.array([0, 1, 1, 0]).astype(kind),
        "text": ["plain", 'a "quoted" one', "a, b", ""],
        "mixed": [1, "two", None, 4.5],
        "absent": np.full(4, None, dtype=object),
    }
    assert "".join(csv_lines(columns, render.csv_field)) == as_csv(columns).partition("\n")[2]


def test_long_chunks_take_the_way_through_arrow(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.linspace(-3, 3, 101)
    columns = {"x": x, "activation": np.tile(["relu"], 101), "value": np.exp(x)}
    short = as_csv(columns, columns)
    monkeypatch.setattr(render, "LONG", 10)
    assert as_csv(columns, columns) == short


def test_parquet_keeps_types_and_bits() -> None:
    chunks: list[dict[str, Any]] = [
        {"x": np.array([0.1, math.nan, math.inf]), "n": [1, 2, 3], "mixed": [1, "two", None]},
        {"x": np.array([-0.0]), "n": [4], "mixed": ["five"]},
    ]
    out = io.BytesIO()
    write_parquet(chunks, out, render.csv_field)
    out.seek(0)
    table = pyarrow.parquet.read_table(out)
    x = list(itertools.chain.from_iterable(chunk["x"] for chunk in chunks))
    np.testing.assert_array_equal(table["x"].to_numpy(), x)
    assert table["n"].to_pylist() == [1, 2, 3, 4]
    assert table["mixed"].to_pylist() == ["1", "two", None, "five"]


def test_a_result_without_records_is_still_a_file() -> None:
    assert as_csv({}) == "\n"
    out = io.BytesIO()
    write_parquet([{}], out, render.csv_field)
    out.seek(0)
    assert pd.read_parquet(out).empty
