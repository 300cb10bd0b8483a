"""SimpleNet: the network in which activations are trained."""

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

INITS = ("default", "kaiming", "xavier", "critical")
"""Initialisations; the last needs the data too: see `actcompare.models.critical`."""


class Elementwise(nn.Module):
    """A module that applies an elementwise function."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        """Return the function's values, in the shape of x."""
        return self.function(x)

    def extra_repr(self) -> str:
        """Return the name that a printed net shows."""
        return getattr(self.function, "__name__", repr(self.function))


class SimpleNet(nn.Sequential):
    """Linear, activation, Linear; with `depth` above 1, more hidden layers of the same width.

    `SimpleNet(4, 3, 1, torch.nn.Softplus())` maps inputs of shape (sample, 4) to (sample, 1). Each
    hidden layer gets its own copy of an activation that is a module.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        activation: Callable[[Tensor], Tensor] = torch.relu,
        *,
        depth: int = 1,
        output_activation: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        width = input_size
        for i in range(1, depth + 1):
            layers[f"hidden{i}"] = nn.Linear(width, hidden_size)
            layers[f"activation{i}"] = _as_module(activation)
            width = hidden_size
        layers["output"] = nn.Linear(width, output_size)
        if output_activation is not None:
            layers["on_output"] = _as_module(output_activation)
        super().__init__(layers)

    def hidden_layers(self) -> Iterator[tuple[str, nn.Linear, nn.Module]]:
        """Yield the name, linear layer and activation of each hidden layer."""
        for name, layer in self.named_children():
            if name.startswith("hidden"):
                assert isinstance(layer, nn.Linear)
                yield name, layer, self.get_submodule(name.replace("hidden", "activation"))

    def output_layer(self) -> nn.Linear:
        """Return the last linear layer."""
        layer = self.get_submodule("output")
        assert isinstance(layer, nn.Linear)
        return layer

    def output_activation(self) -> nn.Module | None:
        """Return the activation of the outputs, if any."""
        return dict(self.named_children()).get("on_output")

    def parameter_count(self) -> int:
        """Return the number of learned parameters."""
        return sum(parameter.numel() for parameter in self.parameters())


def _as_module(function: Callable[[Tensor], Tensor]) -> nn.Module:
    return copy.deepcopy(function) if isinstance(function, nn.Module) else Elementwise(function)


def initialise(net: SimpleNet, how: str) -> None:
    """Redraw the weights from torch's generator; `default` keeps PyTorch's initialisation.

    For `critical`, which needs the activation and the data too, see `draw_critical_`.

    Sources: He et al. 2015 (kaiming: normal, with the gain of relu); Glorot and Bengio 2010
    (xavier: uniform). Both set biases to 0.
    """
    if how == "default":
        return
    for layer in net.children():
        if isinstance(layer, nn.Linear):
            if how == "kaiming":
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            else:
                nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
