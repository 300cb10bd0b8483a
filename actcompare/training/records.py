"""What `train` was asked for, and what was seen after each epoch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from actcompare.units.statistics import SHARES, VERDICTS, firing_rate_bound


@dataclass(frozen=True)
class TrainConfig:
    """What was asked for."""

    activation: str
    data: str
    target: str | None
    task: str
    scale: str
    """Of the inputs: standard, unit or none."""
    input_size: int
    output_size: int
    hidden: int
    depth: int
    output_activation: str | None
    epochs: int
    batch_size: int
    optimizer: str
    lr: float
    momentum: float | None
    """Of sgd; None with the others, which have their own."""
    weight_decay: float
    init: str
    seed: int
    device: str
    dtype: str
    threads: int
    track_on: str | None
    """The part that units are watched on: train or validation; None where they are not."""


@dataclass(frozen=True)
class DataSummary:
    """The data as they were used."""

    samples: tuple[int, int, int]
    """In the training, validation and test part."""
    stratified: bool
    why: str
    """What the task was inferred from."""
    classes: tuple[str, ...]
    constant: tuple[str, ...]
    """Inputs without information in the training part."""
    notes: tuple[str, ...]
    fingerprint: str
    largest_class: float | None = None
    """The share of the largest class in the training part; None for a regression."""


@dataclass(frozen=True)
class LayerUnits:
    """The units of one hidden layer at one time."""

    layer: str
    units: int
    samples: int
    sparsity: float
    verdicts: Mapping[str, tuple[int, ...]]
    """For each verdict the units it holds for, numbered from 0."""
    gradient_norm: float | None = None
    """Of the training loss by the layer's weights and biases, at the two ends of a run."""

    @property
    def dead(self) -> frozenset[int]:
        """Units that are zero-dead or gradient-dead."""
        return frozenset(self.verdicts["zero_dead"]) | frozenset(self.verdicts["gradient_dead"])

    def counts(self) -> dict[str, int]:
        """How many units each verdict holds for."""
        return {verdict: len(self.verdicts[verdict]) for verdict in VERDICTS}

    def row(self) -> dict[str, Any]:
        """The tidy record."""
        return {
            "layer": self.layer,
            "units": self.units,
            **self.counts(),
            "sparsity": self.sparsity,
            "samples": self.samples,
            "firing_rate_bound": firing_rate_bound(self.samples),
            "gradient_norm": self.gradient_norm,
        }


@dataclass(frozen=True)
class Score:
    """How a net does on a part of the data."""

    loss: float
    """Cross-entropy in nats, or mean squared error of the standardised target."""
    metric: float
    """Accuracy, or R^2 (the mean over outputs)."""


@dataclass(frozen=True)
class Epoch:
    """The state of a run after an epoch; epoch 0 is the initialisation."""

    epoch: int
    train: Score
    validation: Score
    seconds: float
    """Of the epoch's steps alone."""
    layers: tuple[LayerUnits, ...] = ()

    def row(self) -> dict[str, Any]:
        """The tidy record, layers aside."""
        return {
            "epoch": self.epoch,
            "train_loss": self.train.loss,
            "train_metric": self.train.metric,
            "validation_loss": self.validation.loss,
            "validation_metric": self.validation.metric,
            "seconds": self.seconds,
        }


@dataclass(frozen=True)
class Divergence:
    """Where the loss stopped being a finite number."""

    epoch: int
    step: int
    """Counted from 1 within the epoch; the last one where only the epoch's end showed it."""
    loss: float


LAYER_NUMBERS = (*VERDICTS, *SHARES, "sparsity", "gradient_norm")
"""What a gate can be set on, layer by layer."""

_SCORES = [f"{part}_{of}" for part in ("train", "validation", "test") for of in ("loss", "metric")]

RUN_NUMBERS = (*_SCORES, "seconds", "samples_per_s", "diverged")
"""What a gate can be set on, once for a run."""
