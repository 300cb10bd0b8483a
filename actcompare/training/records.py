"""The configuration of a training run, and what is recorded after each epoch."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from actcompare.bounds import Amount, Count, Label, Positive, Share
from actcompare.units.statistics import SHARES, VERDICTS, firing_rate_bound


@dataclass(frozen=True)
class TrainConfig:
    """The settings of a training run."""

    activation: Label
    data: str
    target: str | None
    task: str
    scale: str
    """Scaling of the inputs: standard, unit or none."""
    input_size: Positive
    output_size: Positive
    hidden: Positive
    depth: Positive
    output_activation: Label | None
    epochs: Count
    batch_size: Positive
    optimizer: str
    lr: Amount
    momentum: Amount | None
    """Momentum of sgd; None for the other optimizers."""
    weight_decay: Amount
    init: str
    seed: Count
    device: str
    dtype: str
    threads: Positive
    track_on: str | None
    """The split on which units are watched, train or validation; None if they are not watched."""
    model: str | None = None
    """The user's model that is trained; None for SimpleNet, to which hidden, depth and init
    apply."""
    replaced: str | None = None
    """The activation of that model that is replaced."""
    input_shape: tuple[Positive, ...] = ()
    """Shape in which that model takes a sample; empty for a row of inputs."""
    checkpoint: str | None = None
    """File of its first weights."""

    def as_dict(self) -> dict[str, Any]:
        """Return the settings that apply, as plain data."""
        plain = asdict(self)
        of_one = ("hidden", "depth", "init", "output_activation")
        others = ("model", "replaced", "input_shape", "checkpoint")
        for name in of_one if self.model else others:
            del plain[name]
        return plain


@dataclass(frozen=True)
class DataSummary:
    """The data set as used in a run."""

    samples: tuple[Positive, Positive, Positive]
    """Samples in the training, validation and test set."""
    stratified: bool
    """Whether the split was made within each class."""
    why: str
    """What the task was inferred from."""
    classes: tuple[str, ...]
    constant: tuple[str, ...]
    """Names of the inputs that are constant in the training set."""
    notes: tuple[str, ...]
    """What was changed or left out when the data were read."""
    fingerprint: str
    """A hash of all numbers."""
    largest_class: Share | None = None
    """The share of the largest class in the training set; None for a regression."""
    least_target: float | None = None
    """The least target of a regression; None in a classification."""


@dataclass(frozen=True)
class LayerUnits:
    """The units of one hidden layer after one epoch."""

    layer: str
    units: Positive
    samples: Positive
    sparsity: Share
    verdicts: Mapping[str, tuple[Count, ...]]
    """For each verdict the indices, from 0, of the units it applies to."""
    gradient_norm: float | None = None
    """Norm of the gradient of the training loss with respect to the layer's weights and biases;
    None except at the start and the end of a run."""

    def __post_init__(self) -> None:
        if self.verdicts.keys() != set(VERDICTS):
            raise ValueError(f"the verdicts should be {', '.join(VERDICTS)}")
        if any(unit >= self.units for units in self.verdicts.values() for unit in units):
            raise ValueError(f"a verdict names a unit beyond the {self.units} of {self.layer}")

    @property
    def dead(self) -> frozenset[int]:
        """Indices of the units that are zero-dead or gradient-dead."""
        return frozenset(self.verdicts["zero_dead"]) | frozenset(self.verdicts["gradient_dead"])

    def counts(self) -> dict[str, int]:
        """Return the number of units that each verdict applies to."""
        return {verdict: len(self.verdicts[verdict]) for verdict in VERDICTS}

    def row(self) -> dict[str, Any]:
        """Return the tidy record."""
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
    """The loss and metric of a net on one split of the data."""

    loss: float
    """Cross-entropy in nats, or mean squared error of the standardised target."""
    metric: float
    """Accuracy, or R^2 averaged over outputs."""


@dataclass(frozen=True)
class Example:
    """A sample of the test set, and what the net makes of it."""

    sample: int
    """Its row in the data set, from 0."""
    input: tuple[float | None, ...]
    """As it stands in the data set; None where it is missing."""
    target: str | tuple[float, ...]
    """The name of its class, or the targets of a regression, as they stand in the data set."""
    output: tuple[float, ...]
    """The probability of each class, or the predictions in the units of the targets."""
    predicted: str | None
    """The most probable class; None in a regression."""


@dataclass(frozen=True)
class Epoch:
    """The state of a run after an epoch; epoch 0 is the initialisation."""

    epoch: Count
    train: Score
    validation: Score
    seconds: Amount
    """Time of the epoch's training steps alone."""
    layers: tuple[LayerUnits, ...] = ()
    waited_s: Amount | None = None
    """Seconds for which threads waited for a core in these steps; None if unknown."""

    def row(self) -> dict[str, Any]:
        """Return the tidy record without the layers."""
        return {
            "epoch": self.epoch,
            "train_loss": self.train.loss,
            "train_metric": self.train.metric,
            "validation_loss": self.validation.loss,
            "validation_metric": self.validation.metric,
            "seconds": self.seconds,
            "waited_s": self.waited_s,
        }


@dataclass(frozen=True)
class Divergence:
    """The point at which the loss was no longer finite."""

    epoch: Count
    step: Positive
    """Step within the epoch, from 1; the last step if only the scores after the epoch show it."""
    loss: float


LAYER_NUMBERS = (*VERDICTS, *SHARES, "sparsity", "gradient_norm")
"""The columns that `--fail-on` can test in each layer."""

_SCORES = [f"{part}_{of}" for part in ("train", "validation", "test") for of in ("loss", "metric")]

RUN_NUMBERS = (*_SCORES, "negative_share", "seconds", "samples_per_s", "diverged")
"""The columns that `--fail-on` can test once per run."""
