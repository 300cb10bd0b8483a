"""Forward and backward through a stack of linear layers and activations.

Autograd's tape is kept for the activations alone, whatever they are; the backward pass of linear
layers and of the loss is written by hand. A step of a small net is bound by the number of calls,
and this takes the fewest.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

CHUNK = 2**18
"""Activations of a layer computed at once when a whole part is scored."""


class Layer(Protocol):
    """A linear layer z = W x + b and the activation a = f(z) behind it, for one net or for many."""

    def linear(self, x: Tensor) -> Tensor:
        """Pre-activations of inputs."""

    def activate(self, z: Tensor) -> Tensor:
        """Activations, with autograd's tape."""

    def backward(self, z: Tensor, a: Tensor, gradient: Tensor) -> Tensor:
        """Backpropagate dL/da to dL/dz; the activation's own weights keep their gradients."""

    def collect(self, x: Tensor, gradient: Tensor) -> None:
        """Keep the gradients of weight and bias that follow from dL/dz."""

    def pull(self, gradient: Tensor) -> Tensor:
        """Backpropagate dL/dz to dL/dx."""


def differentiate(
    hidden: Sequence[Layer],
    output: Layer,
    output_activation: bool,
    x: Tensor,
    loss_and_gradient: Callable[[Tensor], tuple[Tensor, Tensor]],
) -> Tensor:
    """The loss; every layer has collected its gradients.

    Args:
        hidden: The hidden layers, from the inputs on.
        output: The last layer.
        output_activation: Whether an activation follows it.
        x: Inputs.
        loss_and_gradient: Of outputs, the loss and its gradient with respect to them.
    """
    tapes = []
    for layer in hidden:
        z = layer.linear(x)
        a = layer.activate(z)
        tapes.append((layer, x, z, a))
        x = a.detach()
    out = output.linear(x)
    if output_activation:
        activated = output.activate(out)
        loss, gradient = loss_and_gradient(activated.detach())
        gradient = output.backward(out, activated, gradient)
    else:
        loss, gradient = loss_and_gradient(out)
    output.collect(x, gradient)
    above = output
    for layer, x, z, a in reversed(tapes):
        gradient = layer.backward(z, a, above.pull(gradient))
        layer.collect(x, gradient)
        above = layer
    return loss


def at_least_float32(dtype: torch.dtype) -> torch.dtype:
    """The dtype that losses are computed in."""
    return torch.float64 if dtype == torch.float64 else torch.float32
