"""Check the settings of a training run, load its data, and parse its activations."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from actcompare.activations.spec import Activation, Specs, parse_all
from actcompare.data.datasets import CLASSIFICATION, REGRESSION, TASKS, Dataset, Source
from actcompare.data.sources import load_data
from actcompare.data.splits import SCALES, STANDARD, UNIT
from actcompare.errors import UsageError
from actcompare.machine.devices import device_named, resolve_device, resolve_dtype
from actcompare.machine.processors import check_threads
from actcompare.models.simple_net import INITS
from actcompare.training.learning.optimizers import OPTIMIZERS
from actcompare.training.records import TrainConfig

TRACKED = ("train", "validation")

LEARNING_RATES = {
    CLASSIFICATION: {"sgd": 0.1, "adam": 0.003, "adamw": 0.003},
    REGRESSION: {"sgd": 0.01, "adam": 0.003, "adamw": 0.003},
}

WEIGHT_DECAY = {"sgd": 0.0, "adam": 0.0, "adamw": 0.01}
"""The defaults of torch.optim."""


@dataclass(frozen=True)
class Recipe:
    """Everything that a run starts from."""

    config: TrainConfig
    dataset: Dataset
    activation: Activation
    output_activation: Activation | None

    def users_own(self) -> list[Activation]:
        """Return the activations that are not from the catalogue."""
        both = (self.activation, self.output_activation)
        return [a for a in both if a is not None and a.entry is None]


def make_recipe(
    activation: Specs = "relu",
    data: Source = "digits",
    *,
    target: str | None = None,
    task: str | None = None,
    scale: str | None = None,
    input_size: int | None = None,
    output_size: int | None = None,
    hidden: int = 64,
    depth: int = 1,
    output_activation: str | None = None,
    epochs: int = 30,
    batch_size: int = 32,
    optimizer: str = "sgd",
    lr: float | None = None,
    momentum: float | None = None,
    weight_decay: float | None = None,
    init: str = "default",
    seed: int = 0,
    device: str = "cpu",
    dtype: str = "float32",
    threads: int | None = None,
    track_on: str | None = "train",
    elsewhere: bool = False,
) -> Recipe:
    """Check all settings, load the data, and parse the activations.

    Args:
        activation: Activation of the hidden layers.
        data: Name of a data set, path of a file, or arrays X and y.
        target: Name of the table column to learn.
        task: classification or regression; None infers it from the target.
        scale: Scaling of the inputs: standard (each input has mean 0 and standard deviation 1),
            unit (all are divided by the largest absolute value) or none. By default unit for
            pixels, otherwise standard.
        input_size: Number of inputs of `random` data; 4 by default.
        output_size: Number of outputs of `random` data; 1 by default.
        hidden: Units per hidden layer.
        depth: Number of hidden layers.
        output_activation: SPEC of an activation applied to the outputs, such as softplus for a
            positive target.
        epochs: Passes over the training set.
        batch_size: Samples per step.
        optimizer: sgd, adam or adamw.
        lr: Learning rate. By default 0.1 for sgd (0.01 for a regression), otherwise 0.003.
        momentum: Momentum of sgd; 0.9 by default.
        weight_decay: Weight decay of torch.optim; 0 by default, 0.01 for adamw.
        init: default (PyTorch's own), kaiming or xavier.
        seed: Seed of the split, the initial weights and the batch order.
        device: cpu, cuda, cuda:N or mps.
        dtype: float32, float64, bfloat16 or float16.
        threads: Intra-op threads; by default torch's setting.
        track_on: The split on which units are watched, train or validation; None watches none.
        elsewhere: Whether the run takes place on another machine, so that the device need not
            exist here.

    Raises:
        UsageError: A setting is invalid.
        ActcompareError: The data cannot be used.
    """
    chosen = parse_all(activation)
    if len(chosen) != 1:
        raise UsageError(f"train takes one activation, not {len(chosen)}")
    outer = parse_all(output_activation) if output_activation is not None else [None]
    if len(outer) != 1:
        raise UsageError(f"output-act takes one activation, not {len(outer)}")
    for name, value in (("hidden", hidden), ("depth", depth), ("batch_size", batch_size)):
        if value < 1:
            raise UsageError(f"{_option(name)} must be at least 1, not {value}")
    if epochs < 0:
        raise UsageError(f"epochs must be 0 or more, not {epochs}")
    if seed < 0:
        raise UsageError(f"seed must be 0 or more, not {seed}")
    check_threads(threads)
    _check_choice("optimizer", optimizer, OPTIMIZERS)
    _check_choice("init", init, INITS)
    if task is not None:
        _check_choice("task", task, TASKS)
    if scale is not None:
        _check_choice("scale", scale, SCALES)
    if track_on is not None:
        _check_choice("track_on", track_on, TRACKED)
    if momentum is not None and optimizer != "sgd":
        raise UsageError(f"momentum applies only to sgd, not to {optimizer}")
    momentum = 0.9 if momentum is None and optimizer == "sgd" else momentum
    weight_decay = WEIGHT_DECAY[optimizer] if weight_decay is None else weight_decay
    if not isinstance(data, str) or data != "random":
        for name, size in (("input_size", input_size), ("output_size", output_size)):
            if size is not None:
                raise UsageError(f"{_option(name)} applies only to --data random")
    where = device_named(device) if elsewhere else resolve_device(device)
    dtype, kind = resolve_dtype(dtype)
    for name, number in (("lr", lr), ("momentum", momentum), ("weight_decay", weight_decay)):
        if number is not None and not 0 <= number <= torch.finfo(kind).max:
            raise UsageError(
                f"{_option(name)} must be 0 or more and finite in {dtype}, not {number}"
            )
    if where.type == "mps" and dtype == "float64":
        raise UsageError("device mps does not support float64: use --dtype float32")
    dataset = load_data(
        data,
        target=target,
        task=task,
        input_size=4 if input_size is None else input_size,
        output_size=1 if output_size is None else output_size,
        seed=seed,
    )
    config = TrainConfig(
        activation=chosen[0].label,
        data=data if isinstance(data, str) else dataset.name,
        target=target,
        task=dataset.task,
        scale=scale or (UNIT if dataset.same_unit else STANDARD),
        input_size=dataset.X.shape[1],
        output_size=dataset.outputs,
        hidden=hidden,
        depth=depth,
        output_activation=outer[0].label if outer[0] else None,
        epochs=epochs,
        batch_size=batch_size,
        optimizer=optimizer,
        lr=LEARNING_RATES[dataset.task][optimizer] if lr is None else lr,
        momentum=momentum,
        weight_decay=weight_decay,
        init=init,
        seed=seed,
        device=device,
        dtype=dtype,
        threads=threads or torch.get_num_threads(),
        track_on=track_on,
    )
    return Recipe(config, dataset, chosen[0], outer[0])


def _option(name: str) -> str:
    return name.replace("_", "-")


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise UsageError(f"{_option(name)} {value!r} is not one of {', '.join(choices)}")
