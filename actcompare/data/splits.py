"""Split a data set into training, validation and test sets, and scale it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from actcompare.data.datasets import CLASSIFICATION, Array, Dataset
from actcompare.errors import ActcompareError

_DEAL = "00010002000100020012"
"""The set (0: training, 1: validation, 2: test) of each sample in turn, repeated."""

STANDARD, UNIT, NONE = SCALES = ("standard", "unit", "none")


@dataclass(frozen=True)
class Part:
    """The samples of one set, scaled and ready for a net."""

    X: Tensor
    """Inputs, shape (sample, input)."""
    y: Tensor
    """Class indices, shape (sample,), or standardised targets, shape (sample, output)."""

    def __len__(self) -> int:
        return len(self.X)

    def chunks(self, rows: int) -> "Iterator[Part]":
        """Yield the samples in order, at most `rows` at a time."""
        for first in range(0, len(self), rows):
            yield Part(self.X[first : first + rows], self.y[first : first + rows])


@dataclass(frozen=True)
class Split:
    """The training, validation and test sets."""

    train: Part
    validation: Part
    test: Part
    constant: tuple[str, ...]
    """Names of the inputs that are constant in the training set."""
    stratified: bool
    """Whether each class was split on its own."""
    offset: Array
    """What was subtracted from the targets of a regression, shape (output,)."""
    unit: Array
    """What they were then divided by, shape (output,)."""


def split(
    dataset: Dataset,
    seed: int,
    dtype: torch.dtype,
    device: torch.device,
    *,
    scale: str = STANDARD,
    centred_targets: bool = True,
) -> Split:
    """Split by seed, within each class, and scale by statistics of the training set.

    The scale `standard` gives each input mean 0 and standard deviation 1, `unit` divides all inputs
    by the largest absolute value, and `none` keeps them. Missing inputs become the mean. Regression
    targets get standard deviation 1, and mean 0 if `centred_targets`.

    Raises:
        ActcompareError: There are too few samples for three sets, or the target is constant.
    """
    stratified = dataset.task == CLASSIFICATION
    rows = split_rows(dataset.y if stratified else None, len(dataset.X), seed)
    if min(map(len, rows)) < 2:
        raise ActcompareError(
            f"{dataset.name}: {len(dataset.X)} samples are too few to split into training,"
            " validation and test"
        )
    X, constant = _scale(dataset.X, rows[0], scale)
    y, offset, unit = dataset.y, np.zeros(1), np.ones(1)
    if not stratified:
        mean, deviation, constant_targets = _moments(y[rows[0]])
        if constant_targets.any():
            raise ActcompareError(f"{dataset.name}: the target is constant in the training set")
        offset, unit = mean * centred_targets, deviation
        y = (y - offset) / unit
    targets = torch.from_numpy(y)
    targets = targets.to(device) if stratified else targets.to(device, dtype)
    inputs = torch.from_numpy(X).to(device, dtype)
    train, validation, test = (
        Part(inputs[i], targets[i]) for i in (torch.from_numpy(r).to(device) for r in rows)
    )
    names = tuple(dataset.inputs[i] for i in constant)
    return Split(train, validation, test, names, stratified, offset, unit)


def split_rows(
    classes: npt.NDArray[np.int64] | None, samples: int, seed: int
) -> list[npt.NDArray[np.int64]]:
    """Return the row indices of the training, validation and test sets.

    Samples are shuffled, sorted by class and dealt out in turn, so that each set gets its share of
    every class, to the nearest sample.

    Args:
        classes: Class indices, shape (sample,); None for a regression.
        samples: Number of samples.
        seed: Seed of the shuffle.
    """
    order = np.random.default_rng([seed, 1]).permutation(samples)
    if classes is not None:
        order = order[np.argsort(classes[order], kind="stable")]
    dealt = np.resize(np.array(list(_DEAL), dtype=np.int64), samples)
    return [np.sort(order[dealt == part]) for part in range(3)]


def _scale(
    X: Array, train: npt.NDArray[np.int64], scale: str
) -> tuple[Array, npt.NDArray[np.int64]]:
    """Return the scaled inputs, and the indices of those constant in the training set."""
    mean, deviation, constant = _moments(X[train])
    filled = np.where(np.isnan(X), mean, X)
    if scale == STANDARD:
        filled = (filled - mean) / np.where(constant, 1, deviation)
        filled[:, constant] = 0  # other values outside the training set would be huge
    elif scale == UNIT:
        filled = filled / (np.abs(filled[train]).max() or 1)
    return filled, np.flatnonzero(constant)


def _moments(known: Array) -> tuple[Array, Array, npt.NDArray[np.bool_]]:
    """Return mean, standard deviation and constancy of each column, ignoring NaN."""
    present = ~np.isnan(known)
    count = np.maximum(present.sum(axis=0), 1)
    # Divide before summing or squaring, so that huge numbers do not overflow.
    mean = np.where(present, known / count, 0).sum(axis=0)
    away = np.abs(np.where(present, known - mean, 0))
    largest = np.maximum(away.max(axis=0), np.finfo(np.float64).tiny)
    deviation = largest * np.sqrt(((away / largest) ** 2).sum(axis=0) / count)
    return mean, deviation, deviation <= 1e-12 * np.abs(mean)
