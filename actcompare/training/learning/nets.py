"""Build the nets to train, and check their size."""

import itertools

import torch

from actcompare.activations.derivatives import Function, build_elementwise, differentiate
from actcompare.activations.spec import Activation
from actcompare.data.splits import split
from actcompare.errors import ActcompareError
from actcompare.machine.devices import resolve_device, resolve_dtype
from actcompare.machine.generators import seeded
from actcompare.machine.memory import check_fits
from actcompare.models.critical import draw_critical_
from actcompare.models.simple_net import SimpleNet, initialise
from actcompare.training.records import TrainConfig
from actcompare.training.settings import Recipe


def make_net(recipe: Recipe, dtype: torch.dtype, device: torch.device) -> SimpleNet:
    """Build the net; its initial weights depend on the seed, not on dtype or device.

    They do not depend on the activation either, critical ones but for their scale.

    Raises:
        ActcompareError: The activation fails, or has no critical initialisation.
    """
    config, outer = recipe.config, recipe.output_activation
    function = _build(recipe.activation, dtype, device)
    out = _build(outer, dtype, device) if outer else None
    with seeded(config.seed, 0, device), torch.device("cpu"):
        net = SimpleNet(
            config.input_size,
            config.hidden,
            config.output_size,
            function,
            depth=config.depth,
            output_activation=out,
        )
        if config.init == "critical":
            layers = [layer for _, layer, _ in net.hidden_layers()]
            mean_square = _mean_square(recipe)
            draw_critical_([*layers, net.output_layer()], recipe.activation, mean_square)
        else:
            initialise(net, config.init)
    return net.to(device, dtype)


def _mean_square(recipe: Recipe) -> float:
    """Return the mean square of the training set's inputs."""
    config = recipe.config
    parts = split(
        recipe.dataset, config.seed, torch.float64, torch.device("cpu"), scale=config.scale
    )
    return float(parts.train.X.square().mean())


def _build(activation: Activation, dtype: torch.dtype, device: torch.device) -> Function:
    """Build the function of an activation, and check that it has a derivative."""
    function = build_elementwise(activation, dtype, device)
    some = torch.linspace(-3, 3, 64, dtype=dtype, device=device)
    differentiate(function, some, activation.label, 1)
    return function


def check_run(config: TrainConfig, samples: int) -> None:
    """Check that the training set fills a batch, and that a SimpleNet fits into memory.

    Raises:
        ActcompareError: Either is not the case.
    """
    if config.batch_size > samples:
        raise ActcompareError(
            f"batch-size {config.batch_size:,} exceeds the {samples:,} samples of the training set:"
            f" use {samples:,} or less"
        )
    if config.model is not None:
        return
    what = f"a net of hidden {config.hidden} and depth {config.depth}"
    cure = "choose a smaller --hidden or --depth"
    check_fits(what, memory_needed(config), cure, resolve_device(config.device))


def memory_needed(config: TrainConfig) -> int:
    """Estimate the bytes that a net takes in training."""
    sizes = [config.input_size, *[config.hidden] * config.depth, config.output_size]
    weights = sum((a + 1) * b for a, b in itertools.pairwise(sizes))
    activations = config.batch_size * config.hidden * config.depth
    # Seven times the weights: weights, gradient, two moments, the last good copy, two temporaries.
    return resolve_dtype(config.dtype)[1].itemsize * (7 * weights + 4 * activations)
