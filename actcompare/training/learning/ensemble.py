"""Train many SimpleNets with one activation at once, as one batched net."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from actcompare.activations.derivatives import backward_through
from actcompare.data.datasets import CLASSIFICATION
from actcompare.data.splits import Part
from actcompare.machine.cuda import captured, own_stream
from actcompare.machine.generators import (
    batch_order,
    epoch_seed,
    generator_state,
    kept_generators,
    set_generator_state,
)
from actcompare.models.simple_net import SimpleNet
from actcompare.training.learning.backward import CHUNK, at_least_float32, differentiate
from actcompare.training.learning.optimizers import PerMember
from actcompare.training.records import TrainConfig
from actcompare.units.statistics import UnitAccumulator, UnitStatistics, slopes


class Ensemble:
    """Nets of one shape and activation, each with its own weights, data and learning rate.

    A step of one small net is bound by the number of calls into torch. A step of many nets, as
    batched matrix products, takes the same number of calls and is bound by arithmetic. Up to
    rounding, each member learns what `learner.Learner` learns from the same weights and batches.

    Parameters are one tensor of shape (member, parameter), in the order of `parameters()` of the
    nets. Inputs have shape (member, sample, input); everything after them has shape (member, unit,
    sample), in which every product and every loop over units is contiguous.
    """

    def __init__(self, nets: Sequence[SimpleNet], configs: Sequence[TrainConfig]) -> None:
        """Combine nets that have their initial weights.

        Args:
            nets: One net per member.
            configs: One configuration per member; they differ only in seed and learning rate.
        """
        self.net, config = nets[0], configs[0]
        self._task, self._batch_size = config.task, config.batch_size
        self._units = config.hidden
        self.seeds = list(dict.fromkeys(config.seed for config in configs))
        self._flat = torch.stack([_in_a_row(net) for net in nets])
        self._gradient = torch.zeros_like(self._flat)
        places = [self.seeds.index(config.seed) for config in configs]
        self._places = torch.tensor(places, device=self._flat.device)
        self._draws: list[Tensor] = []
        values, gradients = self._views(self._flat), self._views(self._gradient)
        self._layers = [
            _Layer(name, function, values, gradients, self._draws)
            for name, _, function in self.net.hidden_layers()
        ]
        self._output = _Layer(
            "output", self.net.output_activation(), values, gradients, self._draws
        )
        self._update = PerMember(
            [each.lr for each in configs],
            config.optimizer,
            config.momentum or 0.0,
            config.weight_decay,
            self._flat,
        )
        self._graphs = _Graphs([self._flat, *self._update.moments])
        self.random = any(layer.random for layer in [*self._layers, self._output])

    def _views(self, flat: Tensor) -> dict[str, Tensor]:
        """Return each parameter of all members as a view of shape (member, ...)."""
        named = dict(self.net.named_parameters())
        parts = torch.split(flat, [p.numel() for p in named.values()], 1)
        return {
            name: part.view(len(flat), *p.shape)
            for (name, p), part in zip(named.items(), parts, strict=True)
        }

    # --- learning --------------------------------------------------------------------------------

    @torch.no_grad()
    def learn(self, part: Part, epoch: int) -> Tensor:
        """Train one epoch: one step of every member per batch.

        Args:
            part: The samples: X of shape (seed, sample, input), y of shape (seed, sample) or (seed,
                sample, output); seeds are in the order of `seeds`.
            epoch: Number of the epoch, from 1.

        Returns:
            The loss before each step, shape (member, step).
        """
        self.net.train()
        if self.random:
            self._draws[:] = self._fresh_generators(epoch)
        samples, device = part.X.shape[1], part.X.device
        cpu = torch.device("cpu")  # one copy to the GPU for all of them
        orders = [batch_order(samples, seed, epoch, cpu) for seed in self.seeds]
        firsts = samples * torch.arange(len(orders), device=device)[:, None]
        rows = (torch.stack(orders).to(device) + firsts)[self._places]
        y = part.y.flatten(0, 1)
        y = y.squeeze(1) if y.dim() == 2 and y.shape[1] == 1 else y  # indexing takes half the time
        flat, losses = Part(part.X.flatten(0, 1), y), []
        with kept_generators(device):
            for batch in torch.split(rows, self._batch_size, 1):
                self._update.count_step()
                losses.append(self._step(flat, batch))
        return torch.stack(losses, 1)

    def _fresh_generators(self, epoch: int) -> list[Tensor]:
        """Return the state of torch's generator at the start of an epoch, for each member."""
        states, device = [], self._flat.device
        with kept_generators(device):
            for m in self._places.tolist():
                torch.manual_seed(epoch_seed(self.seeds[m], epoch))
                states.append(generator_state(device))
        return states

    def _step(self, part: Part, rows: Tensor) -> Tensor:
        """Take one step on a batch, given by its rows; on CUDA as one captured graph."""

        def step(rows: Tensor) -> Tensor:
            x = part.X.index_select(0, rows.flatten()).view(*rows.shape, -1)
            loss = self._differentiate(x, part.y.index_select(0, rows.flatten()))
            self._update.step(self._flat, self._gradient)
            return loss

        if rows.device.type != "cuda" or self.random:
            return step(rows)
        return self._graphs.replayed(step, rows, part)

    def _differentiate(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss of each member, and write the gradients to the flat gradient."""
        return differentiate(
            self._layers,
            self._output,
            self._output.function is not None,
            x.transpose(1, 2),
            lambda out: self._loss_and_gradient(out, y),
        )

    def _loss_and_gradient(self, out: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return each member's mean loss, shape (member,), and its gradient at the outputs."""
        members, outputs, samples = out.shape
        wide = out.to(at_least_float32(out.dtype))
        if self._task == CLASSIFICATION:
            classes = y.view(members, 1, samples)
            logs = torch.log_softmax(wide, 1)
            loss = logs.gather(1, classes).sum((1, 2)).div_(-samples)
            gradient = logs.exp_().scatter_add_(1, classes, _minus_ones(classes, wide.dtype))
            gradient.div_(samples)
        else:
            away = wide - y.view(members, samples, outputs).transpose(1, 2)
            loss = away.square().mean((1, 2))
            gradient = away.mul_(2 / (samples * outputs))
        return loss, gradient.to(out.dtype)

    # --- looking ---------------------------------------------------------------------------------

    @torch.no_grad()
    def score(
        self, part: Part, *, watch: bool
    ) -> tuple[list[float], list[float], list[list[UnitStatistics]]]:
        """Return loss and metric of each member on a split, and statistics of units if watched.

        Args:
            part: The samples, in the shapes of `learn`.
            watch: Whether to collect statistics of units.

        Returns:
            Losses per member, metrics per member, and unit statistics per member and layer.
        """
        members, units, samples = len(self._flat), self._units, part.X.shape[1]
        seen = [UnitAccumulator(members * units) for _ in self._layers]
        loss = torch.zeros(members, dtype=torch.float64)
        right: Any = 0.0
        for out, target in self._outputs(part, seen if watch else ()):
            more, hits = self._judge(out, target)
            loss += more.double().cpu()
            right = right + hits.sum(1).double().cpu()
        if self._task == CLASSIFICATION:
            metric = right / samples
        else:
            metric = (1 - right / self._spread(part)).mean(1)
            loss /= part.y.shape[2]
        statistics = [each.statistics() for each in seen] if watch else []
        parts = [slice(m * units, (m + 1) * units) for m in range(members)]
        return (
            (loss / samples).tolist(),
            metric.tolist(),
            [[layer.of(part) for layer in statistics] for part in parts],
        )

    @torch.no_grad()
    def sample_scores(self, part: Part) -> Tensor:
        """Return what each sample contributes to the metric, shape (member, sample).

        The mean over samples is the metric: 1 or 0 for a sample that is classified right or wrong;
        in a regression 1 minus the squared error relative to the mean square of the targets,
        averaged over outputs.
        """
        judged = [self._judge(*each)[1].cpu() for each in self._outputs(part)]
        hits = torch.cat(judged, 1)
        if self._task == CLASSIFICATION:
            return hits
        return (1 - hits.double() * hits.shape[1] / self._spread(part)[:, None]).mean(2)

    def _outputs(
        self, part: Part, watched: Sequence[UnitAccumulator] = ()
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield outputs, shape (member, output, sample), and targets, some samples at a time.

        If there is an accumulator for each hidden layer, it is updated.
        """
        self.net.eval()
        members, units = len(self._flat), self._units
        rows = max(1, CHUNK // (members * units))
        for first in range(0, part.X.shape[1], rows):
            a = part.X[:, first : first + rows][self._places].transpose(1, 2)
            for k, layer in enumerate(self._layers):
                z = layer.linear(a)
                a, slope = slopes(layer.call, z) if watched else (layer.call(z), None)
                if watched:
                    wide = (1, members * units, a.shape[2])
                    assert slope is not None
                    watched[k].update(
                        a.reshape(wide), slope.reshape(wide), axis=1, samples=a.shape[2]
                    )
            out = self._output.linear(a)
            if self._output.function is not None:
                out = self._output.call(out)
            yield out, part.y[:, first : first + rows][self._places]

    def _judge(self, out: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sum of the losses, shape (member,), and hits or squared errors per sample.

        Hits have shape (member, sample); squared errors have shape (member, sample, output).
        """
        wide = out.to(at_least_float32(out.dtype))
        if self._task == CLASSIFICATION:
            loss = nn.functional.cross_entropy(wide, y, reduction="none").sum(1)
            return loss, out.argmax(1) == y
        squares = (out.transpose(1, 2) - y).float().square()
        return (wide.transpose(1, 2) - y.to(wide.dtype)).square().sum((1, 2)), squares

    def _spread(self, part: Part) -> Tensor:
        """Return the sum of squares of the centred targets, shape (member, output)."""
        y = part.y.float().double()
        return (y - y.mean(1, keepdim=True)).square().sum(1)[self._places].cpu()

    # --- weights ---------------------------------------------------------------------------------

    def weights(self) -> Tensor:
        """Return a copy of all weights, shape (member, parameter)."""
        return self._flat.clone()

    def restore(self, weights: Tensor) -> None:
        """Load weights that `weights` returned."""
        self._flat.copy_(weights)

    def state_dict(self, member: int) -> dict[str, Tensor]:
        """Return the state dict of one member."""
        return {name: view[member].clone() for name, view in self._views(self._flat).items()}


class _Layer:
    """A linear layer of all members, and the activation after it."""

    def __init__(
        self,
        name: str,
        function: nn.Module | None,
        values: dict[str, Tensor],
        gradients: dict[str, Tensor],
        draws: list[Tensor],
    ) -> None:
        self.weight, self.bias = values[f"{name}.weight"], values[f"{name}.bias"].unsqueeze(2)
        self._weight_gradient = gradients[f"{name}.weight"]
        self._bias_gradient = gradients[f"{name}.bias"]
        self.function = function
        prefix = "on_output" if name == "output" else name.replace("hidden", "activation")
        own = dict(function.named_parameters()) if function is not None else {}
        self._own = {key: values[f"{prefix}.{key}"] for key in own}
        self._own_gradients = {key: gradients[f"{prefix}.{key}"] for key in own}
        self._draws = draws
        """State of torch's generator for each member, if an activation draws random numbers."""
        self.random = function is not None and _is_random(function, self.weight)
        self._leaves: dict[str, Tensor] = {}

    def linear(self, a: Tensor) -> Tensor:
        """Return the pre-activations, shape (member, unit, sample)."""
        return torch.baddbmm(self.bias, self.weight, a)

    def activate(self, z: Tensor) -> Tensor:
        """Apply the activation with autograd's tape."""
        z.requires_grad_()
        with torch.enable_grad():
            self._leaves = {
                key: weight.detach().requires_grad_() for key, weight in self._own.items()
            }
            return self._each_alone(z) if self.random else self.call(z)

    def call(self, z: Tensor) -> Tensor:
        """Apply the activation; each member uses its own parameters of it."""
        function = self.function
        assert function is not None
        if not self._own:
            a: Tensor = function(z)
            return a
        own = self._leaves if z.requires_grad and self._leaves else self._own

        def one(weights: dict[str, Tensor], z: Tensor) -> Any:
            return torch.func.functional_call(function, weights, (z,))

        return torch.vmap(one)(own, z)  # type: ignore[no-any-return]

    def _each_alone(self, z: Tensor) -> Tensor:
        """Apply a random activation member by member, drawing what `Learner` would draw."""
        assert self.function is not None
        made = []
        for m, state in enumerate(self._draws):
            set_generator_state(state, z.device)
            alone = z[m].t().contiguous()
            if self._own:
                own = {key: leaf[m] for key, leaf in self._leaves.items()}
                a = torch.func.functional_call(self.function, own, (alone,))
            else:
                a = self.function(alone)
            made.append(a.t())
            self._draws[m] = generator_state(z.device)
        return torch.stack(made)

    def backward(self, z: Tensor, a: Tensor, gradient: Tensor) -> Tensor:
        """Return dL/dz, and store the gradient of the activation's own parameters."""
        found = backward_through(a, z, gradient, tuple(self._leaves.values()))
        for key, leaf in self._leaves.items():
            if leaf.grad is not None:
                self._own_gradients[key].copy_(leaf.grad)
        return found

    def collect(self, below: Tensor, gradient: Tensor) -> None:
        """Store the gradients of weights and bias, given that of the pre-activations."""
        self._weight_gradient.copy_(torch.bmm(gradient, below.transpose(1, 2)))
        torch.sum(gradient, 2, out=self._bias_gradient)

    def pull(self, gradient: Tensor) -> Tensor:
        """Return the gradient with respect to this layer's inputs."""
        if gradient.shape[1] == 1:  # an outer product; bmm takes twice as long
            return self.weight.transpose(1, 2) * gradient
        return torch.bmm(self.weight.transpose(1, 2), gradient)


class _Graphs:
    """Steps as CUDA graphs, captured once per batch size and data set."""

    def __init__(self, state: Sequence[Tensor]) -> None:
        """Take the tensors that a step changes."""
        self._state = state
        self._graphs: dict[tuple[int, int], tuple[Any, Tensor, Tensor]] = {}

    def replayed(self, step: Callable[[Tensor], Tensor], rows: Tensor, part: Part) -> Tensor:
        """Run a step on the rows of a batch, replaying its graph."""
        size = rows.shape[1], part.X.data_ptr()
        if size not in self._graphs:
            before = [tensor.clone() for tensor in self._state]
            place, losses = rows.contiguous().clone(), list[Tensor]()
            torch.cuda.synchronize()  # the step's tensors were made on another stream
            with own_stream(rows.device):
                replay = captured(lambda: losses.append(step(place)), 1)
            torch.cuda.synchronize()
            for tensor, old in zip(self._state, before, strict=True):
                tensor.copy_(old)
            self._graphs[size] = replay, place, losses[-1]
        replay, place, loss = self._graphs[size]
        place.copy_(rows)
        replay()
        return loss.clone()


def _in_a_row(net: SimpleNet) -> Tensor:
    return torch.cat([p.detach().reshape(-1) for p in net.parameters()])


def _minus_ones(like: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.full((), -1.0, dtype=dtype, device=like.device).expand(like.shape)


def _is_random(function: nn.Module, like: Tensor) -> bool:
    """Return whether a function draws random numbers in training, as rrelu does."""
    was, device = function.training, like.device
    with kept_generators(device):
        before = generator_state(device)
        function.train()(like[0])
        after = generator_state(device)
    function.train(was)
    return not torch.equal(before, after)
