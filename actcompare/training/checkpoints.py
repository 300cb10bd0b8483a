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
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from filelock import BaseFileLock
from torch import Tensor

from actcompare.bounds import AtLeastOne
from actcompare.errors import ActcompareError
from actcompare.files.locks import locked
from actcompare.files.reading import reading
from actcompare.files.saved import checked, read_json
from actcompare.files.state_dicts import read_tensors
from actcompare.machine.environment import Environment
from actcompare.training.records import DataSummary, Divergence, Epoch, TrainConfig

FORMAT = "actcompare train"

FORMAT_VERSION = 1

_WEIGHTS, _OPTIMIZER = "weights.pt", "optimizer.pt"

_EPOCH, _PART, _LOCK = "epoch-", ".part-", ".lock"


@dataclass(frozen=True)
class Progress:
    """A run so far, without its tensors."""

    config: TrainConfig
    environment: Environment
    data: DataSummary
    history: Annotated[tuple[Epoch, ...], AtLeastOne]
    diverged: Divergence | None

    def __post_init__(self) -> None:
        if [epoch.epoch for epoch in self.history] != list(range(len(self.history))):
            raise ValueError("the epochs of the history are not 0, 1, 2 and so on")
        first = [(layer.layer, layer.units) for layer in self.history[0].layers]
        for epoch in self.history:
            if [(layer.layer, layer.units) for layer in epoch.layers] != first:
                raise ValueError(f"epoch {epoch.epoch} has other layers than epoch 0")
        if first and len(first) != self.config.depth:
            raise ValueError(f"the history has {len(first)} layers, not {self.config.depth}")


@dataclass(frozen=True)
class Checkpoint(Progress):
    """Everything needed to continue a run."""

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
                tensors = {_WEIGHTS: checkpoint.weights, _OPTIMIZER: checkpoint.optimizer}
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
        path, cure = newest / "run.json", "train again with --save and another folder"
        content = read_json(path, FORMAT, FORMAT_VERSION, "actcompare train --save")
        hash_, files = content.pop("hash", None), content.pop("files", None)
        if hash_ != _hash_of(content | {"files": files}):
            raise ActcompareError(f"{path} is damaged: it has been changed: {cure}")
        del content["format"], content["format_version"]
        progress = checked(Progress, content, path, cure)
        hashes = checked(_Hashes, {"files": files}, path, cure)
        try:
            weights, optimizer = (
                _read(newest / name, hashes.files) for name in (_WEIGHTS, _OPTIMIZER)
            )
            _check_shapes(progress.config, weights)
        except ValueError as error:
            raise ActcompareError(f"{newest} is damaged: {error}: {cure}") from error
        return Checkpoint(**vars(progress), weights=weights, optimizer=optimizer)


@dataclass(frozen=True)
class _Hashes:
    files: dict[str, str]
    """SHA-256 hash by name of the file."""


def _write(path: Path, state: Mapping[str, Tensor]) -> str:
    """Write tensors, and return the SHA-256 hash of the file."""
    out = io.BytesIO()
    torch.save({name: tensor.cpu() for name, tensor in state.items()}, out)
    path.write_bytes(out.getbuffer())
    return hashlib.sha256(out.getbuffer()).hexdigest()


def _read(path: Path, hashes: Mapping[str, str]) -> dict[str, Tensor]:
    with reading(path), path.open("rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != hashes.get(path.name):
            raise ValueError(f"{path.name} has been changed")
    state = read_tensors(path)
    if not isinstance(state, dict) or not all(isinstance(t, Tensor) for t in state.values()):
        raise ValueError(f"{path.name} does not hold named tensors")
    return state


def _check_shapes(config: TrainConfig, weights: Mapping[str, Tensor]) -> None:
    """Check the weights of the linear layers, before a net of the saved size is built."""
    width = config.input_size
    for layer in _layers(config.depth):
        units = config.output_size if layer == "output" else config.hidden
        for name, shape in ((f"{layer}.weight", (units, width)), (f"{layer}.bias", (units,))):
            found = weights.get(name)
            if found is None or tuple(found.shape) != shape or not found.is_floating_point():
                raise ValueError(f"the saved weights do not fit: {name} should have shape {shape}")
        width = units


def _layers(depth: int) -> Iterator[str]:
    yield from (f"hidden{i}" for i in range(1, depth + 1))
    yield "output"


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
