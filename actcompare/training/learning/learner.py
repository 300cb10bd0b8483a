"""Train one net: its steps, its scores, and the statistics of its units."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from actcompare.activations.derivatives import backward_through
from actcompare.data.datasets import CLASSIFICATION
from actcompare.data.splits import Part
from actcompare.models.simple_net import SimpleNet
from actcompare.training.learning.backward import CHUNK, at_least_float32, differentiate
from actcompare.training.learning.optimizers import Optimizer
from actcompare.training.records import Score
from actcompare.units.statistics import UnitAccumulator, UnitStatistics, slopes


class _Layer:
    """A linear layer and its activation; weights and gradients are parts of the flat tensors."""

    def __init__(self, layer: nn.Linear, function: nn.Module | None) -> None:
        weight, bias = layer.weight, layer.bias
        assert weight.grad is not None
        assert bias.grad is not None
        self.weight, self.bias = weight.detach(), bias.detach()
        self._transposed = self.weight.t()
        self._weight_gradient, self._bias_gradient = weight.grad, bias.grad
        self.function = nn.Identity() if function is None else function
        self._own = tuple(p for p in self.function.parameters() if p.requires_grad)

    def linear(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias, x, self._transposed)

    def activate(self, z: Tensor) -> Tensor:
        z.requires_grad_()
        with torch.enable_grad():
            a: Tensor = self.function(z)
        return a

    def backward(self, z: Tensor, a: Tensor, gradient: Tensor) -> Tensor:
        return backward_through(a, z, gradient, self._own)

    def collect(self, x: Tensor, gradient: Tensor) -> None:
        torch.mm(gradient.t(), x, out=self._weight_gradient)
        torch.sum(gradient, 0, out=self._bias_gradient)

    def pull(self, gradient: Tensor) -> Tensor:
        return torch.mm(gradient, self.weight)


class Learner:
    """A net and its optimizer.

    A step of a small net is bound by the number of calls, not by arithmetic. So all parameters are
    views of one tensor, and all gradients of another.
    """

    def __init__(self, net: SimpleNet, task: str, optimizer: Optimizer) -> None:
        self.net, self.task, self.optimizer = net, task, optimizer
        self._flat, self._gradient = flatten([p for p in net.parameters() if p.requires_grad])
        self._hidden = [_Layer(layer, f) for _, layer, f in net.hidden_layers()]
        self._output = _Layer(net.output_layer(), net.output_activation())
        self._output_activation = net.output_activation() is not None

    @torch.no_grad()
    def learn(self, part: Part, order: Tensor, batch_size: int) -> Tensor:
        """Take one optimizer step per batch.

        Args:
            part: The samples.
            order: Order of the samples, shape (sample,); it is cut into batches.
            batch_size: Samples per batch; the last batch may be smaller.

        Returns:
            The loss before each step, shape (step,).
        """
        self.net.train()
        X, y = part.X[order], self._targets(part.y[order])
        batches = zip(torch.split(X, batch_size), torch.split(y, batch_size), strict=True)
        losses = []
        for x, target in batches:
            losses.append(self._differentiate(x, target))
            self.optimizer.step(self._flat, self._gradient)
        return torch.stack(losses)

    def _targets(self, y: Tensor) -> Tensor:
        """Return the targets of the loss; classes become one-hot probabilities."""
        if self.task != CLASSIFICATION:
            return y
        return nn.functional.one_hot(y, len(self._output.bias)).float()

    def _differentiate(self, x: Tensor, target: Tensor) -> Tensor:
        """Return the mean loss over a batch, and write its gradient to the flat gradient."""
        self._gradient.zero_()  # parameters of activations accumulate into it
        return differentiate(
            self._hidden,
            self._output,
            self._output_activation,
            x,
            lambda out: self._loss_and_gradient(out, target),
        )

    def _loss_and_gradient(self, out: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean loss, and its gradient with respect to the outputs."""
        wide = out.to(at_least_float32(out.dtype))
        if self.task == CLASSIFICATION:
            logs = torch.log_softmax(wide, 1)
            loss = (logs * target).sum() / -len(out)
            gradient = logs.exp_().sub_(target).div_(len(out))
        else:
            away = wide - target
            loss = away.square().mean()
            gradient = away.mul_(2 / away.numel())
        return loss, gradient.to(out.dtype)

    def output(self, X: Tensor) -> Tensor:
        """Return the net's output for some samples, shape (sample, output)."""
        found: Tensor = self.net(X)
        return found

    @torch.no_grad()
    def score(self, part: Part, *, watch: bool) -> tuple[Score, list[UnitStatistics]]:
        """Return loss and metric on a split in `eval()` mode, and statistics of units if watched.

        Raises:
            ValueError: An activation changes the shape of its input.
        """
        self.net.eval()
        seen = [UnitAccumulator(len(layer.bias)) for layer in self._hidden]
        tally = Tally(self.task)
        for chunk in part.chunks(self._rows()):
            x = chunk.X
            for layer, units in zip(self._hidden, seen, strict=True):
                z = layer.linear(x)
                x, slope = slopes(layer.function, z) if watch else (layer.function(z), None)
                if x.shape != z.shape:
                    raise ValueError(
                        f"turns shape {tuple(z.shape)} into {tuple(x.shape)}: it is not elementwise"
                    )
                if slope is not None:
                    units.update(x, slope)
            out = self._output.function(self._output.linear(x))
            tally.add(out, chunk.y)
        return tally.score(part), [units.statistics() for units in seen] if watch else []

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the hidden layers."""
        return tuple(name for name, _, _ in self.net.hidden_layers())

    @torch.no_grad()
    def sample_scores(self, part: Part) -> Tensor:
        """Return what each sample contributes to the metric, shape (sample,)."""
        self.net.eval()
        outs = torch.cat([self.output(chunk.X) for chunk in part.chunks(self._rows())])
        return scores_of(outs, part.y, self.task)

    def gradient_norms(self, part: Part) -> list[float]:
        """Return, per hidden layer, the norm of dL/dw for the mean loss on a split.

        The weights w include the biases.
        """
        self.net.eval()
        layers = [[*linear.parameters()] for _, linear, _ in self.net.hidden_layers()]
        wanted = [p for layer in layers for p in layer]
        total = [torch.zeros_like(p) for p in wanted]
        for chunk in part.chunks(self._rows()):
            loss = loss_of(self.net(chunk.X), chunk.y, self.task, "sum")
            for sum_, g in zip(
                total, torch.autograd.grad(loss, wanted, materialize_grads=True), strict=True
            ):
                sum_ += g
        count = len(part) if self.task == CLASSIFICATION else part.y.numel()
        norms = iter([float(g.float().norm()) / count for g in total])
        return [math.hypot(*(next(norms) for _ in layer)) for layer in layers]

    def _rows(self) -> int:
        return max(1, CHUNK // len(self._hidden[0].bias))

    def weights(self) -> dict[str, Tensor]:
        """Return a copy of the net's state dict."""
        return {name: tensor.detach().clone() for name, tensor in self.net.state_dict().items()}

    def restore(self, weights: dict[str, Tensor]) -> None:
        """Load weights that `weights` returned."""
        self.net.load_state_dict(weights)


def flatten(parameters: Sequence[nn.Parameter]) -> tuple[Tensor, Tensor]:
    """Turn all parameters and gradients into views of two flat tensors, and return these."""
    flat = torch.cat([p.detach().reshape(-1) for p in parameters])
    gradient = torch.zeros_like(flat)
    sizes = [p.numel() for p in parameters]
    views = zip(parameters, torch.split(flat, sizes), torch.split(gradient, sizes), strict=True)
    for p, values, slopes_ in views:
        p.data, p.grad = values.view_as(p), slopes_.view_as(p)
    return flat, gradient


def loss_of(out: Tensor, y: Tensor, task: str, reduction: str) -> Tensor:
    """Return the loss of some outputs: cross-entropy, or squared errors.

    Args:
        out: Outputs, shape (sample, output).
        y: Classes, shape (sample,), or targets, in the shape of the outputs.
        task: classification or regression.
        reduction: mean or sum, as in torch.
    """
    out = out.to(at_least_float32(out.dtype))
    if task == CLASSIFICATION:
        return nn.functional.cross_entropy(out, y, reduction=reduction)
    return nn.functional.mse_loss(out, y.to(out.dtype), reduction=reduction)


class Tally:
    """Loss and metric over the parts of a split."""

    def __init__(self, task: str) -> None:
        self._task, self._loss = task, 0.0
        self._right: Tensor | int = 0
        """Hits, or squared errors, shape (output,)."""

    def add(self, out: Tensor, y: Tensor) -> None:
        """Add some samples."""
        self._loss += float(loss_of(out, y, self._task, "sum"))
        if self._task == CLASSIFICATION:
            self._right = self._right + (out.argmax(1) == y).sum()
        else:
            self._right = self._right + (out - y).float().square().sum(0)

    def score(self, part: Part) -> Score:
        """Return the score on the split whose samples were added."""
        if self._task == CLASSIFICATION:
            return Score(self._loss / len(part), float(self._right) / len(part))
        assert isinstance(self._right, Tensor)
        return Score(self._loss / part.y.numel(), r2(self._right, part.y.float()))


def scores_of(out: Tensor, y: Tensor, task: str) -> Tensor:
    """Return what each sample contributes to the metric, which is their mean, on the CPU.

    1 or 0 for a sample that is classified right or wrong; in a regression 1 minus the squared error
    relative to the mean square of the targets, averaged over outputs.
    """
    if task == CLASSIFICATION:
        return (out.argmax(1) == y).cpu()
    squares, targets = (out - y).double().square(), y.double()
    spread = (targets - targets.mean(0)).square().mean(0)
    return (1 - squares / spread).mean(1).cpu()


def r2(squares: Tensor, y: Tensor) -> float:
    """Return R^2 = 1 - SSE / SST averaged over outputs; NaN if a target is constant."""
    spread = (y - y.mean(0)).square().sum(0)
    return float((1 - squares / spread).mean())
