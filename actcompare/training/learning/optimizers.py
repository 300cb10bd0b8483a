"""SGD with momentum, Adam and AdamW on one flat tensor: a few calls a step, whatever the net.

The updates equal those of torch.optim to the bit. The first optimizer that torch.optim makes takes
about 1.2 s, since it imports torch._dynamo, and its step of a small net takes as long as the
forward and backward pass.
"""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8
"""torch.optim.Adam's defaults."""


@dataclass
class SGD:
    """Sutskever et al. 2013, as torch.optim.SGD has it."""

    lr: float
    momentum: float = 0.0
    weight_decay: float = 0.0
    state: dict[str, Tensor] = field(default_factory=dict)

    def step(self, weights: Tensor, gradient: Tensor) -> None:
        """Change the weights in place; the gradient may be changed too."""
        if self.weight_decay:
            gradient.add_(weights, alpha=self.weight_decay)
        if self.momentum:
            if not self.state:
                self.state["velocity"] = torch.zeros_like(weights)
            gradient = self.state["velocity"].mul_(self.momentum).add_(gradient)
        weights.add_(gradient, alpha=-self.lr)


@dataclass
class Adam:
    """Kingma and Ba 2015; with `decoupled`, AdamW: Loshchilov and Hutter 2019."""

    lr: float
    weight_decay: float = 0.0
    decoupled: bool = False
    state: dict[str, Tensor] = field(default_factory=dict)

    def step(self, weights: Tensor, gradient: Tensor) -> None:
        """Change the weights in place; the gradient may be changed too."""
        if not self.state:
            self.state["mean"] = torch.zeros_like(weights)
            self.state["square"] = torch.zeros_like(weights)
            self.state["steps"] = torch.zeros((), dtype=torch.int64)
        if self.weight_decay and self.decoupled:
            weights.mul_(1 - self.lr * self.weight_decay)
        elif self.weight_decay:
            gradient.add_(weights, alpha=self.weight_decay)
        self.state["steps"] += 1
        t = int(self.state["steps"])
        mean = self.state["mean"].lerp_(gradient, 1 - BETA1)
        square = self.state["square"].mul_(BETA2).addcmul_(gradient, gradient, value=1 - BETA2)
        spread = square.sqrt().div_(math.sqrt(1 - BETA2**t)).add_(EPS)
        weights.addcdiv_(mean, spread, value=-self.lr / (1 - BETA1**t))


Optimizer = SGD | Adam

OPTIMIZERS = ("sgd", "adam", "adamw")


def make_optimizer(name: str, lr: float, momentum: float | None, weight_decay: float) -> Optimizer:
    """The optimizer of that name, one of OPTIMIZERS."""
    if name == "sgd":
        return SGD(lr, momentum or 0.0, weight_decay)
    return Adam(lr, weight_decay, decoupled=name == "adamw")
