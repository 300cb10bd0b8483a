"""A copy with other activations: all of them, and the model stays as it was."""

import copy
import inspect
import pickle
from collections.abc import Callable
from typing import cast

import pytest
import torch
import torch.utils.checkpoint
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from actcompare import CATALOGUE, UsageError, swap_activations, watch
from actcompare.errors import ActcompareError
from actcompare.models.swap import parse_swap
from tests.models.watching.test_watch import alike, state_of
from tests.models.zoo import ZOO, make


@pytest.mark.parametrize("name", ZOO)
def test_no_activation_of_the_old_kind_is_left(name: str) -> None:
    model, samples = make(name)
    before = state_of(model)
    with torch.no_grad(), watch(model) as old:
        model(samples(5).clone())
    names = {layer.use.partition(":")[0] for layer in old.layers}
    twin, _ = swap_activations(model, dict.fromkeys(names, "softplus:beta=3"))
    with torch.no_grad(), watch(twin) as new:
        twin(samples(5).clone())
    assert len(new.layers) == len(old.layers)
    assert {layer.use for layer in new.layers} == {"softplus:beta=3"}
    assert alike(state_of(model), before)
    assert twin.state_dict().keys() <= model.state_dict().keys()


@pytest.mark.parametrize("spec", [entry.spec for entry in CATALOGUE])
def test_by_any_of_the_catalogue_it_computes_what_was_written_so(spec: str) -> None:
    from actcompare import parse

    class Net(nn.Module):
        def __init__(self, act: nn.Module) -> None:
            super().__init__()
            self.fc, self.act = nn.Linear(3, 3), act

        def forward(self, x: Tensor) -> Tensor:
            return self.act(self.fc(x))  # type: ignore[no-any-return]

    made = parse(spec).build(torch.float32, torch.device("cpu"))
    assert isinstance(made, nn.Module)
    model, x = Net(nn.ReLU()).eval(), torch.randn(9, 3)
    written = Net(made).eval()
    written.fc = model.fc
    twin, (swap,) = swap_activations(model, {"relu": spec})
    assert torch.equal(twin(x), written(x))
    assert (swap.where, swap.old, swap.new, swap.why_not) == ("act", "relu", parse(spec).label, "")


class InPlaces(nn.Module):
    """What is overwritten is used again."""

    def forward(self, x: Tensor) -> Tensor:
        y = 1 * x
        y.relu_()
        z = 2 * y
        F.relu(z, inplace=True)
        return y + z


def test_calls_in_place_still_overwrite_and_learn() -> None:
    twin, _ = swap_activations(InPlaces(), {"relu": "softplus"})
    x = torch.randn(5, requires_grad=True)
    y = F.softplus(x)
    expected = y + F.softplus(2 * y)
    found = twin(x)
    assert torch.allclose(found, expected)
    (one,) = torch.autograd.grad(found.sum(), x)
    (two,) = torch.autograd.grad(expected.sum(), x)
    assert torch.allclose(one, two)


@pytest.mark.parametrize("name", ["functions", "residual"])
def test_a_copy_can_be_copied_pickled_and_trained(name: str) -> None:
    model, samples = make(name)
    twin, _ = swap_activations(model, {"relu": "gelu"})
    again = copy.deepcopy(twin)
    back = pickle.loads(pickle.dumps(twin))
    out = twin(samples(4).clone())
    assert torch.equal(again(samples(4).clone()), out)
    assert torch.equal(back(samples(4).clone()), out)
    assert not torch.equal(model(samples(4).clone()), out)
    out.sum().backward()
    assert all(p.grad is None for p in model.parameters())
    assert any(p.grad is not None for p in twin.parameters())


def test_torchs_transformer_layer_is_swapped_too() -> None:
    model = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    twin, (swap,) = swap_activations(model, {"relu": "silu"})
    assert (swap.where, swap.old) == ("activation", "relu")
    written = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation=F.silu).eval()
    written.load_state_dict(model.state_dict())
    x = torch.randn(3, 5, 8)
    with torch.no_grad():
        assert torch.allclose(twin(x), written(x), atol=1e-6)


def test_what_cannot_be_is_listed_with_its_reason() -> None:
    model = nn.Sequential(nn.RNN(3, 4, nonlinearity="relu"), nn.GRU(4, 4), nn.ReLU())
    _, swaps = swap_activations(model, {"relu": "softplus", "tanh": "silu"})
    why = {swap.where: swap.why_not for swap in swaps}
    assert "one call" in why["0"]
    assert "one call" in why["1"]
    assert why["2"] == ""


def test_a_module_in_several_places_stays_one() -> None:
    act = nn.PReLU()
    model = nn.Sequential(act, nn.Linear(2, 2), act)
    twin, swaps = swap_activations(model, {"prelu": "elu"})
    assert isinstance(twin, nn.Sequential)
    assert twin[0] is twin[2]
    assert [swap.where for swap in swaps] == ["0", "2"]
    root, (swap,) = swap_activations(nn.ReLU(), {"relu": "elu"})
    assert isinstance(root, nn.ELU)
    assert swap.where == "(model)"


def test_parameters_choose_which() -> None:
    model = nn.Sequential(nn.LeakyReLU(0.2), nn.LeakyReLU(), nn.ReLU(inplace=True))
    twin, swaps = swap_activations(model, {"leaky_relu:negative_slope=0.2": "relu", "relu": "elu"})
    assert [type(m).__name__ for m in twin.children()] == ["ReLU", "LeakyReLU", "ELU"]
    assert [swap.old for swap in swaps] == [
        "leaky_relu:negative_slope=0.2", "relu (which was in place)"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "swap"),
    [
        ("relu=softplus", ("relu", "softplus")),
        (" relu = softplus:beta=2 ", ("relu", "softplus:beta=2")),
        (
            "leaky_relu:negative_slope=0.2=softplus:beta=2,threshold=30",
            ("leaky_relu:negative_slope=0.2", "softplus:beta=2,threshold=30"),
        ),
        ("clamp=softplus", ("clamp", "softplus")),
        ("my.acts:Swish=silu", ("my.acts:Swish", "silu")),
        ("gelu:approximate=tanh=gelu", ("gelu:approximate=tanh", "gelu")),
    ],
)
def test_swaps_are_read(text: str, swap: tuple[str, str]) -> None:
    assert parse_swap(text) == swap


@pytest.mark.parametrize("text", ["relu", "relu=", "=relu", "relu=softpuls", "=", "", "a=b=c"])
def test_what_is_no_swap_is_told(text: str) -> None:
    with pytest.raises(UsageError):
        parse_swap(text)


def test_compiled_models_and_forwards_of_their_own_are_copied_as_written() -> None:
    net = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    x = torch.randn(4, 3)
    compiled = torch.compile(net, backend="eager")
    twin, _ = swap_activations(cast(nn.Module, compiled), {"relu": "silu"})
    assert torch.equal(twin(x), F.silu(net[0](x)))
    model = InPlaces()
    model.forward = lambda x: torch.relu(x) + 1  # type: ignore[method-assign]
    twin, _ = swap_activations(model, {"relu": "silu"})
    again, _ = swap_activations(twin, {"silu": "tanh"})
    assert torch.equal(twin(x), F.silu(x) + 1)
    assert torch.equal(again(x), torch.tanh(x) + 1)
    assert torch.equal(model(x), F.relu(x) + 1)


def test_a_model_that_cannot_be_copied_is_told() -> None:
    class Stubborn(nn.Module):
        def __deepcopy__(self, _: object) -> None:
            raise TypeError("one of a kind")

    with pytest.raises(ActcompareError, match="cannot be copied: TypeError: one of a kind"):
        swap_activations(Stubborn(), {"relu": "elu"})


class Block(nn.Module):
    """Calls a function, so that only a mode can swap it."""

    def __init__(self, act: str = "relu") -> None:
        super().__init__()
        self.fc, self.act = nn.Linear(6, 6), act

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(x) + x

    def mix(self, x: Tensor) -> Tensor:
        function = F.relu if self.act == "relu" else F.softplus
        return function(self.fc(x))


class Checkpointed(nn.Module):
    """Runs its blocks, or a method of its own, again within backward."""

    def __init__(self, act: str = "relu", reentrant: bool | None = None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block(act), Block(act)])
        self.own, self.reentrant = Block(act), reentrant

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = self.run(block, x)
        return self.run(self.last, x)

    def last(self, x: Tensor) -> Tensor:
        function = F.relu if self.own.act == "relu" else F.softplus
        return function(self.own.fc(x))

    def features(self, x: Tensor) -> Tensor:
        return self.last(self.blocks[0](x))

    def run(self, part: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        if self.reentrant is None:
            return part(x)
        again = torch.utils.checkpoint.checkpoint(part, x, use_reentrant=self.reentrant)
        return cast(Tensor, again)


def written_like(twin: nn.Module, reentrant: bool | None = None) -> Checkpointed:
    """The same net, written with softplus."""
    written = Checkpointed("softplus", reentrant)
    written.load_state_dict(twin.state_dict())
    return written


def gradients(model: nn.Module, x: Tensor) -> list[Tensor]:
    model.zero_grad()
    x = x.clone().requires_grad_()
    model(x).square().sum().backward()
    return [x.grad, *(p.grad for p in model.parameters())]  # type: ignore[list-item]


@pytest.mark.parametrize("reentrant", [None, True, False])
def test_gradients_are_right_under_activation_checkpointing(reentrant: bool | None) -> None:
    model, x = Checkpointed("relu", reentrant), torch.randn(5, 6)
    twin, _ = swap_activations(model, {"relu": "softplus"})
    for ours, right in zip(
        gradients(twin, x), gradients(written_like(twin, reentrant), x), strict=True
    ):
        assert torch.equal(ours, right)


def test_every_way_into_a_copy_swaps() -> None:
    model, x = Checkpointed("relu"), torch.randn(5, 6)
    twin, _ = swap_activations(model, {"relu": "softplus"})
    assert isinstance(twin, Checkpointed)
    written = written_like(twin)
    for way in ("forward", "features", "last"):
        assert torch.equal(getattr(twin, way)(x), getattr(written, way)(x)), way
        assert not torch.equal(getattr(twin, way)(x), getattr(model, way)(x)), way
    for part in ("blocks.0", "own"):
        inner, right = twin.get_submodule(part), written.get_submodule(part)
        assert torch.equal(inner(x), right(x)), part
        assert torch.equal(inner.mix(x), right.mix(x)), part  # type: ignore[operator]


def test_swaps_do_not_chain() -> None:
    class Two(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return self.one(x) - F.gelu(x)

        def one(self, x: Tensor) -> Tensor:
            return F.relu(x)

    x = torch.randn(9)
    twin, _ = swap_activations(Two(), {"relu": "gelu", "gelu": "relu"})
    assert torch.equal(twin(x), F.gelu(x) - F.relu(x))


@pytest.mark.parametrize("how", ["deepcopy", "pickle"])
def test_copies_of_a_copy_swap_on_their_own(how: str) -> None:
    twin, _ = swap_activations(Checkpointed("relu", False), {"relu": "softplus"})
    again = copy.deepcopy(twin) if how == "deepcopy" else pickle.loads(pickle.dumps(twin))
    x = torch.randn(5, 6)
    assert torch.equal(again(x), twin(x))
    for ours, right in zip(gradients(again, x), gradients(twin, x), strict=True):
        assert torch.equal(ours, right)
    with torch.no_grad():
        again.get_submodule("own.fc").weight.zero_()  # type: ignore[operator]
    assert not torch.equal(again(x), twin(x))
    assert not torch.equal(again(x), Checkpointed("relu")(x))


def test_the_arguments_of_methods_are_still_known() -> None:
    twin, _ = swap_activations(Checkpointed("relu"), {"relu": "softplus"})
    assert list(inspect.signature(twin.forward).parameters) == ["x"]


def test_a_copy_can_be_exported_and_compiled() -> None:
    model, x = Checkpointed("relu").eval(), torch.randn(5, 6)
    twin, _ = swap_activations(model, {"relu": "softplus"})
    exported = torch.export.export(twin, (x,)).module()
    assert torch.allclose(exported(x), twin(x))
    compiled = torch.compile(twin, backend="eager")
    with torch.no_grad():
        assert torch.allclose(compiled(x), twin(x))
        assert not torch.allclose(compiled(x), model(x))


@pytest.mark.parametrize("calls", [False, True])
def test_a_new_activation_may_call_the_one_that_it_replaces(calls: bool) -> None:
    def squared(z: Tensor) -> Tensor:
        return nn.functional.relu(z) ** 2

    class Calls(nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            return nn.functional.relu(z)

    model = nn.Sequential(nn.Linear(4, 8), Calls() if calls else nn.ReLU())
    twin, _ = swap_activations(model, {"relu": squared})
    x = torch.randn(5, 4)
    assert torch.equal(twin(x), squared(model[0](x)))
