"""A data set as three standardised parts: to learn from, to choose by, and to judge by."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from actcompare.data.datasets import CLASSIFICATION, Array, Dataset
from actcompare.errors import ActcompareError

_DEAL = "00010002000100020012"
"""Which part the samples go to in turn, when they are dealt out."""

STANDARD, UNIT, NONE = SCALES = ("standard", "unit", "none")


@dataclass(frozen=True)
class Part:
    """Samples ready for a net."""

    X: Tensor
    """Shape (sample, input)."""
    y: Tensor
    """Numbers of classes, shape (sample,), or standardised quantities, shape (sample, output)."""

    def __len__(self) -> int:
        return len(self.X)

    def chunks(self, rows: int) -> "Iterator[Part]":
        """The samples in order, at most so many at a time."""
        for first in range(0, len(self), rows):
            yield Part(self.X[first : first + rows], self.y[first : first + rows])


@dataclass(frozen=True)
class Split:
    """The three parts."""

    train: Part
    validation: Part
    test: Part
    constant: tuple[str, ...]
    """Inputs that have one value only throughout the training part, and so are 0."""
    stratified: bool


def split(
    dataset: Dataset,
    seed: int,
    dtype: torch.dtype,
    device: torch.device,
    *,
    scale: str = STANDARD,
    centred_targets: bool = True,
) -> Split:
    """Split by seed (classes in equal shares), and standardise by the training part alone.

    Inputs are scaled as `scale` says: `standard` gives each mean 0 and standard deviation 1, `unit`
    divides all of them by the largest absolute value, `none` leaves them. Missing ones become the
    mean. Quantities to learn get mean 0 and deviation 1, or are only divided by their deviation
    where they must keep their sign.

    Raises:
        ActcompareError: there are too few samples for three parts.
    """
    stratified = dataset.task == CLASSIFICATION
    rows = split_rows(dataset.y if stratified else None, len(dataset.X), seed)
    if min(map(len, rows)) < 2:
        raise ActcompareError(
            f"{dataset.name}: {len(dataset.X)} samples are too few to split into training,"
            " validation and test"
        )
    X, constant = _scale(dataset.X, rows[0], scale)
    y = dataset.y
    if not stratified:
        mean, deviation, constant_targets = _moments(y[rows[0]])
        if constant_targets.any():
            raise ActcompareError(f"{dataset.name}: the target is constant in the training part")
        y = (y - mean * centred_targets) / deviation
    targets = torch.from_numpy(y)
    targets = targets.to(device) if stratified else targets.to(device, dtype)
    inputs = torch.from_numpy(X).to(device, dtype)
    train, validation, test = (
        Part(inputs[i], targets[i]) for i in (torch.from_numpy(r).to(device) for r in rows)
    )
    names = tuple(dataset.inputs[i] for i in constant)
    return Split(train, validation, test, names, stratified)


def split_rows(
    classes: npt.NDArray[np.int64] | None, samples: int, seed: int
) -> list[npt.NDArray[np.int64]]:
    """Which rows are for training, validation and test.

    Samples are shuffled, sorted by class, and dealt out in turn, so that each part gets its share
    of every class, to the nearest sample.

    Args:
        classes: shape (sample,); None where there are none.
        samples: how many.
        seed: of the shuffle.
    """
    order = np.random.default_rng([seed, 1]).permutation(samples)
    if classes is not None:
        order = order[np.argsort(classes[order], kind="stable")]
    dealt = np.resize(np.array(list(_DEAL), dtype=np.int64), samples)
    return [np.sort(order[dealt == part]) for part in range(3)]


def _scale(
    X: Array, train: npt.NDArray[np.int64], scale: str
) -> tuple[Array, npt.NDArray[np.int64]]:
    """The inputs as a net gets them, and which are constant in the training part."""
    mean, deviation, constant = _moments(X[train])
    filled = np.where(np.isnan(X), mean, X)
    if scale == STANDARD:
        filled = (filled - mean) / np.where(constant, 1, deviation)
        filled[:, constant] = 0  # a value that training never saw would be huge
    elif scale == UNIT:
        filled = filled / (np.abs(filled[train]).max() or 1)
    return filled, np.flatnonzero(constant)


def _moments(known: Array) -> tuple[Array, Array, npt.NDArray[np.bool_]]:
    """Mean and standard deviation of each column, NaN aside, and which columns are constant."""
    present = ~np.isnan(known)
    count = np.maximum(present.sum(axis=0), 1)
    # Divided before it is summed or squared, so that huge numbers do not overflow.
    mean = np.where(present, known / count, 0).sum(axis=0)
    away = np.abs(np.where(present, known - mean, 0))
    largest = np.maximum(away.max(axis=0), np.finfo(np.float64).tiny)
    deviation = largest * np.sqrt(((away / largest) ** 2).sum(axis=0) / count)
    return mean, deviation, deviation <= 1e-12 * np.abs(mean)
