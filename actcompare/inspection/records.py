"""What `inspect` was asked for, and the results of a swap."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from actcompare.models.records import WatchedLayer
from actcompare.models.swap import Swap


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
