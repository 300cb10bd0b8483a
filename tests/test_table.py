"""The one tabular value."""

import numpy as np
import pytest

import actcompare
from actcompare.table import Table

RECORDS: list[dict[str, str | float | None]] = [
    {"name": "relu", "mean": 0.5},
    {"name": "softplus", "mean": None},
]


def test_records_become_columns_and_records_again() -> None:
    table = Table.of(RECORDS)
    assert table == {"name": ["relu", "softplus"], "mean": [0.5, None]}
    assert table.records == RECORDS
    assert list(table.frame()["name"]) == ["relu", "softplus"]


def test_nothing_is_a_table_without_columns() -> None:
    assert not Table.of([])
    assert Table.of([]).records == []


def test_it_cannot_be_changed() -> None:
    columns = {"x": [1, 2]}
    table = Table(columns)
    columns["y"] = [3, 4]
    assert list(table) == ["x"]
    with pytest.raises(TypeError):
        table["x"] = [3]  # type: ignore[index]


def test_a_result_makes_its_table_once_and_shows_it_in_notebooks() -> None:
    result = actcompare.evaluate([-2.0, 0.0, 5.0])
    assert result.columns() is result.table is result.columns()
    assert np.array_equal(result.frame()["value"], result.table["value"])
    assert "softplus" in result._repr_html_()
