"""Save a run in a folder: one subfolder for the last epoch, written atomically.

`DIR/epoch-000030/` contains `run.json` (config, environment, data, history and hashes),
`weights.pt` (a plain state dict) and `optimizer.pt`. It is written under another name and then
renamed, and only then is its predecessor removed. So the newest subfolder is complete, whenever
the process is killed.
"""

import hashlib
import io
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import BaseFileLock
from torch import Tensor

from actcompare.errors import ActcompareError
from actcompare.files.locks import locked
from actcompare.files.state_dicts import read_tensors
from actcompare.machine.environment import Environment
from actcompare.training.records import (
    DataSummary,
    Divergence,
    Epoch,
    LayerUnits,
    Score,
    TrainConfig,
)

FORMAT = "actcompare train"

FORMAT_VERSION = 1

_EPOCH, _PART, _LOCK = "epoch-", ".part-", ".lock"


@dataclass(frozen=True)
class Checkpoint:
    """Everything needed to continue a run."""

    config: TrainConfig
    environment: Environment
    data: DataSummary
    history: tuple[Epoch, ...]
    diverged: Divergence | None
    weights: dict[str, Tensor]
    optimizer: dict[str, Tensor]


class Folder:
    """A folder that contains one run and is locked while it is open."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: BaseFileLock | None = None

    @classmethod
    def create(cls, path: str | Path) -> "Folder":
        """Create a folder for a new run.

        Raises:
            ActcompareError: The folder already contains a run or cannot be created.
        """
        folder = cls(Path(path))
        if folder._newest() is not None:
            raise ActcompareError(
                f"{path} already contains a run: continue it with --resume {path}, or choose"
                " another folder"
            )
        try:
            folder.path.mkdir(exist_ok=True)
        except OSError as error:
            raise ActcompareError(f"cannot write {path}: {error.strerror or error}") from error
        return folder

    @classmethod
    def open(cls, path: str | Path) -> "Folder":
        """Open the folder of a saved run.

        Raises:
            ActcompareError: The folder contains no run.
        """
        folder = cls(Path(path))
        if folder._newest() is None:
            what = "contains no run" if folder.path.is_dir() else "is not a folder"
            raise ActcompareError(f"{path} {what}: save one with actcompare train --save {path}")
        return folder

    def __enter__(self) -> "Folder":
        self._lock = locked(self.path / _LOCK, self.path, "run", "folder")
        for left in self.path.glob(_PART + "*"):
            shutil.rmtree(left, ignore_errors=True)
        return self

    def __exit__(self, *failure: object) -> None:
        if self._lock is not None:
            self._lock.release()

    def _newest(self) -> Path | None:
        return max(self.path.glob(_EPOCH + "*"), default=None)

    def save(self, checkpoint: Checkpoint) -> None:
        """Save a state in place of the previous one.

        Raises:
            ActcompareError: The state cannot be written; the previous one is kept.
        """
        number = checkpoint.history[-1].epoch
        name = f"{_EPOCH}{number:06d}{'-diverged' if checkpoint.diverged else ''}"
        part = self.path / f"{_PART}{os.getpid()}"
        try:
            try:
                part.mkdir()
                tensors = {"weights.pt": checkpoint.weights, "optimizer.pt": checkpoint.optimizer}
                hashes = {file: _write(part / file, state) for file, state in tensors.items()}
                content = _described(checkpoint) | {"files": hashes}
                text = json.dumps(content | {"hash": _hash_of(content)}, indent=1)
                (part / "run.json").write_text(text, encoding="utf-8")
                part.rename(self.path / name)
            finally:
                shutil.rmtree(part, ignore_errors=True)
        except OSError as error:
            raise ActcompareError(
                f"cannot save epoch {number} in {self.path}: {error.strerror or error}; the"
                " previous state is kept"
            ) from error
        for old in self.path.glob(_EPOCH + "*"):
            if old.name < name:
                shutil.rmtree(old, ignore_errors=True)

    def load(self) -> Checkpoint:
        """Return the newest state.

        Raises:
            ActcompareError: The state is damaged or has another format version.
        """
        newest = self._newest()
        assert newest is not None
        try:
            content = json.loads((newest / "run.json").read_text(encoding="utf-8"))
            if content["format"] != FORMAT:
                raise ActcompareError(f"{newest} was not written by `actcompare train --save`")
            if content["format_version"] != FORMAT_VERSION:
                raise ActcompareError(
                    f"{newest} has format version {content['format_version']}, but this actcompare"
                    f" reads version {FORMAT_VERSION}: resume it with the actcompare that wrote it"
                )
            if content.pop("hash") != _hash_of(content):
                raise ValueError("run.json has been changed")
            return _checkpoint(
                content,
                {name: _read(newest / name, hash_) for name, hash_ in content["files"].items()},
            )
        except OSError as error:
            raise ActcompareError(f"cannot read {newest}: {error.strerror or error}") from error
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise ActcompareError(
                f"{newest} is damaged ({type(error).__name__}: {error}): train again with --save"
                " and another folder"
            ) from error


def _write(path: Path, state: Mapping[str, Tensor]) -> str:
    """Write tensors, and return the SHA-256 hash of the file."""
    out = io.BytesIO()
    torch.save({name: tensor.cpu() for name, tensor in state.items()}, out)
    path.write_bytes(out.getbuffer())
    return hashlib.sha256(out.getbuffer()).hexdigest()


def _read(path: Path, expected: str) -> dict[str, Tensor]:
    with path.open("rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != expected:
            raise ValueError(f"{path.name} has been changed")
    state: dict[str, Tensor] = read_tensors(path)
    return state


def _hash_of(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _described(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return everything except the tensors as plain data."""
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "config": asdict(checkpoint.config),
        "environment": checkpoint.environment.as_dict(),
        "data": asdict(checkpoint.data),
        "history": [asdict(epoch) for epoch in checkpoint.history],
        "diverged": checkpoint.diverged and asdict(checkpoint.diverged),
    }


def _checkpoint(content: dict[str, Any], tensors: dict[str, dict[str, Tensor]]) -> Checkpoint:
    data = content["data"]
    lists = {name: tuple(data[name]) for name in ("samples", "classes", "constant", "notes")}
    return Checkpoint(
        TrainConfig(**content["config"]),
        Environment(**content["environment"]),
        DataSummary(**data | lists),
        tuple(_epoch(epoch) for epoch in content["history"]),
        content["diverged"] and Divergence(**content["diverged"]),
        tensors["weights.pt"],
        tensors["optimizer.pt"],
    )


def _epoch(content: dict[str, Any]) -> Epoch:
    layers = tuple(
        LayerUnits(
            **layer
            | {"verdicts": {name: tuple(units) for name, units in layer["verdicts"].items()}}
        )
        for layer in content["layers"]
    )
    scores = {part: Score(**content[part]) for part in ("train", "validation")}
    return Epoch(**content | scores | {"layers": layers})
