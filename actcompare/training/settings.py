"""Check the settings of a training run, load its data, and parse its activations."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from actcompare.activations.spec import Activation, Specs, parse_all
from actcompare.data.datasets import CLASSIFICATION, REGRESSION, TASKS, Dataset, Source
from actcompare.data.sources import load_data
from actcompare.data.splits import SCALES, STANDARD, UNIT
from actcompare.errors import UsageError
from actcompare.machine.devices import device_named, resolve_dtype
from actcompare.machine.processors import check_threads, free_threads, threads_for
from actcompare.models.simple_net import INITS
from actcompare.models.uses import AS_IS
from actcompare.training.learning.module import Model
from actcompare.training.learning.optimizers import OPTIMIZERS
from actcompare.training.records import TrainConfig

TRACKED = ("train", "validation")

MOST_LAYERS = 1000
"""Largest depth; deeper nets take minutes to build, and plain nets do not learn at such depths."""

LEARNING_RATES = {
    CLASSIFICATION: {"sgd": 0.1, "adam": 0.003, "adamw": 0.003},
    REGRESSION: {"sgd": 0.01, "adam": 0.003, "adamw": 0.003},
}

WEIGHT_DECAY = {"sgd": 0.0, "adam": 0.0, "adamw": 0.01}
"""The defaults of torch.optim."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of a training run, checked when they are created.

    Raises:
        UsageError: A setting is wrong.
    """

    target: str | None = None
    """Column of a table to predict."""
    task: str | None = None
    """Task: classification or regression; None infers it from the target."""
    scale: str | None = None
    """Scaling of the inputs: standard (each to mean 0 and deviation 1), unit (all divided by the
    largest absolute value) or none. The default is unit for pixels, otherwise standard."""
    input_size: int | None = None
    """Number of inputs of `random` data, 4 by default."""
    output_size: int | None = None
    """Number of outputs of `random` data, 1 by default."""
    hidden: int = 64
    """Units in a hidden layer."""
    depth: int = 1
    """Number of hidden layers."""
    output_activation: str | None = None
    """SPEC of the activation of the outputs, such as softplus for a positive target."""
    epochs: int = 30
    """Passes over the training set."""
    batch_size: int = 32
    """Samples per step."""
    optimizer: str = "sgd"
    """Optimizer: sgd, adam or adamw."""
    lr: float | None = None
    """Learning rate; by default 0.1 with sgd (0.01 for regression), otherwise 0.003."""
    momentum: float | None = None
    """Momentum of sgd, 0.9 by default."""
    weight_decay: float | None = None
    """Weight decay, as in torch.optim; 0 by default, 0.01 with adamw."""
    init: str = "default"
    """Initialisation of the weights: default (PyTorch's), kaiming, xavier or critical."""
    seed: int = 0
    """Seed of the split, the weights and the order of batches."""
    device: str = "cpu"
    """Device to compute on: cpu, cuda, cuda:N or mps."""
    dtype: str = "float32"
    """Number format: float32, float64, bfloat16 or float16."""
    threads: int | None = None
    """Threads that torch uses; None chooses by the size of a step and the cores that are free."""
    track_on: str | None = "train"
    """Part of the data on which units are watched: train, validation, or None."""
    model: Model | None = None
    """A model of the user's instead of SimpleNet: a target, a module, or a function that makes
    one."""
    checkpoint: str | Path | None = None
    """File of its first weights."""
    replace: str = AS_IS
    """The activation of that model that gives way; by default the one that it calls most often."""
    input_shape: Sequence[int] = ()
    """Shape in which that model takes a sample, if the data are rows: (1, 8, 8) for digits."""

    def __post_init__(self) -> None:
        self._check_model()
        for name in ("hidden", "depth", "batch_size"):
            if getattr(self, name) < 1:
                raise UsageError(f"{_option(name)} must be at least 1, not {getattr(self, name)}")
        if self.depth > MOST_LAYERS:
            raise UsageError(f"depth must be at most {MOST_LAYERS:,}, not {self.depth:,}")
        for name in ("epochs", "seed"):
            if getattr(self, name) < 0:
                raise UsageError(f"{name} must be 0 or more, not {getattr(self, name)}")
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value is not None and value not in choices:
                raise UsageError(f"{_option(name)} {value!r} is not one of {', '.join(choices)}")
        if self.momentum is not None and self.optimizer != "sgd":
            raise UsageError(f"momentum applies only to sgd, not to {self.optimizer}")
        check_threads(self.threads)
        dtype, kind = resolve_dtype(self.dtype)
        for name in ("lr", "momentum", "weight_decay"):
            number = getattr(self, name)
            if number is not None and not 0 <= number <= torch.finfo(kind).max:
                raise UsageError(
                    f"{_option(name)} must be 0 or more and finite in {dtype}, not {number}"
                )
        if device_named(self.device).type == "mps" and dtype == "float64":
            raise UsageError("device mps does not support float64: use --dtype float32")

    def _check_model(self) -> None:
        others: dict[str, object] = {"checkpoint": None, "replace": AS_IS, "input_shape": ()}
        if self.model is None:
            for name, usual in others.items():
                if getattr(self, name) != usual:
                    raise UsageError(f"{_option(name)} needs a model")
            return
        for name, simple in {"hidden": 64, "depth": 1, "init": "default"}.items():
            if getattr(self, name) != simple:
                raise UsageError(f"{_option(name)} applies to SimpleNet, not to a model of yours")
        if self.output_activation is not None:
            raise UsageError("output-act applies to SimpleNet, not to a model of yours")
        if any(length < 1 for length in self.input_shape):
            raise UsageError(f"input-shape {self.input_shape} has a length below 1")


_CHOICES: dict[str, Sequence[str]] = {
    "optimizer": OPTIMIZERS,
    "init": INITS,
    "task": TASKS,
    "scale": SCALES,
    "track_on": TRACKED,
}


@dataclass(frozen=True)
class Recipe:
    """The checked inputs of a training run."""

    config: TrainConfig
    dataset: Dataset
    activation: Activation
    output_activation: Activation | None
    model: Model | None = None
    """A user's model; None for SimpleNet."""

    def users_own(self) -> list[Activation]:
        """Return the activations that are not in the catalogue."""
        both = (self.activation, self.output_activation)
        return [a for a in both if a is not None and a.entry is None]


def make_recipe(activation: Specs = "relu", data: Source = "digits", **settings: Any) -> Recipe:
    """Check all settings, load the data, and parse the activations.

    Args:
        activation: The activation of the hidden layers.
        data: The data.
        settings: Fields of `Settings`. Whether the device is available is not checked.

    Raises:
        UsageError: A setting is wrong.
        ActcompareError: The data cannot be used.
    """
    given = Settings(**settings)
    if activation in (AS_IS, [AS_IS]) and given.model is not None:
        inner = Activation(AS_IS, {})
    else:
        inner = _one(activation, "train")
    outer = None
    if given.output_activation is not None:
        outer = _one(given.output_activation, "output-act")
    if not (isinstance(data, str) and data == "random"):
        for name in ("input_size", "output_size"):
            if getattr(given, name) is not None:
                raise UsageError(f"{_option(name)} applies only to --data random")
    dataset = load_data(
        data,
        target=given.target,
        task=given.task,
        input_size=4 if given.input_size is None else given.input_size,
        output_size=1 if given.output_size is None else given.output_size,
        seed=given.seed,
    )
    config = _filled_in(given, data, dataset, inner, outer)
    inputs = math.prod(config.input_shape)
    if config.input_shape and inputs != config.input_size:
        raise UsageError(
            f"input-shape {'x'.join(map(str, config.input_shape))} has {inputs:,} inputs, but"
            f" {config.data} has {config.input_size:,}"
        )
    return Recipe(config, dataset, inner, outer, given.model)


def _filled_in(
    given: Settings, data: Source, dataset: Dataset, inner: Activation, outer: Activation | None
) -> TrainConfig:
    """Return the settings with every default made explicit."""
    optimizer, task = given.optimizer, dataset.task
    chosen: dict[str, Any] = {
        "activation": inner.label,
        "data": data if isinstance(data, str) else dataset.name,
        "task": task,
        "scale": given.scale or (UNIT if dataset.same_unit else STANDARD),
        "input_size": dataset.X.shape[1],
        "output_size": dataset.outputs,
        "output_activation": outer and outer.label,
        "lr": LEARNING_RATES[task][optimizer] if given.lr is None else given.lr,
        "dtype": resolve_dtype(given.dtype)[0],
        "threads": given.threads or _threads(given, dataset),
    }
    if given.model is not None:
        chosen |= {
            "model": given.model if isinstance(given.model, str) else _name_of(given.model),
            "replaced": given.replace,
            "input_shape": tuple(given.input_shape) or dataset.shape,
            "checkpoint": None if given.checkpoint is None else str(given.checkpoint),
        }
    if given.momentum is None and optimizer == "sgd":
        chosen["momentum"] = 0.9
    if given.weight_decay is None:
        chosen["weight_decay"] = WEIGHT_DECAY[optimizer]
    named = {field.name for field in fields(TrainConfig)}
    return TrainConfig(**{k: v for k, v in (vars(given) | chosen).items() if k in named})


def _name_of(model: object) -> str:
    return str(getattr(model, "__name__", type(model).__name__))


def _threads(given: Settings, dataset: Dataset) -> int:
    """Choose the number of threads for the training steps."""
    if given.model is not None and device_named(given.device).type == "cpu":
        return free_threads()
    if device_named(given.device).type != "cpu":
        return 1
    widest = max(dataset.X.shape[1], dataset.outputs, given.hidden * (given.depth > 1))
    batch = min(given.batch_size, len(dataset.X))
    return threads_for(2 * batch * given.hidden * widest, batch * given.hidden)


def _one(given: Specs, whose: str) -> Activation:
    activations = parse_all(given)
    if len(activations) != 1:
        raise UsageError(f"{whose} takes one activation, not {len(activations)}")
    return activations[0]


def _option(name: str) -> str:
    return name.replace("_", "-")
