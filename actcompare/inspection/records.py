"""What `inspect` was asked for, and the results of a swap."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from actcompare.errors import UsageError
from actcompare.models.records import WatchedLayer
from actcompare.models.swap import Swap, Swaps
from actcompare.units.statistics import EPS


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a model is inspected.

    Raises:
        UsageError: A setting is wrong.
    """

    samples: int | None = None
    """Largest number of samples; None for all."""
    batch_size: int = 64
    """Samples in a batch, where a tensor or array is given."""
    device: str | None = None
    """Where to run the model; None leaves it where it is. Moved to another, it moves back."""
    dtype: str | None = None
    """Number format to run it in; None for that of its weights."""
    input_index: Sequence[int] = ()
    """Which parts of a tuple go in."""
    input_key: Sequence[str] = ()
    """Which parts of a mapping go in."""
    own: Sequence[str] = ()
    """A user's own elementwise functions to watch, as `module:Name` or `file.py:Name`."""
    unit_dim: int | None = None
    """Axis of the units; None finds it out."""
    eps: float = EPS
    """Largest |f'| that counts as flat."""
    swap: Swaps | None = None
    """What if, such as `{"relu": "softplus"}`: run a copy with other activations too."""

    def __post_init__(self) -> None:
        if self.batch_size < 1 or (self.samples is not None and self.samples < 1):
            raise UsageError("samples and batch_size must be at least 1")
        if not self.eps >= 0:
            raise UsageError(f"eps must be at least 0, not {self.eps}")


@dataclass(frozen=True)
class InspectConfig:
    """What was inspected."""

    model: str
    data: str
    samples: int | None
    """At most so many; None for all."""
    batch_size: int
    device: str
    dtype: str
    input_index: tuple[int, ...]
    input_key: tuple[str, ...]
    watch: tuple[str, ...]
    unit_dim: int | None
    eps: float
    swap: Mapping[str, str]


@dataclass(frozen=True)
class WhatIf:
    """The same model with other activations, on the same samples."""

    layers: tuple[WatchedLayer, ...] = field(repr=False)
    swaps: tuple[Swap, ...]
