"""Tampered saves, with their hashes made to fit: `python -m tests.robustness.tampered`.

Saved benchmarks, runs and study stores whose fields, tensors or rows were changed are read or
refused by one clear line that names the file.
"""

import hashlib
import io
import json
import os
import random
import sqlite3
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch

from actcompare import bench, study, train
from actcompare.benchmark.saved import dumps
from actcompare.training.checkpoints import _hash_of
from tests.robustness.forked import main
from tests.robustness.malformed import Bomb
from tests.robustness.mutations import NASTY, damaged, tampered

RUN, NEWEST = "run", "epoch-000001"


@cache
def sound() -> dict[str, bytes]:
    """A benchmark, two runs and a study, each in its files."""
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        few: dict[str, Any] = {"epochs": 1, "hidden": 4, "threads": 1}
        measured = bench(size=1000, passes=("forward", "step"), hidden=8, time_limit=0.1)
        (folder / "b.json").write_text(dumps(measured), encoding="utf-8")
        train("relu", save=folder / "sgd", **few)
        train("prelu", save=folder / "adam", optimizer="adam", depth=2, **few)
        study(seeds=3, lr=[0.1, 0.3], store=folder / "s.db", workers=1, **few)
        with sqlite3.connect(folder / "s.db") as db:  # one file, without a journal beside it
            db.execute("PRAGMA journal_mode = DELETE")
        files = [path for path in folder.rglob("*") if path.is_file() and path.name[0] != "."]
        return {str(path.relative_to(folder)): path.read_bytes() for path in files}


# --- benchmarks -----------------------------------------------------------------------------------


def benchmark(rng: random.Random, folder: Path) -> Sequence[str]:
    """Fields of a saved benchmark are changed, or its bytes."""
    whole, path = sound()["b.json"], folder / "b.json"
    (folder / "good.json").write_bytes(whole)
    if rng.random() < 0.8:
        path.write_text(json.dumps(tampered(rng, json.loads(whole))), encoding="utf-8")
    else:
        path.write_bytes(rng.choice([damaged(rng, whole), b"[" * 10**6, b'{"format":' * 999]))
    if rng.random() < 0.05:
        path.unlink()
        rng.choice(_SPECIAL)(path)
    show = rng.choice([["--format", "json"], [], ["--plot-file", "p.svg"]])
    return rng.choice(
        [
            ["bench", "--load", "b.json", *show],
            ["bench", "--load", "b.json", "--compare", "good.json", *show],
            ["bench", "--load", "good.json", "--compare", "b.json", *show],
        ]
    )


_SPECIAL: tuple[Callable[[Path], object], ...] = (
    lambda path: path.symlink_to("/dev/zero"),
    lambda path: path.symlink_to("/dev/urandom"),
    os.mkfifo,
    lambda path: path.mkdir(),
    lambda path: path.symlink_to(path),
)


# --- runs -----------------------------------------------------------------------------------------


def run(rng: random.Random, folder: Path) -> Sequence[str]:
    """Fields or tensors of a saved run are changed, and its hashes made to fit."""
    kind = rng.choice(["sgd", "adam"])
    place = folder / RUN / NEWEST
    place.mkdir(parents=True)
    for name, content in sound().items():
        if name.startswith(kind + "/"):
            (place / Path(name).name).write_bytes(content)
    content = json.loads((place / "run.json").read_bytes())
    content.pop("hash")
    how = rng.random()
    if how < 0.6:
        content = tampered(rng, content)
        config = content.get("config")
        if isinstance(config, dict) and config.get("epochs") in (10**9, 10**18):
            config["epochs"] = 3  # it would go on for that long, as it should
    elif how < 0.9:
        name = rng.choice(["weights.pt", "optimizer.pt"])
        out = io.BytesIO()
        torch.save(_changed(rng, torch.load(place / name)), out)
        (place / name).write_bytes(out.getvalue())
        content["files"][name] = hashlib.sha256(out.getvalue()).hexdigest()
    text = json.dumps(content | {"hash": _hash_of(content)}).encode()
    (place / "run.json").write_bytes(text if how < 0.95 else damaged(rng, text))
    if rng.random() < 0.05:
        path = place / rng.choice(["run.json", "weights.pt", "optimizer.pt"])
        path.unlink()
        rng.choice(_SPECIAL)(path)
    return ["train", "--resume", RUN, *rng.choice([[], ["--epochs", "2"], ["--format", "json"]])]


def _changed(rng: random.Random, state: dict[str, Any]) -> Any:
    name = rng.choice(sorted(state) or ["velocity"])
    old = state.get(name, torch.zeros(3))
    new: Any = rng.choice(
        [
            old.repeat(2) if old.dim() < 2 else old.t(),
            torch.tensor(-5),
            torch.tensor(2**63 - 1),
            torch.full_like(old, -1),
            old * float("nan"),
            old.float() * float("inf"),
            old.float() + 1e38,
            old + 1j,
            old.bool(),
            old.double(),
            old.half(),
            old.float().to_sparse(),
            torch.ones(1).expand(10**12),
            torch.empty(old.shape, device="meta"),
            torch.zeros(0),
            Bomb(),
            *(value for value in NASTY if value is not None),
        ]
    )
    return rng.choice(
        [
            {**state, name: new},
            {**state, name: new},
            {**state, name: new},
            {**state, "more": old},
            {key: value for key, value in state.items() if key != name},
            {},
            [*state.values()],
            old,
        ]
    )


# --- studies --------------------------------------------------------------------------------------


def store(rng: random.Random, folder: Path) -> Sequence[str]:
    """Rows, settings or bytes of a study are changed."""
    path = folder / "s.db"
    path.write_bytes(sound()["s.db"])
    if rng.random() < 0.2:
        path.write_bytes(damaged(rng, sound()["s.db"]))
    else:
        with sqlite3.connect(path) as db:
            rng.choice(_CHANGES)(rng, db)
        db.close()
    more = ["--epochs", "1", "--hidden", "4", "--threads", "1", "--seeds", "4", "--workers", "1"]
    show = rng.choice([[], ["--format", "json"], ["--plot-file", "p.svg"]])
    again = ["--act", "relu", "--act", "softplus", "--lr", "0.1", "--lr", "0.3", *more]
    return ["study", "--store", "s.db", *rng.choice([show, show, again])]


def _change_settings(rng: random.Random, db: sqlite3.Connection) -> None:
    key = rng.choice(["config", "config", "environment", "metric"])
    (text,) = db.execute("SELECT value FROM study WHERE key = ?", (key,)).fetchone()
    if key != "metric" and rng.random() < 0.9:
        new: Any = json.dumps(tampered(rng, json.loads(text)))
    else:
        new = rng.choice(["", "{", "[]", "null", "1" * 5000, b"\xff", 3, "[" * 10**5])
    db.execute("UPDATE study SET value = ? WHERE key = ?", (new, key))


def _change_rows(rng: random.Random, db: sqlite3.Connection) -> None:
    table = rng.choice(["cells", "cells", "curves"])
    columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
    plain = [value for value in NASTY if not isinstance(value, list | dict) and value != "\ud800"]
    new: Any = rng.choice([*plain, b"\xff\x00", 2**63 - 1])
    if isinstance(new, int) and not -(2**63) <= new < 2**63:
        new = float(new)
    some = "" if rng.random() < 0.3 else f" WHERE rowid = {rng.randrange(1, 12)}"
    try:
        db.execute(f"UPDATE OR REPLACE {table} SET {rng.choice(columns)} = ?{some}", (new,))
    except sqlite3.IntegrityError:
        db.execute(f"DELETE FROM {table}{some}")


def _change_schema(rng: random.Random, db: sqlite3.Connection) -> None:
    endless = "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT x FROM r"
    changes = [
        ["DROP TABLE curves"],
        ["DROP TABLE cells"],
        ["DROP TABLE study"],
        ["DELETE FROM curves"],
        ["DELETE FROM cells"],
        ["DELETE FROM study"],
        ["ALTER TABLE cells DROP COLUMN units"],
        ["ALTER TABLE cells ADD COLUMN more"],
        ["ALTER TABLE cells RENAME COLUMN units TO count"],
        ["DROP TABLE curves", f"CREATE VIEW curves AS {endless}"],
        ["DROP TABLE cells", "CREATE VIEW cells AS SELECT * FROM curves"],
        ["CREATE TRIGGER t AFTER INSERT ON cells BEGIN DELETE FROM cells; END"],
        ["PRAGMA user_version = 99"],
        ["PRAGMA application_id = 1"],
        ["UPDATE cells SET error = 'it broke'"],
    ]
    for statement in rng.choice(changes):
        db.execute(statement)


_CHANGES = (_change_settings, _change_rows, _change_rows, _change_schema)


CASES = (benchmark, run, store, run, benchmark)

if __name__ == "__main__":
    sound()
    main(CASES, "tampered saves")
