"""A study in a file: what comes back, what goes on, and what is refused."""

import json
import math
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from actcompare.errors import ActcompareError
from actcompare.studies.records import CellResult, Outcome
from actcompare.studies.store import Store
from actcompare.training.records import Score
from tests.studies.runs import config, failure, result
from tests.training.runs import ENVIRONMENT

CELLS: list[Outcome] = [
    result("relu", 0, 0.9),
    replace(result("relu", 1, 0.8, diverged=3), test=Score(math.inf, math.nan)),
    failure("softplus"),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with Store(tmp_path / "study.db") as store:
        store.begin(config(), ENVIRONMENT, "accuracy")
        store.add(CELLS)
    return tmp_path / "study.db"


def test_all_of_it_comes_back(path: Path) -> None:
    with Store(path) as store:
        assert store.config() == config()
        assert store.environment() == ENVIRONMENT
        assert store.metric() == "accuracy"
        one, two, three = store.outcomes()
    assert (one, three) == (CELLS[0], CELLS[2])
    assert repr(two) == repr(CELLS[1])  # NaN is not equal to itself


def test_files_that_do_not_know_waits_are_read_and_extended(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("ALTER TABLE cells DROP COLUMN waited_share")
    waited = replace(result("relu", 5, 0.7), waited_share=0.5)
    with Store(path) as store:
        assert store.outcomes()[0] == CELLS[0]
        store.begin(config(), ENVIRONMENT, "accuracy")
        store.add([waited])
        assert store.outcomes()[-1] == waited


def test_pandas_and_sqlite_read_it(path: Path) -> None:
    with sqlite3.connect(path) as db:
        cells = pd.read_sql("SELECT * FROM cells", db)
        curves = pd.read_sql("SELECT * FROM curves WHERE seed = 0", db)
    assert list(cells["test_metric"].head(1)) == [0.9]
    assert list(cells["error"])[2] == "it broke"
    assert list(curves["validation_metric"]) == [0.1, 0.5, 0.9]


def test_a_file_of_an_earlier_version_is_read_and_continued(path: Path) -> None:
    with sqlite3.connect(path) as db:
        for name in ("test_rows", "test_scores", "guess_metric"):
            db.execute(f"ALTER TABLE cells DROP COLUMN {name}")
    with Store(path) as store:
        assert store.outcomes()[0] == replace(result("relu", 0, 0.9), outcomes=None)
        store.begin(config(), ENVIRONMENT, "accuracy")
        store.add([result("relu", 5, 0.7)])
        assert store.outcomes()[-1] == result("relu", 5, 0.7)


@pytest.mark.parametrize("column", ["test_rows", "test_scores"])
@pytest.mark.parametrize("value", [b"", b"1", "text", 5])
def test_damaged_outcomes_are_told(path: Path, column: str, value: object) -> None:
    with Store(path) as store:
        store._db.execute(f"UPDATE cells SET {column} = ? WHERE seed = 0", (value,))
        with pytest.raises(ActcompareError, match="is damaged"):
            store.outcomes()


def test_others_read_while_it_is_written(path: Path) -> None:
    with Store(path) as store, sqlite3.connect(path) as db:
        store.add([result("relu", 5, 0.7)])
        assert db.execute("SELECT count(*) FROM cells").fetchone() == (4,)


def test_a_run_that_is_done_again_takes_the_place_of_the_failed_one(path: Path) -> None:
    with Store(path) as store:
        store.add([result("softplus", 0, 0.9)])
        assert not any(type(each).__name__ == "Failure" for each in store.outcomes())


def test_more_seeds_and_activations_extend_it(path: Path) -> None:
    with Store(path) as store:
        store.begin(config("gelu", "relu", seeds=3, margin=0.5), ENVIRONMENT, "accuracy")
        merged = store.config()
    assert merged == config("relu", "softplus", "gelu", seeds=8, margin=0.5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lrs": (0.1, 0.3)}, "lrs 0.1, not 0.1, 0.3"),
        ({"depths": (2,)}, "depths 1, not 2"),
        ({"fingerprint": "g"}, "fingerprint f, not g"),
        ({"training": replace(config().net, epochs=9)}, "epochs 2, not 9"),
        ({"training": replace(config().net, seed=9)}, "seed 0, not 9"),
    ],
)
def test_another_study_is_refused_by_name(
    path: Path, changes: dict[str, Any], message: str
) -> None:
    with Store(path) as store, pytest.raises(ActcompareError, match=message):
        store.begin(config(**changes), ENVIRONMENT, "accuracy")


def test_one_writes_and_the_other_is_told(path: Path) -> None:
    with Store(path), pytest.raises(ActcompareError, match="another study is writing"):
        Store(path).__enter__()
    with Store(path):
        pass


def test_what_is_no_study(tmp_path: Path, path: Path) -> None:
    text = tmp_path / "text.db"
    text.write_text("not a database, but a text that is long enough to be looked at" * 20)
    with pytest.raises(ActcompareError, match="damaged or not a study"):
        Store(text).__enter__()
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE t (x)")
    with pytest.raises(ActcompareError, match="was not written by"):
        Store(other).__enter__()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(ActcompareError, match="format 99"):
        Store(path).__enter__()
    with pytest.raises(ActcompareError, match="it is a folder"):
        Store(tmp_path).__enter__()
    with pytest.raises(ActcompareError, match="cannot write"):
        Store(tmp_path / "no" / "where.db").__enter__()


def test_a_damaged_file_is_told(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(ActcompareError, match="damaged"), Store(path) as store:
        store.outcomes()


def test_a_broken_transaction_leaves_what_was_there(path: Path) -> None:
    with Store(path) as store:
        bad = replace(result("relu", 6, 0.5), step_s=object())  # type: ignore[arg-type]
        before = store.outcomes()
        with pytest.raises((ActcompareError, sqlite3.Error)):
            store.add([result("relu", 5, 0.5), bad])
        assert repr(store.outcomes()) == repr(before)  # NaN is not equal to itself
        store.add([result("relu", 5, 0.5)])
        assert len(store.outcomes()) == len(before) + 1


def test_what_fails_is_named(path: Path) -> None:
    with Store(path) as store:
        store._db.execute("DROP TABLE curves")
        with pytest.raises(ActcompareError, match=r"cannot read .*: no such table: curves$"):
            store.outcomes()
        with pytest.raises(ActcompareError, match="its earlier content is unchanged"):
            store.add([result("relu", 5, 0.5)])


def test_a_fault_of_ours_is_not_called_damage(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store(path) as store:
        store._db.execute("UPDATE study SET value = '{' WHERE key = 'config'")
        with pytest.raises(ActcompareError, match="damaged"):
            store.config()
        monkeypatch.setattr(CellResult, "row", lambda _: dict[str, int]()["units"])
        with pytest.raises(KeyError, match="units"):
            store.add([result("relu", 5, 0.5)])


def begun(store: Store) -> Store:
    store.begin(config(), ENVIRONMENT, "accuracy")
    return store


def test_a_study_without_runs_leaves_nothing(tmp_path: Path) -> None:
    with Store(tmp_path / "s.db") as store:
        begun(store)
        assert store.config() == config()
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_the_users_with_the_name_of_a_lock_is_left(tmp_path: Path) -> None:
    (tmp_path / ".s.db.lock").write_text("mine")
    with Store(tmp_path / "s.db") as store:
        begun(store)
    assert (tmp_path / ".s.db.lock").read_text() == "mine"


def test_a_link_that_changes_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "one.db")
    with Store(tmp_path / "link") as store:
        begun(store).add(CELLS)
        (tmp_path / "link").unlink()
        with pytest.raises(ActcompareError, match="was removed, moved or replaced"):
            store.add(CELLS)


def make_empty(path: Path) -> None:
    path.touch()


def make_without_tables(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA journal_mode = WAL")
    db.close()


def make_killed(path: Path) -> None:
    """As a process leaves it that is killed before the first transaction is committed."""
    code = f"""
import os, sqlite3
db = sqlite3.connect({str(path)!r}, isolation_level=None)
db.execute("PRAGMA journal_mode = WAL")
db.execute("BEGIN IMMEDIATE")
db.execute("CREATE TABLE study (key)")
os._exit(9)
"""
    subprocess.run([sys.executable, "-c", code], check=False)
    assert path.with_name("s.db-wal").exists()


@pytest.mark.parametrize("make", [make_empty, make_without_tables, make_killed])
def test_a_database_without_tables_is_new(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "s.db")
    with Store(tmp_path / "s.db", only_shown=True) as store:
        assert store.config() is None
    with Store(tmp_path / "s.db") as store:
        begun(store).add(CELLS)
    with Store(tmp_path / "s.db") as store:
        assert len(store.outcomes()) == len(CELLS)


def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    with Store(tmp_path / "s.db") as store:
        begun(store)
        (tmp_path / "s.db").write_text("of another program" * 99)
        with pytest.raises(ActcompareError, match="not a study"):
            store.add(CELLS)
        assert (tmp_path / "s.db").read_text() == "of another program" * 99
        (tmp_path / "s.db").unlink()
        with sqlite3.connect(tmp_path / "s.db") as db:
            db.execute("CREATE TABLE t (x)")
        with pytest.raises(ActcompareError, match="was created by another program"):
            store.add(CELLS)
        assert len(store.outcomes()) == len(CELLS)  # nothing is lost here


def replaced(path: Path) -> None:
    shutil.copy(path, path.with_name("other"))
    path.with_name("other").replace(path)


@pytest.mark.parametrize(
    "lose",
    [
        Path.unlink,
        replaced,
        lambda path: path.rename(path.with_name("moved")),
        lambda path: path.with_name("study.db-wal").unlink(),
        lambda path: path.parent.rename(path.parent.with_name("elsewhere")),
    ],
    ids=["removed", "replaced", "moved", "without its log", "in a folder that moved"],
)
@pytest.mark.parametrize("new", [True, False])
def test_a_file_that_leaves_its_place_is_noticed(
    tmp_path: Path, lose: Callable[[Path], object], new: bool
) -> None:
    path = tmp_path / "in" / "study.db"
    path.parent.mkdir()
    with Store(path) as store:
        begun(store).add(CELLS)
        if new:
            lose(path)
            with pytest.raises(ActcompareError, match="was removed, moved or replaced"):
                store.add(CELLS)
    if new:
        return
    with Store(path) as store:
        lose(path)
        with pytest.raises(ActcompareError, match="was removed, moved or replaced"):
            begun(store)
        with pytest.raises(ActcompareError, match="was removed, moved or replaced"):
            store.outcomes()


@pytest.mark.parametrize("busy", [True, False])
def test_it_is_shown_where_nothing_can_be_written(
    path: Path, monkeypatch: pytest.MonkeyPatch, busy: bool
) -> None:
    with Store(path) if busy else nullcontext() as store:
        if store is not None:
            store.add([result("relu", 5, 0.7)])
        before = sorted(path.parent.iterdir())
        monkeypatch.setattr("os.access", lambda *_: False)
        with Store(path, only_shown=True) as shown:
            assert len(shown.outcomes()) == len(CELLS) + busy
        monkeypatch.undo()
        assert sorted(path.parent.iterdir()) == before


def test_what_a_killed_writer_left_in_its_log_is_shown(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = path.parent / "read-only"
    copies.mkdir()
    with Store(path) as store:
        store.add([result("relu", 5, 0.7)])
        for name in ("study.db", "study.db-wal"):
            shutil.copy(path.with_name(name), copies / name)
    monkeypatch.setattr("os.access", lambda *_: False)
    with Store(copies / "study.db", only_shown=True) as shown:
        assert len(shown.outcomes()) == len(CELLS) + 1
    assert len(list(copies.iterdir())) == 2


def test_it_is_shown_while_a_study_writes(path: Path) -> None:
    with Store(path) as store, Store(path, only_shown=True) as shown:
        store.add([result("relu", 5, 0.7)])
        assert len(shown.outcomes()) == len(CELLS) + 1


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for only_shown, message in ((False, "it is a device or a pipe"), (True, "it is not a file")):
        with pytest.raises(ActcompareError, match=message):
            Store(tmp_path / "pipe", only_shown=only_shown).__enter__()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            "UPDATE cells SET seed = -1 - seed",
            "cell.seed should be greater than or equal to 0, not -1",
        ),
        ("UPDATE cells SET units = 'many'", "0.units should be a valid integer, not 'many'"),
        ("UPDATE cells SET zero_dead = 99", "0: a verdict applies to more than the 20 units"),
        ("UPDATE cells SET zero_dead = NULL", "0.verdicts.zero_dead should be a valid integer"),
        ("UPDATE cells SET lr = 9e999", "cell.lr should be finite, not inf"),
        ("UPDATE cells SET test_loss = x'ff'", "0.test.loss should be a valid number"),
        ("UPDATE curves SET epoch = epoch + 9", "the epochs of a curve are not 0, 1, 2"),
        ("UPDATE cells SET test_metric = 1e300", "a metric is not between 0 and 1"),
        ("DELETE FROM curves", "0.curve should not be empty"),
        ("ALTER TABLE cells DROP COLUMN units", "a column is missing"),
    ],
)
def test_a_changed_row_is_told_with_its_field(path: Path, change: str, said: str) -> None:
    with Store(path) as store:
        store._db.execute(change)
        with pytest.raises(ActcompareError, match=f"is damaged: .*{said}.*: choose another file"):
            store.outcomes()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seeds": 10**18}, "runs are more than the 1,000,000 of a study"),
        ({"lrs": [0.1, 0.1]}, "a value is given twice: 0.1, 0.1"),
        ({"activations": []}, "activations should not be empty"),
        ({"margin": "wide"}, "margin should be a valid number, not 'wide'"),
        ({"more": 1}, "more is unknown"),
    ],
)
def test_changed_settings_are_told(path: Path, changes: dict[str, Any], said: str) -> None:
    with Store(path) as store:
        text = json.dumps(asdict(config()) | changes)
        store._db.execute("UPDATE study SET value = ? WHERE key = 'config'", (text,))
        with pytest.raises(ActcompareError, match=f"is damaged: .*{said}"):
            store.config()


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("CREATE VIEW v AS SELECT 1", "it has a view, v"),
        ("CREATE TRIGGER t AFTER INSERT ON cells BEGIN SELECT 1; END", "it has a trigger, t"),
    ],
)
def test_no_sql_of_the_file_is_run(path: Path, statement: str, said: str) -> None:
    with sqlite3.connect(path) as db:
        db.execute(statement)
    with pytest.raises(ActcompareError, match=said):
        Store(path).__enter__()


def test_an_unknown_metric_is_told(path: Path) -> None:
    with Store(path) as store:
        store._db.execute("UPDATE study SET value = 'luck' WHERE key = 'metric'")
        with pytest.raises(ActcompareError, match=r"its metric should be accuracy or R\^2"):
            store.metric()
