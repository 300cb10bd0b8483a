import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from actcompare import CATALOGUE, SimpleNet, parse
from actcompare.data.splits import Part
from actcompare.machine.generators import batch_order
from actcompare.training.learning import learner as learner_module
from actcompare.training.learning.learner import Learner
from actcompare.training.learning.optimizers import make_optimizer

ALL = [entry.spec for entry in CATALOGUE]
RANDOM = {"rrelu"}


def part(samples: int = 70, outputs: int = 3, task: str = "classification") -> Part:
    generator = torch.Generator().manual_seed(1)
    X = torch.randn(samples, 5, generator=generator)
    if task == "classification":
        return Part(X, torch.randint(outputs, (samples,), generator=generator))
    return Part(X, torch.randn(samples, outputs, generator=generator))


def net(spec: str = "gelu", depth: int = 2, outputs: int = 3) -> SimpleNet:
    torch.manual_seed(0)
    activation = parse(spec).build(torch.float32, torch.device("cpu"))
    return SimpleNet(5, 7, outputs, activation, depth=depth)


def textbook(
    model: nn.Module, optimizer: torch.optim.Optimizer, data: Part, order: Tensor, batch_size: int
) -> list[float]:
    model.train()
    criterion: Any = nn.CrossEntropyLoss() if data.y.dim() == 1 else nn.MSELoss()
    losses = []
    for batch in torch.split(order, batch_size):
        optimizer.zero_grad()
        loss = criterion(model(data.X[batch]), data.y[batch])
        loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("spec", ALL)
def test_an_epoch_is_that_of_the_textbook(spec: str, task: str, optimizer: str) -> None:
    data, order = part(task=task), batch_order(70, 0, 1, torch.device("cpu"))
    theirs, mine = net(spec), net(spec)
    peers: dict[str, Any] = {
        "sgd": partial(torch.optim.SGD, momentum=0.9),
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
    }
    peer = peers[optimizer](theirs.parameters(), lr=0.05)
    decay = 0.01 if optimizer == "adamw" else 0.0
    learner = Learner(mine, task, make_optimizer(optimizer, 0.05, 0.9, decay))
    torch.manual_seed(5)
    expected = textbook(theirs, peer, data, order, 16)
    torch.manual_seed(5)
    losses = learner.learn(data, order, 16)
    assert losses.tolist() == pytest.approx(expected, rel=1e-5)
    for p, q in zip(theirs.parameters(), mine.parameters(), strict=True):
        assert torch.allclose(p, q, rtol=0, atol=1e-5)


class Cube(torch.autograd.Function):
    """As people write an activation with a backward pass of their own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        slope: Tensor = 3 * x**2
        return slope * gradients[0]


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.fixed = nn.Parameter(torch.full((1,), 2.0), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x) * self.scale + self.fixed


class Weight(nn.Module):
    """Of its weight alone, whatever the input."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight.expand_as(x)


OWN: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda x: x,
    "module": nn.Identity(),
    "swish": lambda x: x * torch.sigmoid(x),
    "halves": lambda x: torch.where(x > 0, x, 0.1 * x),
    "constant": torch.ones_like,
    "detached": lambda x: x.detach().relu(),
    "view": lambda x: x.view_as(x),
    "cube": Cube.apply,
    "scaled": Scaled(),
    "weight": Weight(),
    "both": nn.Sequential(nn.PReLU(), nn.Tanh()),
}


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("outer", [None, "softplus", "prelu"])
def test_whatever_the_activation_is_made_of(name: str, outer: str | None) -> None:
    data, order = part(task="regression"), batch_order(70, 0, 1, torch.device("cpu"))

    def make() -> SimpleNet:
        torch.manual_seed(0)
        out = parse(outer).build(torch.float32, torch.device("cpu")) if outer else None
        return SimpleNet(5, 7, 3, OWN[name], depth=2, output_activation=out)

    theirs, mine = make(), make()
    peer = torch.optim.SGD([p for p in theirs.parameters() if p.requires_grad], lr=0.001)
    learner = Learner(mine, "regression", make_optimizer("sgd", 0.001, 0, 0))
    expected = textbook(theirs, peer, data, order, 16)
    assert learner.learn(data, order, 16).tolist() == pytest.approx(expected, rel=1e-5)
    for p, q in zip(theirs.parameters(), mine.parameters(), strict=True):
        assert torch.allclose(p, q, rtol=0, atol=1e-6)
    found, units = learner.score(data, watch=True)
    assert found == learner.score(data, watch=False)[0]
    if name in ("constant", "detached", "weight"):
        assert all(bool(u.verdicts()["gradient_zero"].all()) for u in units)
    if name == "identity":
        assert all(u.slope.tolist() == [1] * 7 for u in units)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_scores_do_not_depend_on_the_chunks(monkeypatch: pytest.MonkeyPatch, task: str) -> None:
    data = part(task=task)
    learner = Learner(net(), task, make_optimizer("sgd", 0.1, 0, 0))
    whole, units = learner.score(data, watch=True)
    monkeypatch.setattr(learner_module, "CHUNK", 7 * 9)
    parts, more = learner.score(data, watch=True)
    assert parts.loss == pytest.approx(whole.loss, rel=1e-5)
    assert parts.metric == pytest.approx(whole.metric, abs=1e-6)
    assert [u.samples for u in units] == [u.samples for u in more] == [70, 70]
    assert learner.gradient_norms(data) == pytest.approx(by_hand(learner, data), rel=1e-5)


def by_hand(learner: Learner, data: Part) -> list[float]:
    criterion = nn.CrossEntropyLoss() if data.y.dim() == 1 else nn.MSELoss()
    loss = criterion(learner.net(data.X), data.y)
    norms = []
    for _, linear, _ in learner.net.hidden_layers():
        gradients = torch.autograd.grad(loss, list(linear.parameters()), retain_graph=True)
        norms.append(math.sqrt(sum(float(g.square().sum()) for g in gradients)))
    return norms


def test_metrics_are_accuracy_and_r2() -> None:
    data = part()
    learner = Learner(net(), "classification", make_optimizer("sgd", 0.1, 0, 0))
    score, _ = learner.score(data, watch=False)
    out = learner.net(data.X).detach()
    assert score.metric == float((out.argmax(1) == data.y).double().mean())
    assert score.loss == pytest.approx(float(nn.functional.cross_entropy(out, data.y)), rel=1e-5)
    data = part(task="regression")
    learner = Learner(net(), "regression", make_optimizer("sgd", 0.1, 0, 0))
    score, _ = learner.score(data, watch=False)
    out, y = learner.net(data.X).detach().double().numpy(), data.y.double().numpy()
    r2 = 1 - ((out - y) ** 2).sum(0) / ((y - y.mean(0)) ** 2).sum(0)
    assert score.metric == pytest.approx(float(np.mean(r2)), abs=1e-6)
    assert score.loss == pytest.approx(float(((out - y) ** 2).mean()), rel=1e-5)


def test_watching_leaves_no_trace() -> None:
    data, learner = (
        part(),
        Learner(net("prelu"), "classification", make_optimizer("sgd", 0.1, 0, 0)),
    )
    learner.learn(data, batch_order(70, 0, 1, torch.device("cpu")), 16)
    before = learner.weights()
    gradients = [p.grad.clone() for p in learner.net.parameters() if p.grad is not None]
    state = torch.random.get_rng_state()
    learner.score(data, watch=True)
    learner.gradient_norms(data)
    assert all(torch.equal(before[name], now) for name, now in learner.weights().items())
    after = [p.grad for p in learner.net.parameters() if p.grad is not None]
    assert all(torch.equal(a, b) for a, b in zip(gradients, after, strict=True))
    assert torch.equal(state, torch.random.get_rng_state())


def test_orders_are_permutations_that_differ() -> None:
    cpu = torch.device("cpu")
    orders = [batch_order(50, seed, epoch, cpu) for seed in (0, 1) for epoch in (1, 2)]
    for i, order in enumerate(orders):
        assert sorted(order.tolist()) == list(range(50))
        assert not any(torch.equal(order, other) for other in orders[:i])
    assert torch.equal(orders[0], batch_order(50, 0, 1, cpu))
