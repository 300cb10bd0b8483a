import csv
import io
import itertools
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actcompare.benchmark.changes import compare_runs
from actcompare.benchmark.tables import cost_grid
from actcompare.evaluation.tables import evaluation_grid, keep_ends
from actcompare.output.render import (
    Grid,
    cell,
    write_csv,
    write_json,
    write_markdown,
    write_prose,
    write_table,
)
from actcompare.table import Columns, Table
from actcompare.training.tables import course_grid, score_grid, unit_grid
from tests.benchmark.runs import CASE, benchmark
from tests.training.runs import layer, training

GOLDEN = Path(__file__).parent.parent / "golden"
NASTY = ["plain", "a,b", 'say "hi"', "line\nbreak", "pipe|d", "[bold]no markup[/]", "", "λ"]


def csv_of(*chunks: Columns) -> str:
    out = io.StringIO()
    write_csv(chunks, out)
    return out.getvalue()


@given(st.lists(st.floats()))
def test_csv_keeps_every_bit(numbers: list[float]) -> None:
    text = csv_of({"x": np.array(numbers, dtype=np.float64)})
    read = [float(line) for line in text.splitlines()[1:]]
    np.testing.assert_array_equal(read, numbers)


def test_csv_fields() -> None:
    text = csv_of(
        {"s": NASTY, "x": [1.5, None, math.nan, math.inf, -math.inf, True, False, 3]},
        {"s": ["second chunk"], "x": [-0.0]},
    )
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0] == ["s", "x"]
    assert [row[0] for row in rows[1:]] == [*NASTY, "second chunk"]
    expected = ["1.5", "", "NaN", "Infinity", "-Infinity", "true", "false", "3", "-0.0"]
    assert [row[1] for row in rows[1:]] == expected
    read = pd.read_csv(io.StringIO(csv_of({"x": [math.inf, -math.inf, math.nan]})))
    assert str(read["x"].tolist()) == "[inf, -inf, nan]"


def test_json_is_one_strict_object() -> None:
    out = io.StringIO()
    chunks = [{"s": NASTY, "x": np.linspace(0, 1, 8)}, {"s": ["end"], "x": [math.nan]}]
    write_json({"command": "it", "config": {"low": -math.inf}}, chunks, out, lambda: {"more": []})

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    read = json.loads(out.getvalue(), parse_constant=refuse)
    assert list(read) == ["command", "config", "rows", "more"]
    assert read["config"] == {"low": "-Infinity"}
    assert [row["s"] for row in read["rows"]] == [*NASTY, "end"]
    assert [row["x"] for row in read["rows"]] == [*np.linspace(0, 1, 8).tolist(), "NaN"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "n/a"), (True, "yes"), (False, "no"), (3, "3"), (2.0, "2"), (-0.0, "-0"),
     (0.1234567891, "0.123457"), (16777216.0, "16777216"), (1e300, "1e+300"), (math.inf, "inf"),
     (-math.inf, "-inf"), (math.nan, "nan"), ("s", "s")],
)  # fmt: skip
def test_cells(value: object, text: str) -> None:
    assert cell(value, 6) == text


WIDE = Grid(
    ["key", *[f"column {i}" for i in range(12)]],
    [["first", *["0.1234567"] * 12], ["second", *["[bold]x[/]"] * 12]],
    group=3,
)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "PY_COLORS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "60")
    return Terminal()


def test_off_a_terminal_a_table_is_whole_and_plain() -> None:
    out = io.StringIO()
    write_table(WIDE, out)
    text = out.getvalue()
    assert "\x1b" not in text
    assert len(text.splitlines()) == 6
    assert text.count("column") == 12
    assert text.count("[bold]x[/]") == 12


def test_on_a_terminal_a_table_is_split_to_fit(terminal: Terminal) -> None:
    write_table(WIDE, terminal)
    text = terminal.getvalue()
    assert "\x1b[1;36m" in text
    assert text.count("key") == 4  # groups of three columns, one to a piece
    assert text.count("0.1234567") == 12


def test_no_color_is_honoured(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    write_table(WIDE, terminal)
    assert "\x1b[1m" in terminal.getvalue()
    assert "36m" not in terminal.getvalue()


def test_without_utf8_a_table_is_ascii(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    with path.open("w", encoding="ascii") as out:
        write_table(WIDE, out)
    assert "0.1234567" in path.read_text(encoding="ascii")


def test_golden() -> None:
    columns = {
        "x": [-2.0, -2.0, 0.1, 0.1],
        "activation": ["relu", "a|b"] * 2,
        "value": [0.0, 0.1269280, 0.1, 0.7443967],
        "grad": [0.0, None, 1.0, math.nan],
    }
    grid = evaluation_grid(columns, ["relu", "a|b"], "float32")
    out = io.StringIO()
    write_table(grid, out)
    out.write("\n")
    write_markdown(grid, out)
    assert out.getvalue() == (GOLDEN / "tables.txt").read_text(encoding="utf-8")


@given(st.lists(st.integers(1, 60), min_size=1, max_size=6), st.integers(1, 3))
def test_ends_are_kept(lengths: list[int], k: int) -> None:
    n = sum(lengths)
    x = np.repeat(np.arange(n, dtype=np.float64), k)
    edges = np.cumsum([0, *lengths]) * k
    chunks = ({"x": x[a:b]} for a, b in itertools.pairwise(edges))
    kept, total = keep_ends(chunks, k)
    assert total == n
    expected = x if n <= 40 else np.concatenate([x[: 20 * k], x[-20 * k :]])
    assert kept["x"] == expected.tolist()


def test_golden_costs() -> None:
    step = replace(CASE, pass_="step", shape=(128, 64))
    parts = [
        benchmark(),
        benchmark(case=step, cost={"traffic_bytes": None, "compile_s": 2.5, "over_identity": 1.1}),
        benchmark(case=replace(CASE, shape=(20, 50)), rounds=3),
    ]
    run = replace(parts[0], measurements=tuple(m for part in parts for m in part.measurements))
    out = io.StringIO()
    write_table(cost_grid(run.columns(), run.environment.as_dict()), out)
    write_prose(run.reading(), out)
    changes = compare_runs(parts[0], benchmark(softplus=2.2e-3, seed=1))
    write_table(cost_grid(changes.columns(), run.environment.as_dict()), out)
    write_prose(changes.reading(), out)
    assert out.getvalue() == (GOLDEN / "costs.txt").read_text(encoding="utf-8")


def test_golden_training() -> None:
    dead = layer(zero_dead=range(3), gradient_dead=range(4), dormant=range(5))
    run = training(dead, layer("hidden2", constant=[7]))
    first = Table.of([one.row() for one in run.history[0].layers])
    out = io.StringIO()
    for grid in (
        score_grid(run.metrics(), run.data.samples),
        unit_grid(first, run.columns()),
        course_grid(run.course(), run.metric),
    ):
        write_table(grid, out)
    write_prose(run.reading(), out)
    assert out.getvalue() == (GOLDEN / "training.txt").read_text(encoding="utf-8")


HOSTILE = "\x1b]0;title\x07\u202e\x9b2J\nrow"


def test_control_characters_reach_neither_tables_nor_prose(terminal: Terminal) -> None:
    grid = Grid([HOSTILE, "x" * 20_000], [[HOSTILE, "y"]], caption=HOSTILE)
    for out in (io.StringIO(), terminal):
        write_table(grid, out)
        write_markdown(grid, out)
        write_prose(HOSTILE, out)
        text = re.sub(r"\x1b\[[\d;]*m", "", out.getvalue())  # rich's colours
        assert text.replace("\n", "").isprintable()
        assert "x" * 1000 not in text


def test_csv_keeps_control_characters_but_on_a_terminal(terminal: Terminal) -> None:
    columns = {"s": [HOSTILE]}
    assert next(csv.DictReader(io.StringIO(csv_of(columns), newline="")))["s"] == HOSTILE
    write_csv([columns], terminal)
    assert terminal.getvalue().replace("\n", "").isprintable()
