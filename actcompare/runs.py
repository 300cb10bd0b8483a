"""A training run: what was asked for, what was seen after each epoch, and records of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from actcompare.environment import Environment
from actcompare.errors import listed
from actcompare.neurons import VERDICTS, firing_rate_bound

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from actcompare.nets import SimpleNet


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


@dataclass(frozen=True)
class Training:
    """A run, as far as it went."""

    config: TrainConfig
    environment: Environment
    data: DataSummary
    history: tuple[Epoch, ...] = field(repr=False)
    """From epoch 0 on."""
    test: Score
    """Of the state after the last epoch of the history."""
    diverged: Divergence | None
    net: "SimpleNet" = field(repr=False)

    @property
    def metric(self) -> str:
        """What the metric is."""
        return "accuracy" if self.data.classes else "R^2"

    @property
    def weights(self) -> "dict[str, Tensor]":
        """The net's state dict."""
        return self.net.state_dict()

    def columns(self) -> dict[str, list[Any]]:
        """Tidy columns: one record per hidden layer, as it ended."""
        return by_column([layer.row() for layer in self.history[-1].layers])

    def frame(self) -> "pd.DataFrame":
        """The tidy records as a DataFrame."""
        import pandas as pd

        return pd.DataFrame(self.columns())

    def metrics(self) -> dict[str, Any]:
        """Loss and metric of each part as the run ended, and how fast it went."""
        last = self.history[-1]
        parts = {"train": last.train, "validation": last.validation, "test": self.test}
        scores = {
            f"{part}_{name}": value
            for part, score in parts.items()
            for name, value in (("loss", score.loss), ("metric", score.metric))
        }
        seconds = sum(epoch.seconds for epoch in self.history)
        learned = self.data.samples[0] * last.epoch
        return {
            "metric": self.metric,
            **scores,
            "epochs": last.epoch,
            "seconds": seconds,
            "samples_per_s": learned / seconds if seconds else None,
            "diverged": int(self.diverged is not None),
            "diverged_epoch": self.diverged and self.diverged.epoch,
        }

    def history_rows(self) -> list[dict[str, Any]]:
        """One record per epoch: scores, and for each layer its counts, births and deaths.

        A unit dies when it becomes zero-dead or gradient-dead, and revives when it ceases to be.
        """
        rows = []
        before: Sequence[LayerUnits] = self.history[0].layers
        for epoch in self.history:
            layers = [
                layer.row()
                | {"died": sorted(layer.dead - old.dead), "revived": sorted(old.dead - layer.dead)}
                for old, layer in zip(before, epoch.layers, strict=True)
            ]
            rows.append(epoch.row() | {"layers": layers})
            before = epoch.layers
        return rows

    def course(self) -> dict[str, list[Any]]:
        """Tidy columns: one record per epoch, unit counts summed over the layers."""
        records = []
        for row in self.history_rows():
            layers = row.pop("layers")
            if layers:
                row |= {name: sum(layer[name] for layer in layers) for name in ("units", *VERDICTS)}
                row |= {name: sum(len(layer[name]) for layer in layers) for name in _CHANGES}
            records.append(row)
        return by_column(records)

    def data_in_words(self) -> str:
        """What the data are and how they were prepared, on one line."""
        data, config = self.data, self.config
        train, validation, test = data.samples
        what = (
            f"{len(data.classes)} classes"
            if data.classes
            else f"{config.output_size} output{'s' * (config.output_size > 1)}"
        )
        scaled = {
            "standard": "each input with mean 0 and deviation 1 in the training part",
            "unit": "inputs divided by the largest of the training part",
            "none": "inputs as they are",
        }[config.scale]
        constant = data.constant and f" ({len(data.constant)} constant: {listed(data.constant, 5)})"
        return (
            f"{config.data}, {config.input_size} inputs{constant or ''}, {config.task} ({data.why})"
            f" into {what}; {train:,} samples to train, {validation:,} to validate, {test:,} to"
            f" test, split by seed{' within each class' * data.stratified}; {scaled}."
        )

    def reading(self) -> str:
        """In words: what became of the units, and what follows."""
        from actcompare.course import describe_training

        return describe_training(self)


_CHANGES = ("died", "revived")


def by_column(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Records as columns."""
    return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}


SHARES = tuple(f"{verdict}_share" for verdict in VERDICTS)
LAYER_NUMBERS = (*VERDICTS, *SHARES, "sparsity", "gradient_norm")
"""What a gate can be set on, layer by layer."""
_SCORES = [f"{part}_{of}" for part in ("train", "validation", "test") for of in ("loss", "metric")]
RUN_NUMBERS = (*_SCORES, "seconds", "samples_per_s", "diverged")
"""What a gate can be set on, once for a run."""


def with_shares(columns: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    """Columns of layers with each verdict's count also as a share of the units."""
    shares = {
        f"{verdict}_share": list(np.divide(columns[verdict], columns["units"]).tolist())
        for verdict in VERDICTS
        if columns
    }
    return {**{name: list(values) for name, values in columns.items()}, **shares}
