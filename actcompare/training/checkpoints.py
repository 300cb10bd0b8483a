"""Save a run in a folder: one subfolder for the last epoch, written atomically.

`DIR/epoch-000030/` contains `run.json` (config, environment, data, history and hashes),
`weights.pt` (a plain state dict) and `optimizer.pt`. It is written under another name, flushed to
the disk and then renamed, and only then is its predecessor removed. So the newest subfolder is
complete, whenever the process is killed. Nothing else in the folder is touched: a subfolder is
removed only if it has a name of ours and nothing but files of ours in it.
"""

import contextlib
import hashlib
import io
import json
import os
import re
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
from actcompare.files.locks import locked, unlock
from actcompare.files.reading import reading
from actcompare.files.saved import checked, read_json
from actcompare.files.state_dicts import read_tensors
from actcompare.files.writing import flush_folder, flush_to_disk
from actcompare.machine.environment import Environment
from actcompare.training.records import DataSummary, Divergence, Epoch, TrainConfig

FORMAT = "actcompare train"

FORMAT_VERSION = 1

_WEIGHTS, _OPTIMIZER = "weights.pt", "optimizer.pt"

_FILES = {"run.json", _WEIGHTS, _OPTIMIZER}

_EPOCH = re.compile(r"epoch-([0-9]{6}|[1-9][0-9]{6,})(-diverged)?")

_PART = re.compile(r"\.part-[0-9]+")


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
        if bool(first) != (self.config.track_on is not None):
            raise ValueError("track_on does not fit the layers of the history")
        if first and not self.config.model and len(first) != self.config.depth:
            raise ValueError(f"the history has {len(first)} layers, not {self.config.depth}")


@dataclass(frozen=True)
class Checkpoint(Progress):
    """Everything needed to continue a run."""

    weights: dict[str, Tensor]
    optimizer: dict[str, Tensor]


class Folder:
    """A folder that contains one run and is locked while it is open."""

    def __init__(self, path: Path, *, new: bool) -> None:
        self.path, self._new = path, new
        self._lock: BaseFileLock | None = None

    @classmethod
    def create(cls, path: str | Path) -> "Folder":
        """Create a folder for a new run.

        Raises:
            ActcompareError: The folder already contains a run or cannot be created.
        """
        folder = cls(Path(path), new=True)
        folder._refuse_another()
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
        folder = cls(Path(path), new=False)
        if folder._newest() is None:
            what = "contains no run" if folder.path.is_dir() else "is not a folder"
            raise ActcompareError(f"{path} {what}: save one with actcompare train --save {path}")
        return folder

    def __enter__(self) -> "Folder":
        self._lock = locked(self.path / ".lock", self.path, "run", "folder")
        try:
            if self._new:  # another process may have saved one since
                self._refuse_another()
        except ActcompareError:
            unlock(self._lock)
            raise
        with contextlib.suppress(OSError):
            for left in self._ours(_PART):
                shutil.rmtree(left)
        return self

    def __exit__(self, *failure: object) -> None:
        if self._lock is not None:
            unlock(self._lock)

    def _refuse_another(self) -> None:
        if self._newest() is not None:
            raise ActcompareError(
                f"{self.path} already contains a run: continue it with --resume {self.path}, or"
                " choose another folder"
            )

    def _newest(self) -> Path | None:
        try:
            states = [
                path
                for path in _subfolders(self.path)
                if _EPOCH.fullmatch(path.name) and _names(path) & _FILES
            ]
        except OSError as error:
            raise ActcompareError(f"cannot read {self.path}: {error.strerror or error}") from error
        return max(states, key=_order, default=None)

    def _ours(self, pattern: re.Pattern[str]) -> list[Path]:
        """Return the subfolders with such a name that hold only files of ours."""
        return [
            path
            for path in _subfolders(self.path)
            if pattern.fullmatch(path.name) and _names(path) <= _FILES
        ]

    def _part(self) -> Path:
        return self.path / f".part-{os.getpid()}"

    def save(self, checkpoint: Checkpoint) -> None:
        """Save a state in place of the previous one.

        Raises:
            ActcompareError: The state cannot be written; the previous one is kept.
        """
        number = checkpoint.history[-1].epoch
        state = self.path / f"epoch-{number:06d}{'-diverged' if checkpoint.diverged else ''}"
        part = self._part()
        try:
            try:
                shutil.rmtree(part, ignore_errors=True)  # an older state that was not quite removed
                part.mkdir()
                tensors = {_WEIGHTS: checkpoint.weights, _OPTIMIZER: checkpoint.optimizer}
                hashes = {file: _write(part / file, _saved(of)) for file, of in tensors.items()}
                content = _described(checkpoint) | {"files": hashes}
                text = json.dumps(content | {"hash": _hash_of(content)}, indent=1)
                _write(part / "run.json", text.encode())
                flush_folder(part)
                part.rename(state)
                flush_folder(self.path)
            finally:
                shutil.rmtree(part, ignore_errors=True)
        except OSError as error:
            raise ActcompareError(
                f"cannot save epoch {number} in {self.path}: {error.strerror or error}; the"
                " previous state is kept"
            ) from error
        self._remove_before(state)

    def _remove_before(self, state: Path) -> None:
        """Remove older states; each is renamed first, so that none is ever there in part."""
        with contextlib.suppress(OSError):  # the next one to save tries again
            for old in self._ours(_EPOCH):
                if _order(old) < _order(state):
                    shutil.rmtree(old.rename(self._part()))

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
        self._remove_before(newest)  # which a killed process may have left
        return Checkpoint(**vars(progress), weights=weights, optimizer=optimizer)


@dataclass(frozen=True)
class _Hashes:
    files: dict[str, str]
    """SHA-256 hash by name of the file."""


def _subfolders(path: Path) -> list[Path]:
    """Return the folders in a folder, without links; none if there is no such folder."""
    if not path.is_dir():
        return []
    return [each for each in path.iterdir() if each.is_dir() and not each.is_symlink()]


def _names(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()}


def _order(state: Path) -> tuple[int, bool]:
    """Return what orders states: the epoch; a run that diverged did so after its last good one."""
    found = _EPOCH.fullmatch(state.name)
    assert found is not None
    return int(found[1]), found[2] is not None


def _saved(state: Mapping[str, Tensor]) -> memoryview:
    out = io.BytesIO()
    tensors = {name: t.cpu() for name, t in state.items() if isinstance(t, Tensor)}
    torch.save(tensors, out)
    return out.getbuffer()


def _write(path: Path, content: bytes | memoryview) -> str:
    """Write a file to the disk, and return its SHA-256 hash."""
    with path.open("wb") as out:
        out.write(content)
        flush_to_disk(out)
    return hashlib.sha256(content).hexdigest()


def _read(path: Path, hashes: Mapping[str, str]) -> dict[str, Tensor]:
    with reading(path), path.open("rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != hashes.get(path.name):
            raise ValueError(f"{path.name} has been changed")
    state = read_tensors(path)
    if not isinstance(state, dict) or not all(isinstance(t, Tensor) for t in state.values()):
        raise ValueError(f"{path.name} does not hold named tensors")
    return state


def _check_shapes(config: TrainConfig, weights: Mapping[str, Tensor]) -> None:
    """Check the weights of the linear layers, before a SimpleNet of the saved size is built."""
    if config.model is not None:
        return  # its own code says what fits
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
