"""A net that learns: its steps, its scores, and what its units do."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from actcompare.data import CLASSIFICATION
from actcompare.nets import SimpleNet
from actcompare.neurons import UnitAccumulator, UnitStatistics, slopes
from actcompare.optimizers import Optimizer
from actcompare.runs import Score
from actcompare.splits import Part

CHUNK = 2**18
"""Activations of a layer computed at once when a whole part is looked at."""


class Learner:
    """A net and its optimizer.

    All parameters lie in one tensor, and all gradients in another: a step of a small net is bound
    by the number of calls, not by arithmetic.
    """

    def __init__(self, net: SimpleNet, task: str, optimizer: Optimizer) -> None:
        self.net, self.task, self.optimizer = net, task, optimizer
        self._flat, self._gradient = _flatten([p for p in net.parameters() if p.requires_grad])

    def learn(self, part: Part, order: Tensor, batch_size: int) -> Tensor:
        """One step per batch.

        Args:
            part: the samples.
            order: their order, shape (sample,); it is cut into batches.
            batch_size: samples in a batch; the last may be smaller.

        Returns:
            The loss of each step, before it, shape (step,).
        """
        self.net.train()
        batches = zip(
            torch.split(part.X[order], batch_size),
            torch.split(part.y[order], batch_size),
            strict=True,
        )
        losses = []
        for x, y in batches:
            self._gradient.zero_()
            loss = self._loss(self.net(x), y)
            loss.backward()  # type: ignore[no-untyped-call]
            losses.append(loss.detach())
            self.optimizer.step(self._flat, self._gradient)
        return torch.stack(losses)

    def _loss(self, out: Tensor, y: Tensor, reduction: str = "mean") -> Tensor:
        out = out.float() if out.dtype in (torch.float16, torch.bfloat16) else out
        if self.task == CLASSIFICATION:
            return nn.functional.cross_entropy(out, y, reduction=reduction)
        return nn.functional.mse_loss(out, y.to(out.dtype), reduction=reduction)

    @torch.no_grad()
    def score(self, part: Part, *, watch: bool) -> tuple[Score, list[UnitStatistics]]:
        """Loss and metric over a part in `eval()` mode, and if watched what each hidden unit does.

        Raises:
            ValueError: an activation does not keep the shape of its input.
        """
        self.net.eval()
        hidden = list(self.net.hidden_layers())
        seen = [UnitAccumulator(linear.out_features) for _, linear, _ in hidden]
        loss, right = 0.0, torch.zeros((), device=part.X.device)
        for chunk in part.chunks(self._rows()):
            x = chunk.X
            for (_, linear, activation), units in zip(hidden, seen, strict=True):
                z = linear(x)
                x, slope = slopes(activation, z) if watch else (activation(z), None)
                if x.shape != z.shape:
                    raise ValueError(
                        f"makes shape {tuple(x.shape)} of {tuple(z.shape)}: it is not elementwise"
                    )
                if slope is not None:
                    units.update(x, slope)
            out = self.net.outputs(x)
            loss += float(self._loss(out, chunk.y, "sum"))
            if self.task == CLASSIFICATION:
                right = right + (out.argmax(1) == chunk.y).sum()
            else:
                right = right + (out - chunk.y).float().square().sum(0)
        if self.task == CLASSIFICATION:
            score = Score(loss / len(part), float(right) / len(part))
        else:
            score = Score(loss / part.y.numel(), _r2(right, part.y.float()))
        return score, [units.statistics() for units in seen] if watch else []

    def gradient_norms(self, part: Part) -> list[float]:
        """For each hidden layer the norm of the gradient of a part's mean loss by its weights."""
        self.net.eval()
        layers = [[*linear.parameters()] for _, linear, _ in self.net.hidden_layers()]
        wanted = [p for layer in layers for p in layer]
        total = [torch.zeros_like(p) for p in wanted]
        for chunk in part.chunks(self._rows()):
            loss = self._loss(self.net(chunk.X), chunk.y, "sum")
            for sum_, g in zip(
                total, torch.autograd.grad(loss, wanted, materialize_grads=True), strict=True
            ):
                sum_ += g
        count = len(part) if self.task == CLASSIFICATION else part.y.numel()
        norms = iter([float(g.float().norm()) / count for g in total])
        return [math.hypot(*(next(norms) for _ in layer)) for layer in layers]

    def _rows(self) -> int:
        widths = [linear.out_features for _, linear, _ in self.net.hidden_layers()]
        return max(1, CHUNK // max(widths))

    def weights(self) -> dict[str, Tensor]:
        """The net's state, copied."""
        return {name: tensor.detach().clone() for name, tensor in self.net.state_dict().items()}

    def restore(self, weights: dict[str, Tensor]) -> None:
        """Go back to weights that the net had."""
        self.net.load_state_dict(weights)


def _flatten(parameters: Sequence[nn.Parameter]) -> tuple[Tensor, Tensor]:
    """Two tensors that hold all parameters and all their gradients, which become views of them."""
    flat = torch.cat([p.detach().reshape(-1) for p in parameters])
    gradient = torch.zeros_like(flat)
    sizes = [p.numel() for p in parameters]
    views = zip(parameters, torch.split(flat, sizes), torch.split(gradient, sizes), strict=True)
    for p, values, slopes_ in views:
        p.data, p.grad = values.view_as(p), slopes_.view_as(p)
    return flat, gradient


def _r2(squares: Tensor, y: Tensor) -> float:
    """1 - SSE / SST, the mean over outputs; NaN where a target is constant."""
    spread = (y - y.mean(0)).square().sum(0)
    return float((1 - squares / spread).mean())


def batch_order(samples: int, seed: int, epoch: int, device: torch.device) -> Tensor:
    """The order of the samples in an epoch: the same for every activation, shape (sample,)."""
    order = np.random.default_rng([seed, 2, epoch]).permutation(samples)
    return torch.from_numpy(order).to(device)
