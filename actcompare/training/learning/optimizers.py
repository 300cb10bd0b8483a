"""SGD with momentum, Adam and AdamW on one flat tensor: a few calls a step, whatever the net.

The updates equal those of torch.optim to the bit. The first optimizer that torch.optim makes takes
about 1.2 s, since it imports torch._dynamo, and its step of a small net takes as long as the
forward and backward pass.
"""

import math
from collections.abc import Mapping, Sequence
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
            gradient = _add_velocity(gradient, self.state["velocity"], self.momentum)
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
        mean, square = _update_moments(gradient, self.state["mean"], self.state["square"])
        spread = square.sqrt().div_(math.sqrt(1 - BETA2**t)).add_(EPS)
        weights.addcdiv_(mean, spread, value=-self.lr / (1 - BETA1**t))


class PerMember:
    """The same for many nets at once, each with its own learning rate.

    What changes from one step to the next stands in tensors, so that a step can be captured as a
    CUDA graph.
    """

    def __init__(
        self, lrs: Sequence[float], name: str, momentum: float, weight_decay: float, weights: Tensor
    ) -> None:
        """Start with the first step.

        Args:
            lrs: Learning rates, one per member.
            name: One of OPTIMIZERS.
            momentum: Momentum of sgd.
            weight_decay: As for the others.
            weights: Shape (member, parameter).
        """
        self._adam, self._momentum, self._decay = name != "sgd", momentum, weight_decay
        self._lr = weights.new_tensor(lrs)[:, None]
        self._rate, self._eps = self._lr.clone(), weights.new_zeros(())
        self._kept = 1 - self._lr * weight_decay if name == "adamw" else None
        self.moments = [torch.zeros_like(weights) for _ in range(2 if self._adam else 1)]
        self._t = 0

    def count_step(self) -> None:
        """Count a step, before it is taken."""
        self._t += 1
        if self._adam:
            spread = math.sqrt(1 - BETA2**self._t)
            torch.mul(self._lr, spread / (1 - BETA1**self._t), out=self._rate)
            self._eps.fill_(EPS * spread)

    def step(self, weights: Tensor, gradient: Tensor) -> None:
        """Change the weights in place, both of shape (member, parameter)."""
        if self._kept is not None:
            weights.mul_(self._kept)
        elif self._decay:
            gradient.add_(weights, alpha=self._decay)
        if self._adam:
            mean, square = _update_moments(gradient, *self.moments)
            gradient = mean / square.sqrt().add_(self._eps)
        elif self._momentum:
            gradient = _add_velocity(gradient, self.moments[0], self._momentum)
        weights.addcmul_(gradient, self._rate, value=-1)


def _add_velocity(gradient: Tensor, velocity: Tensor, momentum: float) -> Tensor:
    return velocity.mul_(momentum).add_(gradient)


def _update_moments(gradient: Tensor, mean: Tensor, square: Tensor) -> tuple[Tensor, Tensor]:
    mean.lerp_(gradient, 1 - BETA1)
    return mean, square.mul_(BETA2).addcmul_(gradient, gradient, value=1 - BETA2)


Optimizer = SGD | Adam

OPTIMIZERS = ("sgd", "adam", "adamw")


def make_optimizer(name: str, lr: float, momentum: float | None, weight_decay: float) -> Optimizer:
    """The optimizer of that name, one of OPTIMIZERS."""
    if name == "sgd":
        return SGD(lr, momentum or 0.0, weight_decay)
    return Adam(lr, weight_decay, decoupled=name == "adamw")


def check_state(optimizer: Optimizer, state: Mapping[str, Tensor], weights: int) -> None:
    """Check that a saved state is one that the optimizer had after some step, or before any.

    Args:
        optimizer: The optimizer.
        state: The saved state.
        weights: Number of weights.

    Raises:
        ValueError: It is not.
    """
    moments: dict[str, tuple[int, ...]] = dict.fromkeys(
        ["velocity"] if isinstance(optimizer, SGD) else ["mean", "square"], (weights,)
    )
    shapes = moments if isinstance(optimizer, SGD) else moments | {"steps": ()}
    if not state:
        return
    if {name: tuple(tensor.shape) for name, tensor in state.items()} != shapes:
        raise ValueError("it is of another optimizer or another net")
    if not all(state[name].is_floating_point() for name in moments):
        raise ValueError("its moments are not real numbers")
    if "steps" in shapes and not (
        state["steps"].dtype == torch.int64 and 0 < int(state["steps"]) < 2**62
    ):
        raise ValueError("its number of steps is not a whole number above 0")
