"""Run forward and backward passes through a stack of linear layers and activations.

Autograd differentiates only the activations; the backward passes of the linear layers and the loss
are written by hand. This minimises the number of calls, which bounds a step of a small net.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

CHUNK = 2**18
"""Most activations of a layer computed at once when a whole part is scored."""


class Layer(Protocol):
    """A linear layer z = W x + b followed by an activation a = f(z), for one net or many."""

    def linear(self, x: Tensor) -> Tensor:
        """Return the pre-activations of inputs."""

    def activate(self, z: Tensor) -> Tensor:
        """Return the activations, recorded by autograd."""

    def backward(self, z: Tensor, a: Tensor, gradient: Tensor) -> Tensor:
        """Backpropagate dL/da to dL/dz, and keep the gradients of the activation's parameters."""

    def collect(self, x: Tensor, gradient: Tensor) -> None:
        """Compute the gradients of weight and bias from dL/dz, and keep them."""

    def pull(self, gradient: Tensor) -> Tensor:
        """Backpropagate dL/dz to dL/dx."""


def differentiate(
    hidden: Sequence[Layer],
    output: Layer,
    output_activation: bool,
    x: Tensor,
    loss_and_gradient: Callable[[Tensor], tuple[Tensor, Tensor]],
) -> Tensor:
    """Return the loss, after every layer has collected its gradients.

    Args:
        hidden: The hidden layers, from first to last.
        output: The output layer.
        output_activation: Whether the output layer has an activation.
        x: The inputs.
        loss_and_gradient: Returns the loss of outputs, and its gradient with respect to them.
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
    """Return the dtype for computing losses."""
    return torch.float64 if dtype == torch.float64 else torch.float32
