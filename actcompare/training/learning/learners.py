"""Make the learner of a recipe: of SimpleNet, or of a user's model."""

from dataclasses import replace

import torch
from torch import nn

from actcompare.data.splits import Part
from actcompare.models.load import in_dtype
from actcompare.training.learning.learner import Learner
from actcompare.training.learning.module import ModuleLearner, in_shape, make_model, swapped
from actcompare.training.learning.nets import make_net
from actcompare.training.learning.optimizers import make_optimizer
from actcompare.training.records import TrainConfig
from actcompare.training.settings import Recipe

_FEW = 8
"""Samples on which a model is tried, to see which activations it calls."""


def make_learner(
    recipe: Recipe, train: Part, dtype: torch.dtype, device: torch.device
) -> tuple[TrainConfig, Learner | ModuleLearner]:
    """Return the config, with the activation that is replaced, and what learns.

    Raises:
        UsageError: The model does not call the activation to replace.
        ActcompareError: The net or model cannot be made, or an activation fails.
    """
    config = recipe.config
    optimizer = make_optimizer(config.optimizer, config.lr, config.momentum, config.weight_decay)
    if recipe.model is None:
        return config, Learner(make_net(recipe, dtype, device), config.task, optimizer)
    net, old = make_twin(recipe, train, dtype, device)
    outputs = config.output_size
    learner = ModuleLearner(net, config.task, optimizer, config.input_shape, outputs)
    return replace(config, replaced=old), learner


def make_twin(
    recipe: Recipe, train: Part, dtype: torch.dtype, device: torch.device
) -> tuple[nn.Module, str]:
    """Return a user's model with the recipe's activation, and the one that this replaces.

    Raises:
        UsageError: The model does not call the activation to replace.
        ActcompareError: It cannot be made, or fails.
    """
    config = recipe.config
    assert recipe.model is not None
    model = make_model(recipe.model, config.checkpoint, config.seed, device).to(device)
    model = in_dtype(model, dtype)
    some = in_shape(train.X[:_FEW], config.input_shape)

    def run(each: nn.Module) -> object:
        return each(some)

    return swapped(model, recipe.activation, config.replaced or "", run)
