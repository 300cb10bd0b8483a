"""Train a user's model: the interface of `Learner`, for any module."""

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from actcompare.activations.spec import Activation
from actcompare.data.datasets import CLASSIFICATION
from actcompare.data.splits import Part
from actcompare.errors import ActcompareError
from actcompare.machine.generators import seeded
from actcompare.models.load import check_made, load_weights
from actcompare.models.swap import swap_activations
from actcompare.models.target import load_target
from actcompare.models.uses import AS_IS, activation_of
from actcompare.models.watching.watch import watch as watching
from actcompare.training.learning.learner import Tally, flatten, loss_of, scores_of
from actcompare.training.learning.optimizers import Optimizer
from actcompare.training.records import Score
from actcompare.units.statistics import UnitStatistics
from actcompare.units.wording import UNIT

Model = str | nn.Module | Callable[[], nn.Module]
"""A user's model: a target such as `mine.py:build`, a module, or a function that makes one."""

_ROWS = 256
"""Samples per batch when a model is scored."""


def make_model(model: Model, checkpoint: str | None, seed: int, device: torch.device) -> nn.Module:
    """Return a new model; random weights are those of the seed.

    A module is copied, and so has the same weights with every seed.

    Raises:
        UsageError: The target has another form.
        ActcompareError: The model cannot be made, or the weights do not fit.
    """
    with seeded(seed, 0, device), torch.device("cpu"):
        if isinstance(model, nn.Module):
            made = copy.deepcopy(model)
        elif isinstance(model, str):
            made, _, _ = load_target(model)
            made = copy.deepcopy(made)  # a module of the user's is left as it is
        else:
            made = model()
    if not isinstance(made, nn.Module):
        raise ActcompareError(f"the model is {type(made).__name__}, not a torch.nn.Module")
    check_made(made)
    if checkpoint is not None:
        load_weights(made, Path(checkpoint))
    return made


def swapped(
    model: nn.Module, activation: Activation, replaced: str, run: Callable[[nn.Module], Any]
) -> tuple[nn.Module, str]:
    """Return a model with an activation in place of one that it has, and which it replaces.

    Args:
        model: The model.
        activation: The new one; `as-is` leaves the model as it is.
        replaced: The old one, or `as-is` for the one that the model calls most often.
        run: Runs a model on some samples.

    Raises:
        UsageError: The model does not call the old one.
        ActcompareError: A call of it cannot be replaced.
    """
    old, _ = activation_of(model.eval(), run, replaced)
    if activation.label in (AS_IS, old):  # nothing to do
        return model, old
    twin, swaps = swap_activations(model, {old: activation})
    left = [swap for swap in swaps if swap.why_not]
    if left:
        raise ActcompareError(f"{old} cannot be replaced: {left[0].where} ({left[0].why_not})")
    return twin, old


class ModuleLearner:
    """A user's model and its optimizer; gradients come from autograd."""

    def __init__(
        self, net: nn.Module, task: str, optimizer: Optimizer, shape: tuple[int, ...], outputs: int
    ) -> None:
        """Take a model.

        Args:
            net: The model.
            task: classification or regression.
            optimizer: Optimizer of all parameters that require gradients.
            shape: Shape in which it takes a sample; empty for a row of inputs.
            outputs: Number of classes, or of targets.

        Raises:
            ActcompareError: No parameter requires a gradient.
        """
        self.net, self.task, self.optimizer = net, task, optimizer
        self._shape, self._outputs = shape, outputs
        trained = [p for p in net.parameters() if p.requires_grad]
        if not trained:
            raise ActcompareError("no parameter of the model requires a gradient: nothing to train")
        self._flat, self._gradient = flatten(trained)
        self.layers: tuple[str, ...] = ()
        """Names of the layers whose units were watched."""

    def learn(self, part: Part, order: Tensor, batch_size: int) -> Tensor:
        """Take one optimizer step per batch; as `Learner.learn`."""
        self.net.train()
        losses = []
        for rows in torch.split(order, batch_size):
            self._gradient.zero_()
            loss = loss_of(self.output(part.X[rows]), part.y[rows], self.task, "mean")
            loss.backward()  # type: ignore[no-untyped-call]
            losses.append(loss.detach())
            with torch.no_grad():
                self.optimizer.step(self._flat, self._gradient)
        return torch.stack(losses)

    def output(self, X: Tensor) -> Tensor:
        """Return the model's output for some samples, shape (sample, output).

        Raises:
            ActcompareError: It has another shape.
        """
        found = logits(self.net(in_shape(X, self._shape)), len(X))
        if found.shape != (len(X), self._outputs):
            what = "classes" if self.task == CLASSIFICATION else "targets"
            raise ActcompareError(
                f"the model returns shape {tuple(found.shape)} for {len(X)} samples, but the data"
                f" have {self._outputs} {what}: it should return ({len(X)}, {self._outputs})"
            )
        return found

    @torch.no_grad()
    def score(self, part: Part, *, watch: bool) -> tuple[Score, list[UnitStatistics]]:
        """Return loss and metric on a split in `eval()` mode, and statistics of units if watched.

        Raises:
            ActcompareError: The model's output has another shape, or other activations are called
                than before.
        """
        self.net.eval()
        tally = Tally(self.task)
        units = watching(self.net)
        for chunk in part.chunks(_ROWS):
            if watch:
                with units:
                    out = self.output(chunk.X)
            else:
                out = self.output(chunk.X)
            tally.add(out, chunk.y)
        seen = [layer for layer in units.layers if layer.role == UNIT] if watch else []
        if watch:
            names = tuple(layer.name for layer in seen)
            if self.layers and names != self.layers:
                raise ActcompareError(
                    "the model calls other activations than at the start, so that units cannot be"
                    " followed: use --no-track"
                )
            self.layers = names
        return tally.score(part), [layer.statistics for layer in seen]

    @torch.no_grad()
    def sample_scores(self, part: Part) -> Tensor:
        """Return what each sample contributes to the metric, shape (sample,)."""
        self.net.eval()
        outs = torch.cat([self.output(chunk.X) for chunk in part.chunks(_ROWS)])
        return scores_of(outs, part.y, self.task)

    def gradient_norms(self, _: Part) -> list[float | None]:
        """Return None for each layer: which weights belong to an activation is not known."""
        return [None] * len(self.layers)

    def weights(self) -> dict[str, Tensor]:
        """Return a copy of the model's state dict."""
        return {
            name: value.detach().clone() if isinstance(value, Tensor) else copy.deepcopy(value)
            for name, value in self.net.state_dict().items()
        }

    def restore(self, weights: dict[str, Tensor]) -> None:
        """Load weights that `weights` returned."""
        self.net.load_state_dict(weights)


def in_shape(X: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return rows of inputs in the shape in which a model takes a sample."""
    return X.view(len(X), *shape) if shape else X


def logits(output: object, samples: int) -> Tensor:
    """Return a model's output as a tensor of shape (sample, output).

    Raises:
        ActcompareError: It is none.
    """
    found = _first_tensor(output)
    if found is not None and found.shape == (samples,):
        found = found[:, None]
    if found is None or found.dim() != 2:
        shape = "no tensor" if found is None else f"shape {tuple(found.shape)}"
        raise ActcompareError(f"the model returns {shape}: it should return (sample, output)")
    return found


def _first_tensor(output: object) -> Tensor | None:
    """Return a model's logits: the output itself, its `logits`, or the first tensor in it."""
    if isinstance(output, Tensor):
        return output
    logits = getattr(output, "logits", None)
    if isinstance(logits, Tensor):
        return logits
    parts = output.values() if isinstance(output, Mapping) else output
    if isinstance(output, Mapping | list | tuple):
        return next((part for part in parts if isinstance(part, Tensor)), None)  # type: ignore[attr-defined]
    return None
