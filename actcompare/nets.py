"""SimpleNet: the network that activations are trained in."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class SimpleNet(nn.Module):
    """Linear, activation, Linear."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        activation: Callable[[Tensor], Tensor] = torch.relu,
    ) -> None:
        super().__init__()
        self.hidden = nn.Linear(input_size, hidden_size)
        self.activation = activation
        self.output = nn.Linear(hidden_size, output_size)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs of shape (sample, output) for inputs of shape (sample, input)."""
        out: Tensor = self.output(self.activation(self.hidden(x)))
        return out
