from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actcompare.errors import UsageError
from actcompare.output.gates import parse_gate, tripped

COLUMNS = ("median_s", "ratio", "ratio_low", "peak_bytes")


def row(**changes: Any) -> dict[str, Any]:
    return {"median_s": 1e-3, "ratio": 1.1, "ratio_low": 1.05, "verdict": "slower"} | changes


@pytest.mark.parametrize(
    ("text", "trips"),
    [
        ("median_s>0.0009", True),
        ("median_s > 1e-3", False),
        ("median_s>=1e-3", True),
        ("ratio<1.2", True),
        ("ratio<=1", False),
        ("ratio>110%", False),
        ("ratio>=110%", True),
        ("slower>3%", True),
        ("slower>0.03", True),
        ("slower>5%", False),
        ("slower>=20%", False),
    ],
)
def test_conditions(text: str, trips: bool) -> None:
    assert parse_gate(text, COLUMNS).trips(row()) is trips


def test_nan_trips_and_a_missing_number_is_not_judged() -> None:
    for text in ("ratio<0.5", "ratio>0.5"):
        assert parse_gate(text, COLUMNS).trips(row(ratio=float("nan")))
        assert not parse_gate(text, COLUMNS).judges(row(ratio=None))


def indices(text: str, *rows: dict[str, Any]) -> list[int | None]:
    gate = parse_gate(text, COLUMNS, ["better", "worse"])
    columns = {name: [each[name] for each in rows] for name in rows[0]} if rows else {}
    return [i for _, i in tripped([gate], columns)]


def test_a_gate_that_judged_nothing_trips() -> None:
    fine, unknown = row(), row(ratio=None)
    baseline, failed = row(verdict="baseline", ratio=1.0), row(verdict="failed", ratio=None)
    assert indices("ratio>9", fine, unknown, baseline) == []
    assert indices("ratio>9") == indices("ratio>9", unknown) == [None]
    assert indices("ratio>9", baseline) == indices("slower>3%", baseline) == [None]
    assert indices("median_s>9", baseline) == []
    for verdict in ("failed", "not run"):
        assert indices("ratio>9", fine, failed | {"verdict": verdict}) == [1]
        assert indices("verdict==worse", baseline, failed | {"verdict": verdict}) == [1]


def test_a_verdict_can_be_a_condition() -> None:
    rows = [row(verdict=verdict) for verdict in ("baseline", "worse", "better")]
    assert indices("verdict==worse", *rows) == indices(" verdict != better ", *rows) == [1]
    busy = [row(verdict=verdict) for verdict in ("unclear (machine busy)", "better")]
    gate = parse_gate("verdict==unclear", COLUMNS, ("better", "unclear"))
    assert [gate.trips(each) for each in busy] == [True, False]
    with pytest.raises(UsageError, match="no verdict slow; use one of better, worse"):
        indices("verdict==slow", *rows)


@pytest.mark.parametrize("verdict", ["faster", "same", "unclear", "failed", "baseline"])
def test_slower_takes_a_verdict(verdict: str) -> None:
    assert not parse_gate("slower>3%", COLUMNS).trips(row(verdict=verdict))


@pytest.mark.parametrize(
    "text",
    [
        "", "slower", "slower>", ">3", "slower>3%%", "slower=3", "slower==3%", "slower<3%", "foo>1",
        "ratio>nan", "ratio>one", "ratio>1 2", "3%<slower", "verdict>1", "ratio>1;ratio>2",
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told(text: str) -> None:
    with pytest.raises(UsageError, match="--fail-on"):
        parse_gate(text, COLUMNS)


def test_slower_goes_with_ratios_only() -> None:
    with pytest.raises(UsageError, match="no column slower; use one of zero_dead"):
        parse_gate("slower>3%", ["zero_dead"])


@given(st.sampled_from(COLUMNS), st.sampled_from([">", ">=", "<", "<="]), st.floats(-1e9, 1e9))
def test_any_column_and_number_can_be_written(column: str, sign: str, number: float) -> None:
    gate = parse_gate(f"{column}{sign}{number!r}", COLUMNS)
    assert (gate.column, gate.sign, gate.bound) == (column, sign, number)


def test_every_row_that_trips_is_found() -> None:
    gates = [parse_gate("ratio>1", COLUMNS), parse_gate("median_s<0", COLUMNS)]
    columns: dict[str, list[Any]] = {"ratio": [0.5, 1.5, None, 2.0], "median_s": [1, 2, 3, 4]}
    assert tripped(gates, columns) == [(gates[0], 1), (gates[0], 3)]
    assert tripped(gates, {}) == [(gates[0], None), (gates[1], None)]


LAYERS: dict[str, list[Any]] = {
    "layer": ["blocks.0.mlp / gelu:approximate=tanh", "blocks.1.mlp / relu", "head / relu"],
    "zero_dead_share": [0.0, 0.3, 0.9],
}


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("zero_dead_share>20%", [1, 2]),
        ("blocks.*:zero_dead_share>20%", [1]),
        ("*relu : zero_dead_share>20%", [1, 2]),
        ("blocks.0*:zero_dead_share>20%", []),
        ("blocks.0.mlp / gelu:approximate=tanh:zero_dead_share<=0", [0]),
        ("nowhere.*:zero_dead_share>20%", [None]),
    ],
)
def test_a_gate_may_name_layers(text: str, rows: list[int | None]) -> None:
    gate = parse_gate(text, ["zero_dead_share"], of_layers=True)
    assert [i for _, i in tripped([gate], LAYERS)] == rows


def test_only_layers_have_patterns() -> None:
    with pytest.raises(UsageError, match="write COLUMN OP NUMBER"):
        parse_gate("blocks.*:ratio>1", COLUMNS)
