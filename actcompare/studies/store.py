"""A study in one SQLite file, from which an interrupted study resumes.

study   key, value: `config` and `environment` (JSON), and `metric` (accuracy or R^2, or what a
        fit calls it)
cells   one row per run, keyed by activation, depth, hidden, lr and seed: train_loss to test_metric
        of the final state, diverged_epoch (null if the run did not diverge), the number of units
        per verdict, step_s and waited_share; what each test sample contributed to the metric
        (test_rows and test_scores, packed, and guess_metric: see `SampleOutcomes`). The last four
        are null if an earlier version wrote the run. A failed run has only an error. A fit has
        depth and hidden 0, lr 0 if it is given none, test_metric, seconds and numbers: what it
        returned (JSON).
curves  one row per run and epoch: the validation metric; of a fit, per report: the metric

NaN losses and metrics are stored as null. The file uses write-ahead logging, so that others can
read it while a study writes; every group of runs is one transaction. A lock on an empty hidden file
beside it, `.NAME.lock`, keeps two studies from writing at once; that file is not removed.
"""

import json
import math
import os
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar
from urllib.parse import quote

from actcompare.errors import ActcompareError
from actcompare.files.locks import locked, unlock
from actcompare.files.saved import checked
from actcompare.files.writing import check_writable, flush_folder
from actcompare.machine.environment import Environment
from actcompare.studies.records import (
    METRICS,
    CellResult,
    Failure,
    Outcome,
    SampleOutcomes,
    StudyConfig,
)
from actcompare.units.statistics import VERDICTS

T = TypeVar("T")

APPLICATION_ID = 0x61637473  # "acts"

VERSION = 1

_Identity = tuple[tuple[str, int, int], ...]

_KEY = ("activation", "depth", "hidden", "lr", "seed")

_SCORES = [f"{part}_{of}" for part in ("train", "validation", "test") for of in ("loss", "metric")]

_NUMBERS = (*_SCORES, "diverged_epoch", "units", *VERDICTS, "step_s")

_OUTCOMES = {"test_rows": "BLOB", "test_scores": "BLOB", "guess_metric": "REAL"}

_LATER = {"waited_share": "REAL"} | _OUTCOMES | {"seconds": "REAL", "numbers": "TEXT"}
"""Columns that files of earlier versions lack, and their types."""

_SCHEMA = f"""
CREATE TABLE study (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE cells (
    activation TEXT NOT NULL, depth INTEGER NOT NULL, hidden INTEGER NOT NULL, lr REAL NOT NULL,
    seed INTEGER NOT NULL,
    {", ".join(f"{name} REAL" for name in _SCORES)},
    diverged_epoch INTEGER, units INTEGER,
    {", ".join(f"{name} INTEGER" for name in VERDICTS)},
    step_s REAL, error TEXT,
    {", ".join(f"{name} {kind}" for name, kind in _LATER.items())},
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
    """File of one study, locked while it is open; or open only to be shown, without a lock.

    A new study is held in memory until its first runs are there, and then written as a whole: a
    file of ours contains runs, whenever the process is killed.
    """

    def __init__(self, path: str | Path, *, only_shown: bool = False) -> None:
        self.path = Path(path)
        self._only_shown = only_shown
        self._real = Path(os.path.realpath(path))
        self._held = ExitStack()
        self._seen: _Identity | None = None
        """Identity of the files that are open; None while the study is only in memory."""

    def __enter__(self) -> "Store":
        """Open the file; a new one is written with its first runs.

        Raises:
            ActcompareError: Another study is writing to the file, or it cannot be read or written,
                is damaged, or is not a study.
        """
        try:
            with self._trying_to("read"):
                self._db = self._shown() if self._only_shown else self._opened()
        except BaseException:  # nothing stays open, whatever ended it
            self._held.close()
            raise
        return self

    def _opened(self) -> sqlite3.Connection:
        check_writable(self.path, regular=True)
        lock = self._real.with_name(f".{self._real.name}.lock")
        if not lock.exists():
            self._held.callback(self._tidy, lock)
        self._held.callback(unlock, locked(lock, self.path, "study", "file"))
        if self.path.exists():
            if not os.access(self._real, os.W_OK):
                raise ActcompareError(f"cannot write {self.path}: no permission")
            db = self._connect(self._real, "rw")
            if not _is_empty(db):
                self._check(db)
                self._settle(db)
                return db
        return self._new()

    def _shown(self) -> sqlite3.Connection:
        """Open the file to be read; a copy of it if SQLite cannot keep its own files beside it."""
        if not self.path.is_file():
            raise ActcompareError(f"cannot read {self.path}: it is not a file")
        if os.access(self._real, os.W_OK) and os.access(self._real.parent, os.W_OK):
            db = self._connect(self._real, "rw")
        elif Path(f"{self._real}-shm").exists():
            db = self._connect(self._real, "ro")
        else:
            folder = self._held.enter_context(TemporaryDirectory())
            for ending in ("", "-wal"):
                with suppress(FileNotFoundError):
                    shutil.copyfile(f"{self._real}{ending}", f"{folder}/copy{ending}")
            db = self._connect(f"{folder}/copy", "rw")
        if _is_empty(db):
            return self._new()
        self._check(db)
        return db

    def _new(self) -> sqlite3.Connection:
        db = self._connect(":memory:", "memory")
        for statement in _SCHEMA.strip().split(";\n"):
            db.execute(statement)
        return db

    def _connect(self, path: str | Path, mode: str) -> sqlite3.Connection:
        uri = f"file:{quote(os.fsencode(path))}?mode={mode}"
        db = sqlite3.connect(uri, uri=True, timeout=10, isolation_level=None)
        db.row_factory = sqlite3.Row
        self._held.callback(db.close)
        return db

    def _check(self, db: sqlite3.Connection) -> None:
        """Check that the database is one of ours, and not damaged."""
        (application,) = db.execute("PRAGMA application_id").fetchone()
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if application != APPLICATION_ID:
            raise ActcompareError(f"{self.path} was not written by `actcompare study --store`")
        if version != VERSION:
            raise ActcompareError(
                f"{self.path} has format {version}, but this actcompare reads format {VERSION}:"
                " use the actcompare that wrote it, or choose another file"
            )
        for kind, name in db.execute("SELECT type, name FROM sqlite_master"):
            if kind not in ("table", "index"):  # reading a view runs its SQL
                raise sqlite3.DatabaseError(f"it has a {kind}, {name}")
        (state,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if state != "ok":
            raise sqlite3.DatabaseError(state)

    def _settle(self, db: sqlite3.Connection) -> None:
        """Turn write-ahead logging on, and remember which files are open."""
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("BEGIN IMMEDIATE")  # opens the log
        db.execute("COMMIT")
        self._seen = self._identity()

    def __exit__(self, *failure: object) -> None:
        self._held.close()

    def _tidy(self, lock: Path) -> None:
        """Leave no lock of ours beside a file that was not written."""
        if not self._real.exists():
            with suppress(OSError):
                lock.unlink()

    def _identity(self) -> _Identity:
        """Return device and inode of the file and of its write-ahead log, as far as they exist."""
        found = []
        for ending in ("", "-wal"):
            with suppress(OSError):
                status = Path(f"{self._real}{ending}").stat()
                found.append((ending, status.st_dev, status.st_ino))
        return tuple(found)

    def _check_place(self) -> None:
        """Check that the open file is still the one of this name.

        Raises:
            ActcompareError: It was removed, moved or replaced.
        """
        if self._seen is None:
            return
        if Path(os.path.realpath(self.path)) != self._real or self._identity() != self._seen:
            raise ActcompareError(
                f"{self.path} was removed, moved or replaced while the study was writing to it:"
                " later runs are not in it"
            )

    @contextmanager
    def _trying_to(self, verb: str) -> Iterator[None]:
        """Turn SQLite's errors into messages that say what to do."""
        try:
            yield
        except OSError as error:
            raise ActcompareError(f"cannot {verb} {self.path}: {error.strerror}") from error
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
        self._check_place()
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._db.in_transaction:  # a full disk has already rolled it back
                self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")
        self._check_place()

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
        metric, config = self._value("metric"), self.config()
        metrics = METRICS if config is None or config.fit is None else (config.fit.metric,)
        if metric is None or metric not in metrics:
            raise self._damaged(f"its metric should be {' or '.join(metrics)}")
        return metric

    def outcomes(self) -> list[Outcome]:
        """Return every run, in the order of storage.

        Raises:
            ActcompareError: The file cannot be read, is damaged, or is no longer in its place.
        """
        self._check_place()
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
            plain = [self._plain(row, curves.get(_key(row), [])) for row in rows]
            found = self._checked(tuple[Outcome, ...], plain)
            outcomes = [_with_samples(*both) for both in zip(found, rows, strict=True)]
        except IndexError as error:  # sqlite3.Row's
            raise self._damaged("a column is missing") from error
        except ValueError as error:
            raise self._damaged(error) from error
        low = 0.0 if self._value("metric") == METRICS[0] else -math.inf
        config = self.config()
        if config is not None and any(not _is_of(outcome, config) for outcome in outcomes):
            raise self._damaged("a fit and a run of SimpleNet are in one study")
        if not all(_is_within(outcome, low) for outcome in outcomes):
            raise self._damaged(f"a metric is not between {low:g} and 1")
        return outcomes

    def _plain(self, row: sqlite3.Row, curve: Sequence[float]) -> dict[str, Any]:
        """Return a row of `cells` in the structure of an `Outcome`."""
        cell = {name: row[name] for name in _KEY}
        if row["error"] is not None:
            return {"cell": cell, "error": row["error"]}
        scores = {
            part: {of: _number(row[f"{part}_{of}"]) for of in ("loss", "metric")}
            for part in ("train", "validation", "test")
        }
        more = {name: row[name] for name in ("diverged_epoch", "units", "step_s")}
        more |= {name: dict(row).get(name) for name in ("waited_share", "seconds", "numbers")}
        if more["numbers"] is not None:
            more["numbers"] = self._parsed(more["numbers"])
        verdicts = {verdict: row[verdict] for verdict in VERDICTS} if row["units"] != 0 else {}
        return {"cell": cell, "verdicts": verdicts, "curve": curve} | scores | more

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
            present = {row["name"] for row in self._db.execute("PRAGMA table_info(cells)")}
            for name in _LATER.keys() - present:
                self._db.execute(f"ALTER TABLE cells ADD COLUMN {name} {_LATER[name]}")

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """Store runs, all or none; the first ones of a new study create the file.

        Raises:
            ActcompareError: The file cannot be written, or is no longer in its place.
        """
        columns = (*_KEY, *_NUMBERS, "error", *_LATER)
        rows, points = [], []
        for outcome in outcomes:
            record: dict[str, Any] = dict.fromkeys(columns) | asdict(outcome.cell)
            if isinstance(outcome, Failure):
                record["error"] = outcome.error
            else:
                record |= outcome.row() | {"seconds": outcome.seconds}
                if outcome.numbers is not None:
                    record["numbers"] = json.dumps(outcome.numbers)
                if (each := outcome.outcomes) is not None:
                    packed = (each.rows, each.scores, each.guess)
                    record |= dict(zip(_OUTCOMES, packed, strict=True))
                key = [record[name] for name in _KEY]
                points += [(*key, epoch, value) for epoch, value in enumerate(outcome.curve)]
            rows.append([record[name] for name in columns])
        marks = ", ".join("?" * len(columns))
        with self._trying_to("write"):
            with self._transaction():
                self._db.executemany(
                    f"INSERT OR REPLACE INTO cells ({', '.join(columns)}) VALUES ({marks})", rows
                )
                self._db.executemany(
                    "INSERT OR REPLACE INTO curves VALUES (?, ?, ?, ?, ?, ?, ?)", points
                )
            if self._seen is None:
                self._create()

    def _create(self) -> None:
        """Move a new study from memory to its file, in one transaction."""
        file = self._connect(self._real, "rwc")
        if not _is_empty(file):
            raise ActcompareError(
                f"{self.path} was created by another program while the study was running: choose"
                " another file"
            )
        self._db.backup(file)
        flush_folder(self._real.parent)
        self._settle(file)
        self._db = file


def what_differs(old: StudyConfig, new: StudyConfig) -> str:
    """Describe the differences between two studies; empty if they are the same study.

    Seeds, activations and margin may differ within one study.
    """
    if (old.fit is None) != (new.fit is None):
        said = ["SimpleNet" if each.fit is None else each.fit.function for each in (old, new)]
        return f"{said[0]}, not {said[1]}"
    before, after = _settings(old), _settings(new)
    changes = [
        f"{name} {_said(before.get(name))}, not {_said(after.get(name))}"
        for name in before | after
        if before.get(name) != after.get(name)
    ]
    return "; ".join(changes)


def _settings(config: StudyConfig) -> dict[str, Any]:
    plain = config.as_dict()
    # The code of a fit may be mended between failed runs and their retry: a warning tells of it.
    for name in ("activations", "seeds", "margin", *["fingerprint"] * (config.fit is not None)):
        del plain[name]
    return plain


def _said(value: object) -> str:
    if isinstance(value, dict):
        value = tuple(f"{name}={each}" for name, each in value.items())
    if value in (None, ()):
        return "none"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _key(row: sqlite3.Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in _KEY)


def _is_empty(db: sqlite3.Connection) -> bool:
    """Return whether a database has neither tables nor a program that claims it."""
    (tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    (application,) = db.execute("PRAGMA application_id").fetchone()
    return not tables and application in (0, APPLICATION_ID)


def _with_samples(outcome: Outcome, row: sqlite3.Row) -> Outcome:
    """Add the outcomes of the test samples, which files of earlier versions lack."""
    rows, scores, guess = (dict(row).get(name) for name in _OUTCOMES)
    if isinstance(outcome, Failure) or rows is None:
        return outcome
    if not (isinstance(rows, bytes) and isinstance(scores, bytes) and isinstance(guess, float)):
        raise ValueError("the outcomes of test samples have wrong types")
    return replace(outcome, outcomes=SampleOutcomes(rows, scores, guess))


def _is_of(outcome: Outcome, config: StudyConfig) -> bool:
    """Return whether a run is of the same kind as the study."""
    of_net = config.fit is None
    if isinstance(outcome, CellResult) and (outcome.numbers is None) != of_net:
        return False
    return bool(outcome.cell.depth and outcome.cell.hidden) == of_net


def _is_within(outcome: Outcome, low: float) -> bool:
    """Return whether the metrics of a run of SimpleNet are NaN or from `low` to 1."""
    if isinstance(outcome, Failure) or outcome.numbers is not None:
        return True
    metrics = (outcome.train.metric, outcome.validation.metric, outcome.test.metric)
    return all(math.isnan(metric) or low <= metric <= 1 for metric in metrics)


def _number(value: float | None) -> float:
    return math.nan if value is None else value
