"""Train copies of a user's model at once, by `vmap`: the interface of `Ensemble`, for any module.

Each copy has its own weights, data and learning rate. It learns what `ModuleLearner` learns from
the same weights and batches, up to rounding; `why_alone` checks that before.
"""

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from actcompare.activations.user_code import describe
from actcompare.data.datasets import CLASSIFICATION
from actcompare.data.splits import Part
from actcompare.machine.generators import batch_order
from actcompare.models.watching.watch import watch as watching
from actcompare.training.learning.learner import loss_of, r2, scores_of
from actcompare.training.learning.module import ModuleLearner, in_shape, logits
from actcompare.training.learning.optimizers import PerMember, make_optimizer
from actcompare.training.records import TrainConfig
from actcompare.units.statistics import UnitStatistics
from actcompare.units.wording import UNIT

_ROWS = 256
"""Samples per batch when models are scored."""

_NEAR = 1e-3
"""Largest difference of weights after the first steps, relative to their largest change."""


class Stacked:
    """Copies of a model, stacked; parameters are one tensor of shape (member, parameter)."""

    def __init__(self, nets: Sequence[nn.Module], configs: Sequence[TrainConfig]) -> None:
        """Combine models of one kind that have their first weights.

        Args:
            nets: One model per member.
            configs: One configuration per member; they differ only in seed and learning rate.
        """
        self.net, config = nets[0], configs[0]
        self._config = config
        self._names = [name for name, p in self.net.named_parameters() if p.requires_grad]
        own = [dict(net.named_parameters()) for net in nets]
        self._flat = torch.stack(
            [torch.cat([each[name].detach().reshape(-1) for name in self._names]) for each in own]
        )
        self._shapes = [own[0][name].shape for name in self._names]
        frozen = {n: p.detach() for n, p in own[0].items() if not p.requires_grad}
        self._fixed = frozen | dict(self.net.named_buffers())
        self.seeds = list(dict.fromkeys(each.seed for each in configs))
        places = [self.seeds.index(each.seed) for each in configs]
        self._places = torch.tensor(places, device=self._flat.device)
        self._update = PerMember(
            [each.lr for each in configs],
            config.optimizer,
            config.momentum or 0.0,
            config.weight_decay,
            self._flat,
        )

    def _views(self, flat: Tensor) -> dict[str, Tensor]:
        """Return each parameter as a view, of one member or, shape (member, ...), of all."""
        parts = torch.split(flat, [shape.numel() for shape in self._shapes], -1)
        return {
            name: part.reshape(*flat.shape[:-1], *shape)
            for name, part, shape in zip(self._names, parts, self._shapes, strict=True)
        }

    def _output(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        """Return one member's output, shape (sample, output)."""
        given = in_shape(x, self._config.input_shape)
        return logits(functional_call(self.net, weights | self._fixed, (given,)), len(x))

    def learn(self, part: Part, epoch: int) -> Tensor:
        """Train one epoch: one step of every member per batch; as `Ensemble.learn`."""
        self.net.train()
        samples, device = part.X.shape[1], part.X.device
        orders = [batch_order(samples, s, epoch, torch.device("cpu")) for s in self.seeds]
        rows = torch.stack(orders).to(device)[self._places]

        def mean_loss(weights: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
            return loss_of(self._output(weights, x), y, self._config.task, "mean")

        step = vmap(grad_and_value(mean_loss))
        losses = []
        for batch in torch.split(rows, self._config.batch_size, 1):
            at = self._places[:, None], batch
            with _quiet():
                gradients, loss = step(self._views(self._flat), part.X[at], part.y[at])
            flat = torch.cat([gradients[name].flatten(1) for name in self._names], 1)
            self._update.count_step()
            with torch.no_grad():
                self._update.step(self._flat, flat)
            losses.append(loss.detach())
        return torch.stack(losses, 1)

    @torch.no_grad()
    def _outputs(self, part: Part) -> Tensor:
        """Return the outputs for the members' own samples, shape (member, sample, output)."""
        self.net.eval()
        run = vmap(self._output)
        weights, X = self._views(self._flat), part.X[self._places]
        chunks = range(0, X.shape[1], _ROWS)
        with _quiet():
            return torch.cat([run(weights, X[:, first : first + _ROWS]) for first in chunks], 1)

    @torch.no_grad()
    def score(
        self, part: Part, *, watch: bool
    ) -> tuple[list[float], list[float], list[list[UnitStatistics]]]:
        """Return loss and metric of each member, and statistics of units if watched."""
        outs, y = self._outputs(part), part.y[self._places]
        losses, metrics = [], []
        for out, target in zip(outs, y, strict=True):
            losses.append(float(loss_of(out, target, self._config.task, "mean")))
            if self._config.task == CLASSIFICATION:
                metrics.append(float((out.argmax(1) == target).double().mean()))
            else:
                metrics.append(r2((out - target).float().square().sum(0), target.float()))
        members = range(len(outs)) if watch else ()
        return losses, metrics, [self._units(m, part) for m in members]

    def _units(self, member: int, part: Part) -> list[UnitStatistics]:
        weights, X = self._views(self._flat[member]), part.X[self._places[member]]
        with watching(self.net) as units:
            for first in range(0, len(X), _ROWS):
                self._output(weights, X[first : first + _ROWS])
        return [layer.statistics for layer in units.layers if layer.role == UNIT]

    def sample_scores(self, part: Part) -> Tensor:
        """Return what each sample contributes to the metric, shape (member, sample)."""
        both = zip(self._outputs(part), part.y[self._places], strict=True)
        return torch.stack([scores_of(out, y, self._config.task) for out, y in both])

    def weights(self) -> Tensor:
        """Return a copy of all parameters, shape (member, parameter)."""
        return self._flat.clone()

    def restore(self, weights: Tensor) -> None:
        """Load what `weights` returned."""
        self._flat.copy_(weights)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Ignore torch's warning that it computes some operation one member at a time."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "There is a performance drop")
        yield


def why_alone(make: Callable[[int], nn.Module], config: TrainConfig, train: Part) -> str:
    """Return why models cannot be trained as one batched net; empty if they can.

    Two members take two steps, together and one at a time, from the same weights on the same data.

    Args:
        make: Makes the model of a seed.
        config: How it is trained.
        train: Some samples to try it on.
    """
    net = make(config.seed)
    modules = list(net.modules())
    if any(isinstance(m, nn.modules.batchnorm._NormBase) for m in modules):
        return "its batch norm has statistics of the batch"
    if any(isinstance(m, nn.modules.dropout._DropoutNd) and m.p > 0 for m in modules):
        return "its dropout draws random numbers"
    samples = min(len(train), 2 * config.batch_size)
    some = Part(train.X[:samples], train.y[:samples])
    try:
        nets, alone = ([make(seed) for seed in range(2)] for _ in range(2))
        stacked = Stacked(nets, [replace(config, seed=seed) for seed in range(2)])
        before = stacked.weights()
        part = Part(torch.stack([some.X] * 2), torch.stack([some.y] * 2))
        stacked.learn(part, 1)
        for seed, each in enumerate(alone):
            rule = make_optimizer(config.optimizer, config.lr, config.momentum, config.weight_decay)
            learner = ModuleLearner(each, config.task, rule, config.input_shape, config.output_size)
            order = batch_order(samples, seed, 1, some.X.device)
            learner.learn(some, order, config.batch_size)
            weights = torch.cat([p.detach().reshape(-1) for p in each.parameters()])
            moved = float((weights - before[seed]).abs().max())
            if not float((weights - stacked.weights()[seed]).abs().max()) <= _NEAR * moved + 1e-6:
                return "together it learns something else than alone"
    except (Exception, SystemExit) as error:  # a user's code, or vmap on what it cannot batch
        return f"vmap cannot batch it ({describe(error).splitlines()[0][:100]})"
    return ""
