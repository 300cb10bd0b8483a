"""A data set as three standardised parts: to learn from, to choose by, and to judge by."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from actcompare.data import CLASSIFICATION, Array, Dataset
from actcompare.errors import ActcompareError

_DEAL = "00010002000100020012"
"""Which part the samples go to in turn, when they are dealt out."""
SHARES = tuple(_DEAL.count(part) / len(_DEAL) for part in "012")
"""Of the samples for training, validation and test: 0.7, 0.15, 0.15."""


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
    centred_targets: bool = True,
) -> Split:
    """Split by seed (classes in equal shares), and standardise by the training part alone.

    Inputs get mean 0 and standard deviation 1; missing ones become 0, the mean. Quantities to
    learn likewise, or are only divided by their standard deviation where they must keep their sign.

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
    X, constant = _standardise(dataset.X, rows[0])
    y = dataset.y
    if not stratified:
        known = y[rows[0]]
        scale = known.std(axis=0)
        if (scale == 0).any():
            raise ActcompareError(f"{dataset.name}: the target is constant in the training part")
        y = (y - known.mean(axis=0) * centred_targets) / scale
    targets = torch.from_numpy(y)
    targets = targets.to(device) if stratified else targets.to(device, dtype)
    inputs = torch.from_numpy(X).to(device, dtype)
    parts = [Part(inputs[i], targets[i]) for i in (torch.from_numpy(r).to(device) for r in rows)]
    return Split(*parts, tuple(dataset.inputs[i] for i in constant), stratified)


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


def _standardise(
    X: Array, train: npt.NDArray[np.int64]
) -> tuple[Array, npt.NDArray[np.int64]]:
    """The inputs with mean 0 and deviation 1 in the training part, and which are constant there."""
    known = X[train]
    present = ~np.isnan(known)
    count = np.maximum(present.sum(axis=0), 1)
    # Divided before it is summed, so that huge numbers do not overflow.
    mean = np.where(present, known / count, 0).sum(axis=0)
    spread = np.where(present, known - mean, 0)
    deviation = np.sqrt((spread**2 / count).sum(axis=0))
    constant = deviation <= 1e-12 * np.abs(mean)
    out = (X - mean) / np.where(constant, 1, deviation)
    out[:, constant] = 0
    return np.nan_to_num(out, nan=0.0, copy=False), np.flatnonzero(constant)
