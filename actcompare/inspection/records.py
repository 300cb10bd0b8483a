"""The settings of an inspection, and the results of a swap."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from actcompare.errors import UsageError
from actcompare.models.swap import Swap, Swaps
from actcompare.models.watching.records import WatchedLayer
from actcompare.units.statistics import EPS

_MOST = 10**15
"""More samples than any file holds."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a model is inspected.

    Raises:
        UsageError: A setting is wrong.
    """

    samples: int | None = None
    """Largest number of samples; None for all."""
    batch_size: int = 64
    """Samples per batch if the data are one tensor or array."""
    device: str | None = None
    """Device to run the model on; None for its own. It is moved back afterwards."""
    dtype: str | None = None
    """Dtype to run the model in; None for that of its weights."""
    input_index: Sequence[int] = ()
    """Indices of the parts of a tuple that the model takes."""
    input_key: Sequence[str] = ()
    """Keys of the parts of a mapping that the model takes."""
    own: Sequence[str] = ()
    """A user's own elementwise functions to watch, as `module:Name` or `file.py:Name`."""
    unit_dim: int | None = None
    """Axis of the units; None to infer it."""
    eps: float = EPS
    """Largest |f'| that counts as flat."""
    every: int = 1
    """Measure each n-th sample, or in small batches position, of an activation."""
    swap: Swaps | None = None
    """Activations to swap in a copy that runs too, such as `{"relu": "softplus"}`."""

    def __post_init__(self) -> None:
        samples = 1 if self.samples is None else self.samples
        if not all(1 <= count <= _MOST for count in (self.batch_size, samples)):
            raise UsageError(f"samples and batch_size must be at least 1 and at most {_MOST:,}")
        if not 1 <= self.every <= _MOST:
            raise UsageError(f"every must be at least 1, not {self.every}")
        if not self.eps >= 0:
            raise UsageError(f"eps must be at least 0, not {self.eps}")


@dataclass(frozen=True)
class InspectConfig:
    """What was inspected, and how."""

    model: str
    data: str
    samples: int | None
    """Largest number of samples; None for all."""
    batch_size: int
    device: str
    dtype: str
    input_index: tuple[int, ...]
    input_key: tuple[str, ...]
    watch: tuple[str, ...]
    unit_dim: int | None
    eps: float
    every: int
    swap: Mapping[str, str]


@dataclass(frozen=True)
class WhatIf:
    """The model with swapped activations, on the same samples."""

    layers: tuple[WatchedLayer, ...] = field(repr=False)
    swaps: tuple[Swap, ...]
