"""A study in one SQLite file, from which an interrupted study resumes.

study   key, value: `config` and `environment` (JSON), and `metric` (accuracy or R^2)
cells   one row per run, keyed by activation, depth, hidden, lr and seed: train_loss to test_metric
        of the final state, diverged_epoch (null if the run did not diverge), the number of units
        per verdict, and step_s. A failed run has only an error.
curves  one row per run and epoch: the validation metric

NaN losses and metrics are stored as null. The file uses write-ahead logging, so that others can
read it while a study writes; every group of runs is one transaction. A lock on an empty hidden file
beside it, `.NAME.lock`, keeps two studies from writing at once; that file is not removed.
"""

import json
import math
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from filelock import BaseFileLock

from actcompare.errors import ActcompareError
from actcompare.files.locks import locked
from actcompare.files.saved import checked
from actcompare.files.writing import check_writable
from actcompare.machine.environment import Environment
from actcompare.studies.records import METRICS, Failure, Outcome, StudyConfig
from actcompare.units.statistics import VERDICTS

T = TypeVar("T")

APPLICATION_ID = 0x61637473  # "acts"

VERSION = 1

_KEY = ("activation", "depth", "hidden", "lr", "seed")

_SCORES = [f"{part}_{of}" for part in ("train", "validation", "test") for of in ("loss", "metric")]

_NUMBERS = (*_SCORES, "diverged_epoch", "units", *VERDICTS, "step_s")

_SCHEMA = f"""
CREATE TABLE study (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE cells (
    activation TEXT NOT NULL, depth INTEGER NOT NULL, hidden INTEGER NOT NULL, lr REAL NOT NULL,
    seed INTEGER NOT NULL,
    {", ".join(f"{name} REAL" for name in _SCORES)},
    diverged_epoch INTEGER, units INTEGER,
    {", ".join(f"{name} INTEGER" for name in VERDICTS)},
    step_s REAL, error TEXT,
    PRIMARY KEY ({", ".join(_KEY)})
);
CREATE TABLE curves (
    activation TEXT NOT NULL, depth INTEGER NOT NULL, hidden INTEGER NOT NULL, lr REAL NOT NULL,
    seed INTEGER NOT NULL, epoch INTEGER NOT NULL, validation_metric REAL,
    PRIMARY KEY ({", ".join(_KEY)}, epoch)
);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
"""


class Store:
    """File of one study, locked while it is open."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock: BaseFileLock | None = None

    def __enter__(self) -> "Store":
        """Open or create the file.

        Raises:
            ActcompareError: Another study is writing to the file, or it cannot be read or written,
                is damaged, or is not a study.
        """
        check_writable(self.path)
        self._lock = locked(self._lock_file(), self.path, "study", "file")
        try:
            with self._trying_to("read"):
                self._open()
        except BaseException:
            self._unlock()
            raise
        return self

    def _open(self) -> None:
        new = not self.path.exists() or self.path.stat().st_size == 0
        self._db = sqlite3.connect(self.path, timeout=10, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        if new:
            self._db.execute("PRAGMA journal_mode = WAL")
            with self._transaction():
                for statement in _SCHEMA.strip().split(";\n"):
                    self._db.execute(statement)
        (application,) = self._db.execute("PRAGMA application_id").fetchone()
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if application != APPLICATION_ID:
            raise ActcompareError(f"{self.path} was not written by `actcompare study --store`")
        if version != VERSION:
            raise ActcompareError(
                f"{self.path} has format {version}, but this actcompare reads format {VERSION}:"
                " use the actcompare that wrote it, or choose another file"
            )
        for kind, name in self._db.execute("SELECT type, name FROM sqlite_master"):
            if kind not in ("table", "index"):  # reading a view runs its SQL
                raise sqlite3.DatabaseError(f"it has a {kind}, {name}")
        (state,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
        if state != "ok":
            raise sqlite3.DatabaseError(state)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        empty = False
        with suppress(ActcompareError):
            empty = kind is not None and self._value("config") is None
        self._db.close()
        if empty:  # leave no file without results
            self.path.unlink(missing_ok=True)
            self._lock_file().unlink(missing_ok=True)
        self._unlock()

    def _lock_file(self) -> Path:
        """Return the hidden lock file beside the store, links resolved."""
        real = self.path.resolve()
        return real.with_name(f".{real.name}.lock")

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.release()

    @contextmanager
    def _trying_to(self, verb: str) -> Iterator[None]:
        """Turn SQLite's errors into messages that say what to do."""
        try:
            yield
        except sqlite3.OperationalError as error:
            kept = "; its earlier content is unchanged" if verb == "write" else ""
            raise ActcompareError(f"cannot {verb} {self.path}: {error}{kept}") from error
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            raise ActcompareError(
                f"{self.path} is damaged or not a study ({error}): choose another file"
            ) from error

    def _damaged(self, why: object) -> ActcompareError:
        return ActcompareError(f"{self.path} is damaged: {why}: choose another file")

    def _parsed(self, text: str) -> Any:
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise self._damaged(error) from error

    def _checked(self, kind: type[T], content: Any) -> T:
        return checked(kind, content, self.path, "choose another file")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._db.in_transaction:  # a full disk has already rolled it back
                self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    # --- reading ---------------------------------------------------------------------------------

    def _value(self, key: str) -> str | None:
        with self._trying_to("read"):
            row = self._db.execute("SELECT value FROM study WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row["value"])

    def config(self) -> StudyConfig | None:
        """Return the config of the stored study, or None for a new file."""
        text = self._value("config")
        if text is None:
            return None
        return self._checked(StudyConfig, self._parsed(text))

    def environment(self) -> Environment | None:
        """Return the environment of the first runs, or None for a new file."""
        text = self._value("environment")
        return None if text is None else self._checked(Environment, self._parsed(text))

    def metric(self) -> str:
        """Return the name of the runs' metric."""
        metric = self._value("metric")
        if metric not in METRICS:
            raise self._damaged(f"its metric should be {' or '.join(METRICS)}")
        return metric

    def outcomes(self) -> list[Outcome]:
        """Return every run, in the order of storage."""
        with self._trying_to("read"):
            points = self._db.execute("SELECT * FROM curves ORDER BY rowid").fetchall()
            rows = self._db.execute("SELECT * FROM cells ORDER BY rowid").fetchall()
        curves: dict[tuple[Any, ...], list[Any]] = {}
        try:
            for row in points:
                curve = curves.setdefault(_key(row), [])
                if row["epoch"] != len(curve):
                    raise self._damaged("the epochs of a curve are not 0, 1, 2 and so on")
                curve.append(_number(row["validation_metric"]))
            plain = [_plain(row, curves.get(_key(row), [])) for row in rows]
        except IndexError as error:  # sqlite3.Row's
            raise self._damaged("a column is missing") from error
        found = self._checked(tuple[Outcome, ...], plain)
        low = 0.0 if self._value("metric") == METRICS[0] else -math.inf
        if not all(_is_within(outcome, low) for outcome in found):
            raise self._damaged(f"a metric is not between {low:g} and 1")
        return list(found)

    # --- writing ---------------------------------------------------------------------------------

    def check(self, config: StudyConfig) -> None:
        """Check that the study is new here, or differs at most in seeds, activations and margin.

        Raises:
            ActcompareError: The file holds another study; the message names the difference.
        """
        old = self.config()
        differ = what_differs(old, config) if old is not None else ""
        if differ:
            raise ActcompareError(
                f"{self.path} holds a study with {differ}: use its settings, or choose another file"
            )

    def begin(self, config: StudyConfig, environment: Environment, metric: str) -> None:
        """Start or extend a study.

        Raises:
            ActcompareError: The file holds another study, or cannot be written.
        """
        self.check(config)
        old = self.config()
        if old is not None:
            more = [act for act in config.activations if act not in old.activations]
            config = replace(
                old,
                activations=(*old.activations, *more),
                seeds=max(old.seeds, config.seeds),
                margin=config.margin,
            )
        content = {"config": json.dumps(asdict(config))}
        if old is None:
            content |= {"environment": json.dumps(environment.as_dict()), "metric": metric}
        with self._trying_to("write"), self._transaction():
            self._db.executemany("INSERT OR REPLACE INTO study VALUES (?, ?)", content.items())

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """Store runs, all or none.

        Raises:
            ActcompareError: The file cannot be written.
        """
        columns = (*_KEY, *_NUMBERS, "error")
        rows, points = [], []
        for outcome in outcomes:
            record: dict[str, Any] = dict.fromkeys(columns) | asdict(outcome.cell)
            if isinstance(outcome, Failure):
                record["error"] = outcome.error
            else:
                record |= outcome.row()
                key = [record[name] for name in _KEY]
                points += [(*key, epoch, value) for epoch, value in enumerate(outcome.curve)]
            rows.append([record[name] for name in columns])
        marks = ", ".join("?" * len(columns))
        with self._trying_to("write"), self._transaction():
            self._db.executemany(
                f"INSERT OR REPLACE INTO cells ({', '.join(columns)}) VALUES ({marks})", rows
            )
            self._db.executemany(
                "INSERT OR REPLACE INTO curves VALUES (?, ?, ?, ?, ?, ?, ?)", points
            )


def what_differs(old: StudyConfig, new: StudyConfig) -> str:
    """Describe the differences between two studies; empty if they are the same study.

    Seeds, activations and margin may differ within one study.
    """
    before, after = _settings(old), _settings(new)
    changes = [
        f"{name} {_said(before[name])}, not {_said(after[name])}"
        for name in before
        if before[name] != after[name]
    ]
    return "; ".join(changes)


def _settings(config: StudyConfig) -> dict[str, Any]:
    plain = config.as_dict()
    for name in ("activations", "seeds", "margin"):
        del plain[name]
    return plain


def _said(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _key(row: sqlite3.Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in _KEY)


def _plain(row: sqlite3.Row, curve: Sequence[float]) -> dict[str, Any]:
    """Return a row of `cells` in the structure of an `Outcome`."""
    cell = {name: row[name] for name in _KEY}
    if row["error"] is not None:
        return {"cell": cell, "error": row["error"]}
    scores = {
        part: {of: _number(row[f"{part}_{of}"]) for of in ("loss", "metric")}
        for part in ("train", "validation", "test")
    }
    verdicts = {verdict: row[verdict] for verdict in VERDICTS}
    more = {name: row[name] for name in ("diverged_epoch", "units", "step_s")}
    return {"cell": cell, "verdicts": verdicts, "curve": curve} | scores | more


def _is_within(outcome: Outcome, low: float) -> bool:
    """Return whether the metrics of a run are NaN or from `low` to 1."""
    if isinstance(outcome, Failure):
        return True
    metrics = (outcome.train.metric, outcome.validation.metric, outcome.test.metric)
    return all(math.isnan(metric) or low <= metric <= 1 for metric in metrics)


def _number(value: float | None) -> float:
    return math.nan if value is None else value
