"""Data sets to train on, made from arrays and checked."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from actcompare.errors import ActcompareError
from actcompare.machine.memory import check_fits
from actcompare.text import listed

Array = npt.NDArray[np.float64]

CLASSIFICATION, REGRESSION = "classification", "regression"

TASKS = (CLASSIFICATION, REGRESSION)

COPIES = 6
"""Copies of the data in memory: as read, as numbers, scaled (with temporaries), as tensors."""

MOST_CLASSES = 20
"""Whole numbers with more distinct values than this are regression targets, not classes."""


@dataclass(frozen=True)
class Dataset:
    """Samples to learn from, as numbers, not yet split or scaled."""

    name: str
    X: Array = field(repr=False)
    """Inputs, shape (sample, input); NaN if a value is missing."""
    y: npt.NDArray[Any] = field(repr=False)
    """Class indices, shape (sample,), or regression targets, shape (sample, output)."""
    task: str
    """classification or regression."""
    why: str
    """What the task was inferred from, or that it was requested."""
    inputs: tuple[str, ...] = field(repr=False)
    """Names of the inputs."""
    classes: tuple[str, ...] = ()
    """Names of the classes; empty for a regression."""
    notes: tuple[str, ...] = ()
    """What was changed or left out when the data were read."""
    same_unit: bool = False
    """Whether all inputs have the same unit, as the pixels of an image do."""
    shape: tuple[int, ...] = ()
    """Shape of a sample as it was given, if that was not a row."""

    @property
    def outputs(self) -> int:
        """The number of outputs that a net needs."""
        return len(self.classes) if self.task == CLASSIFICATION else self.y.shape[1]

    def fingerprint(self) -> str:
        """Return a hash of all numbers."""
        digest = hashlib.sha256(f"{self.X.shape} {self.y.shape} {self.task}".encode())
        for array in (self.X, self.y):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()[:16]


Source = str | Dataset | tuple[npt.ArrayLike, npt.ArrayLike]
"""Data as an argument: a name, a data set, or arrays X and y."""


def from_arrays(
    name: str,
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    task: str | None = None,
    inputs: Sequence[str] = (),
    notes: Sequence[str] = (),
    same_unit: bool = False,
) -> Dataset:
    """Make a data set from arrays.

    Args:
        name: Name of the data set.
        X: Inputs, shape (sample, ...); more than two dimensions are flattened.
        y: Targets, shape (sample,), or (sample, output) for a regression.
        task: Classification or regression; None infers it from the target.
        inputs: Names of the inputs; by default their indices.
        notes: What was changed when the data were read.
        same_unit: Whether all inputs have the same unit.

    Raises:
        ActcompareError: The arrays do not fit each other or cannot be learned from.
    """
    X, y, said = np.asarray(X), np.atleast_1d(np.asarray(y)), list(notes)
    for label, array in (("X", X), ("y", y)):
        if array.dtype.kind not in ("fiub" if label == "X" else "fiubUSO"):
            raise ActcompareError(f"{name}: {label} has dtype {array.dtype}, not real numbers")
    if X.ndim < 2 or X.size == 0:
        raise ActcompareError(f"{name}: X has shape {X.shape}, not (sample, input)")
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if len(X) != len(y) or y.ndim > 2 or y.size == 0:
        raise ActcompareError(f"{name}: X of shape {X.shape} does not fit y of shape {y.shape}")
    if X.ndim > 2:
        said.append(f"X of shape {X.shape} is flattened to {X[0].size:,} inputs of the same unit")
        same_unit = True
    shape = X.shape[1:] if X.ndim > 2 else ()
    X = X.reshape(len(X), -1).astype(np.float64)
    inputs = tuple(inputs) or tuple(map(str, range(X.shape[1])))
    _refuse_infinities(name, X, inputs)
    missing = _is_missing(y)
    if missing.any():
        said.append(f"{missing.sum():,} samples without a target are left out")
        X, y = X[~missing], y[~missing]
    if len(y) == 0:
        raise ActcompareError(f"{name}: no sample has a target")
    if y.dtype.kind == "f" and np.isinf(y).any():
        raise ActcompareError(f"{name}: the target has infinite values: remove those samples")
    said += _describe_missing(X, inputs)
    inferred, why = infer_task(y)
    task, why = (inferred, why) if task is None else (task, "as requested")
    if task == CLASSIFICATION:
        numbers, classes = _as_classes(name, y)
        quantities, found = numbers, classes
    else:
        quantities, found = _as_quantities(name, y), ()
    return Dataset(
        name, X, quantities, task, why, inputs, found, tuple(said), same_unit, tuple(shape)
    )


def infer_task(y: npt.NDArray[Any]) -> tuple[str, str]:
    """Infer the task from the targets, and say from what.

    Args:
        y: Targets, shape (sample,) or (sample, output), without missing values.
    """
    if y.ndim == 2:
        return REGRESSION, f"{y.shape[1]} numbers per sample"
    if y.dtype.kind not in "fiu":
        distinct = len(set(y.tolist()))
        return CLASSIFICATION, f"{distinct} distinct {'values' if y.dtype.kind == 'b' else 'texts'}"
    distinct = len(np.unique(y))
    if distinct <= MOST_CLASSES and bool((y == np.round(y)).all()):
        return CLASSIFICATION, f"{distinct} distinct whole numbers"
    return REGRESSION, f"{distinct:,} distinct numbers"


def _as_classes(name: str, y: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], tuple[str, ...]]:
    if y.ndim == 2:
        raise ActcompareError(f"{name}: a target of {y.shape[1]} columns cannot be classes")
    if y.dtype.kind == "O":
        y = y.astype(str)
    values, numbers = np.unique(y, return_inverse=True)
    if len(values) < 2:
        raise ActcompareError(f"{name}: every target is {values[0]}: nothing to learn")
    if len(values) > max(2, len(y) // 2):
        text = y.dtype.kind == "U"
        cure = "check --target" if text else "use --task regression for a quantity"
        raise ActcompareError(
            f"{name}: {len(values):,} classes are too many for {len(y):,} samples: {cure}"
        )
    whole = values.dtype.kind == "f" and bool((values == np.round(values)).all())
    labels = values.astype(np.int64) if whole else values
    return numbers.astype(np.int64), tuple(map(str, labels.tolist()))


def _as_quantities(name: str, y: npt.NDArray[Any]) -> Array:
    try:
        quantities = y.astype(np.float64).reshape(len(y), -1)
    except ValueError:
        raise ActcompareError(
            f"{name}: the target has texts, such as {str(y[0])!r}: use --task classification"
        ) from None
    if (quantities == quantities[0]).all():
        raise ActcompareError(f"{name}: every target is {y[0]}: nothing to learn")
    return quantities


def _is_missing(y: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return which samples lack a target or part of one, bool of shape (sample,)."""
    flat = y.reshape(len(y), -1)
    if y.dtype.kind == "O":
        return np.array([any(v is None or v != v for v in row) for row in flat], dtype=bool)
    if y.dtype.kind == "f":
        return np.array(np.isnan(flat).any(axis=1))
    return np.zeros(len(y), dtype=bool)


def _refuse_infinities(name: str, X: Array, inputs: Sequence[str]) -> None:
    if np.isinf(X).any():
        row, column = np.argwhere(np.isinf(X))[0]
        raise ActcompareError(
            f"{name}: input {inputs[column]!r} is infinite, first in sample {row + 1}: remove such"
            " samples"
        )


def _describe_missing(X: Array, inputs: Sequence[str]) -> list[str]:
    absent = np.isnan(X)
    if not absent.any():
        return []
    empty = absent.all(axis=0)
    notes = [
        f"input {inputs[i]!r} has no values and is set to 0"
        for i in map(int, np.flatnonzero(empty))
    ]
    count = int(absent[:, ~empty].sum())
    if count:
        columns = [inputs[int(i)] for i in np.flatnonzero(absent.any(axis=0) & ~empty)]
        notes.append(
            f"{count:,} missing values (in {listed(columns)}) become the mean of the training set"
        )
    return notes


def check_memory(name: object, held: float) -> None:
    """Check that a data set fits into memory, before it is read or made.

    Args:
        name: Name of the data set.
        held: Size of its numbers as float64, in bytes.

    Raises:
        ActcompareError: It does not fit.
    """
    check_fits(str(name), held * COPIES, "use fewer rows or columns")
