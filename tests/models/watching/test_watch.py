"""Every activation a model calls is seen as it is, and seeing it changes nothing."""

import contextlib
import copy
import io
import math
import pickle
import random
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn import functional as F  # noqa: N812
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from actcompare import CATALOGUE, inspect_model, watch
from actcompare.activations.torch_calls import known_calls
from actcompare.errors import ActcompareError, UsageError
from actcompare.models.watching.records import WatchedLayer
from tests.models.zoo import ZOO, Noting, make


def batches(x: Tensor, size: int) -> Iterator[Tensor]:
    return (part.clone() for part in torch.split(x, size))


def noted(model: Noting) -> dict[str, Tensor]:
    """What the model wrote down of itself, whole."""
    parts = defaultdict(list)
    for name, a in model.noted:
        parts[name].append(a)
    return {name: torch.cat(each) for name, each in parts.items()}


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("size", [1, 7, 64])
def test_it_sees_what_the_model_itself_notes(name: str, size: int) -> None:
    model, samples = make(name)
    with torch.no_grad(), watch(model) as units:
        for x in batches(samples(64), size):
            model(x)
    expected = noted(model)
    assert {layer.name for layer in units.layers} == set(expected)
    assert units.unseen == ()
    assert units.samples == 64
    for layer in units.layers:
        a, seen = expected[layer.name].double(), layer.statistics
        assert layer.units == a.shape[1]
        assert (seen.samples, seen.values) == (64, len(a))
        assert seen.nonzero.tolist() == (a != 0).sum(0).tolist()
        assert torch.allclose(seen.low, a.amin(0))
        assert torch.allclose(seen.high, a.amax(0))
        assert torch.allclose(seen.mean, a.mean(0), atol=1e-6)
        assert torch.allclose(seen.squares, (a - a.mean(0)).square().sum(0), rtol=1e-3, atol=1e-6)
        assert seen.layer_variance == pytest.approx(float(a.var(correction=0)), rel=1e-3)


@pytest.mark.parametrize("name", ZOO)
def test_verdicts_do_not_depend_on_the_batches(name: str) -> None:
    model, samples = make(name)
    seen = []
    for size in (1, 7, 64, 100):
        with torch.no_grad(), watch(model) as units:
            for x in batches(samples(100), size):
                model(x)
        seen.append({layer.name: layer.verdicts for layer in units.layers})
    for other in seen[1:]:
        for layer, verdicts in other.items():
            for verdict, holds in verdicts.items():
                assert torch.equal(holds, seen[0][layer][verdict]), (layer, verdict)


def state_of(model: nn.Module) -> dict[str, Any]:
    """All that a watch could leave on a model, or in torch."""
    return {
        "modes": [m.training for m in model.modules()],
        "hooks": [
            (len(m._forward_hooks), len(m._forward_pre_hooks), len(m._forward_hooks_always_called))
            for m in model.modules()
        ],
        "tensors": {k: v.clone() for k, v in model.state_dict().items()},
        "gradients": [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        "random": torch.get_rng_state(),
        "modes of torch": torch._C._len_torch_function_stack(),
        "vars": [sorted(vars(m)) for m in model.modules()],
    }


def alike(one: Any, two: Any) -> bool:
    if isinstance(one, Tensor):
        return torch.equal(one, two)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(alike(one[k], two[k]) for k in one)
    if isinstance(one, list):
        return len(one) == len(two) and all(map(alike, one, two))
    return bool(one == two)


@pytest.mark.parametrize("name", ZOO)
def test_nothing_changes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # torch's fast path for attention, which a watch does without, rounds otherwise.
    monkeypatch.setattr(torch.backends.mha, "get_fastpath_enabled", lambda: False)
    model, samples = make(name)
    with torch.no_grad():
        bare = model(samples(16).clone())
    before = state_of(model)
    with torch.no_grad(), watch(model):
        assert torch.equal(model(samples(16).clone()), bare)
    assert alike(state_of(model), before)
    with torch.inference_mode(), watch(model) as units:
        assert torch.equal(model(samples(16).clone()), bare)
    assert alike(state_of(model), before)
    assert units.unseen == ()
    assert {layer.name for layer in units.layers} == set(noted(model))


@pytest.mark.parametrize("name", set(ZOO) - {"in_place"})
def test_training_goes_on_to_the_bit(name: str) -> None:
    """With gradients, in training mode, with weights that move."""
    weights = []
    for watched in (False, True):
        model, samples = make(name)
        model.train()
        with watch(model) if watched else torch.enable_grad() as units:
            for seed in (20, 21):
                torch.manual_seed(seed)
                loss = model(samples(seed).clone()).square().sum()
                loss.backward()
                with torch.no_grad():
                    for p in model.parameters():
                        if p.grad is not None:
                            p.sub_(0.01 * p.grad)
        weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
        weights.append(
            torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        )
    assert torch.equal(weights[0], weights[2])
    assert torch.equal(weights[1], weights[3])
    assert units.trained  # type: ignore[union-attr]
    assert units.layers  # type: ignore[union-attr]


class Raising(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.fails = nn.Sequential(nn.Linear(3, 3), nn.ReLU()), True

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.first(x)
        if self.fails:
            raise RuntimeError("half-way")
        return F.gelu(h)


def test_all_is_put_back_where_the_model_raises() -> None:
    model, x = Raising(), torch.randn(4, 3)
    before = state_of(model)
    with pytest.raises(RuntimeError, match="half-way"), watch(model):
        model(x)
    assert alike(state_of(model), before)
    with watch(model) as units, torch.no_grad():
        with pytest.raises(RuntimeError, match="half-way"):
            model(x)
        model.fails = False
        model(x)
    assert [layer.name for layer in units.layers] == ["first.1 / relu", "(model) / gelu"]
    assert [layer.statistics.samples for layer in units.layers] == [8, 4]
    model.fails = True
    assert alike(state_of(model), before)


@pytest.mark.parametrize("spec", [entry.spec for entry in CATALOGUE])
def test_the_whole_catalogue_is_seen_as_module_and_as_function(spec: str) -> None:
    from actcompare import parse

    made = parse(spec).build(torch.float32, torch.device("cpu"))
    assert isinstance(made, nn.Module)
    x = 3 * torch.randn(50, 4)
    model = nn.Sequential(made)
    with torch.no_grad():
        out = model(x)
        with watch(model) as units:
            assert torch.equal(model(x), out)
    (layer,) = units.layers
    assert layer.use.partition(":")[0] == spec.partition(":")[0]
    leaf = x.double().requires_grad_()
    (slope,) = torch.autograd.grad(copy.deepcopy(made).double()(leaf).sum(), leaf)
    assert torch.allclose(layer.statistics.slope, slope.abs().amax(0), atol=1e-5)
    assert torch.allclose(layer.statistics.mean, out.detach().double().mean(0), atol=1e-5)
    flat = (slope.abs() <= 1e-3).sum(0)
    assert (layer.statistics.flat - flat).abs().max() <= 1


def test_the_table_of_calls_holds_every_spelling() -> None:
    known = known_calls()
    for call in (F.relu, torch.relu, torch.Tensor.relu, torch.relu_, torch.Tensor.relu_, F.relu_):
        assert known[call].name == "relu"
    others: list[Any] = [torch.sigmoid, torch.special.expit, torch.Tensor.sigmoid, F.threshold]
    for call in others:
        assert call in known
    assert torch.softmax not in known
    assert F.dropout not in known


def rows(*layers: WatchedLayer) -> list[str]:
    return [layer.name for layer in layers]


def test_torchs_transformer_is_seen_through_its_fast_path() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation="gelu")
    model = nn.TransformerEncoder(layer, 2).eval()
    x = torch.randn(5, 7, 8)
    with torch.no_grad():
        bare = model(x)
        with watch(model) as units:
            assert torch.allclose(model(x), bare, atol=1e-5)
        assert torch.equal(model(x), bare)
    assert rows(*units.layers) == ["layers.0 / gelu", "layers.1 / gelu"]
    assert [(e.units, e.statistics.values) for e in units.layers] == [(16, 35), (16, 35)]


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM, nn.RNN, nn.GRUCell])
def test_gates_of_recurrent_layers_are_named_as_not_seen(kind: type[nn.Module]) -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), kind(3, 4))
    with torch.no_grad(), watch(model) as units:
        model(torch.randn(5, 3))
    (unseen,) = units.unseen
    assert unseen.where == "2"
    assert "gates" in unseen.why
    assert rows(*units.layers) == ["1 / relu"]


def test_scripted_models_are_named_as_not_seen() -> None:
    with pytest.warns(DeprecationWarning):
        inner = torch.jit.script(nn.Sequential(nn.Linear(3, 3), nn.ReLU()))
    model = nn.Sequential(inner, nn.Tanh())
    with torch.no_grad(), watch(model) as units:
        model(torch.randn(5, 3))
    assert rows(*units.layers) == ["1 / tanh"]
    assert "scripted" in str(units.unseen[0])


def test_a_compiled_model_is_seen_as_it_was_written() -> None:
    calls = []

    def backend(graph: Any, _: object) -> Any:
        calls.append(graph)
        return graph.forward

    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    compiled = torch.compile(model, backend=backend)
    x = torch.randn(5, 3)
    with torch.no_grad():
        bare = compiled(x)
        with watch(cast(nn.Module, compiled)) as units:
            assert torch.allclose(compiled(x), bare)
        assert rows(*units.layers) == ["1 / relu"]
        assert torch.equal(compiled(x), bare)
    assert len(calls) == 1


def test_what_is_computed_again_for_a_backward_pass_is_seen_once() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = nn.Sequential(nn.Linear(3, 3), nn.ReLU())

        def forward(self, x: Tensor) -> Tensor:
            return checkpoint(self.block, x, use_reentrant=False)  # type: ignore[no-any-return]

    model = Net()
    with watch(model) as units:
        model(torch.randn(5, 3)).sum().backward()
    assert [layer.statistics.samples for layer in units.layers] == [5]
    assert units.passes == 1


def test_two_watches_at_once_each_see_their_own() -> None:
    one, two = nn.Sequential(nn.Linear(3, 3), nn.ReLU()), nn.Sequential(nn.Linear(3, 3), nn.Tanh())
    with torch.no_grad(), watch(one) as first, watch(two) as second, watch(one) as again:
        one(torch.randn(4, 3))
        two(torch.randn(6, 3))
    assert rows(*first.layers) == rows(*again.layers) == ["1 / relu"]
    assert rows(*second.layers) == ["1 / tanh"]
    assert first.layers[0].statistics.values == again.layers[0].statistics.values == 4


def test_other_threads_are_not_seen() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    with torch.no_grad(), watch(model) as units:
        thread = threading.Thread(target=model, args=(torch.randn(4, 3),))
        thread.start()
        thread.join()
        model(torch.randn(6, 3))
    assert units.layers[0].statistics.samples == 6


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast(dtype: torch.dtype) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Softplus(), nn.Linear(4, 4), nn.ReLU()).eval()
    x = torch.randn(20, 3)
    with torch.no_grad(), torch.autocast("cpu", dtype):
        bare = model(x)
        with watch(model) as units:
            assert torch.equal(model(x), bare)
    assert rows(*units.layers) == ["1 / softplus", "3 / relu"]
    assert bool((units.layers[0].statistics.slope > 0).all())


@pytest.mark.parametrize(
    ("model", "shape", "units"),
    [
        (nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU()), (2, 3, 8, 8), 5),
        (nn.Sequential(nn.Conv2d(3, 5, 3), nn.GELU()), (3, 8, 8), 5),
        (nn.Sequential(nn.Conv1d(6, 6, 1), nn.ReLU()), (2, 6, 6), 6),
        (nn.Sequential(nn.Conv3d(3, 4, 1), nn.Tanh()), (2, 3, 4, 4, 4), 4),
        (nn.Sequential(nn.Linear(3, 5), nn.ReLU()), (7, 3), 5),
        (nn.Sequential(nn.Linear(3, 5), nn.ReLU()), (3,), 5),
        (nn.Sequential(nn.Linear(3, 5), nn.SiLU()), (2, 4, 4, 3), 5),
        (nn.Sequential(nn.Linear(3, 1), nn.Flatten(0), nn.Sigmoid()), (7, 3), 1),
        (nn.Sequential(nn.ReLU()), (7, 3), 3),
    ],
)
def test_units_lie_on_the_axis_of_features(
    model: nn.Module, shape: tuple[int, ...], units: int
) -> None:
    with torch.no_grad(), watch(model) as seen:
        model(torch.randn(shape))
    (layer,) = seen.layers
    assert layer.units == units


def test_channels_last_is_the_same() -> None:
    model = nn.Sequential(nn.Conv2d(3, 5, 3), nn.GELU()).eval()
    x = torch.randn(4, 3, 9, 9)
    seen = []
    for memory in (torch.contiguous_format, torch.channels_last):
        model = model.to(memory_format=memory)  # type: ignore[call-overload]
        with torch.no_grad(), watch(model) as units:
            model(x.to(memory_format=memory))
        seen.append(units.layers[0].statistics)
    assert torch.allclose(seen[0].squares, seen[1].squares, rtol=1e-4)
    assert torch.allclose(seen[0].mean, seen[1].mean, atol=1e-6)


def test_unit_dim_overrides_and_is_checked() -> None:
    model = nn.Sequential(nn.Linear(3, 5), nn.ReLU())
    with torch.no_grad(), watch(model, unit_dim=1) as units:
        model(torch.randn(2, 4, 3))
    assert units.layers[0].units == 4
    with torch.no_grad(), watch(model, unit_dim=3) as units:
        model(torch.randn(2, 4, 3))
    assert units.layers == ()
    assert "Dimension out of range" in str(units.unseen[0])


def test_units_that_change_in_number_are_named() -> None:
    class Attending(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.sigmoid(x @ x.mT)

    with torch.no_grad(), watch(Attending()) as units:
        for length in (3, 4):
            units.model(torch.randn(2, length, 5))
    assert units.layers == ()
    assert "--unit-dim" in str(units.unseen[0])


def swish(x: Tensor, beta: float = 1.0) -> Tensor:
    return x * torch.sigmoid(beta * x)


class Snake(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.sin(x).square()


class Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.relu(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return gradient * (ctx.saved_tensors[0] > 0)


class Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.snake, self.kept = nn.Linear(3, 4), Snake(), swish

    def forward(self, x: Tensor) -> Tensor:
        h = self.kept(swish(self.snake(self.fc(x)), 2.0))
        return Step.apply(h)  # type: ignore[no-any-return, no-untyped-call]


def test_a_users_own_functions_are_watched_wherever_they_are_called() -> None:
    here, model, x = __name__, Own(), torch.randn(30, 3)
    original = swish
    with torch.no_grad():
        bare = model(x)
        with watch(model, own=[f"{here}:swish", f"{here}:Snake", f"{here}:Step"]) as units:
            assert torch.equal(model(x), bare)
            assert sys.modules[here].swish is not original
    assert swish is original
    assert vars(Step).get("apply") is None
    assert rows(*units.layers) == [
        "snake / Snake", "(model) / swish", "(model) / swish #2", "(model) / Step"
    ]  # fmt: skip
    assert units.never_called == ()
    snake = units.layers[0].statistics
    z = model.fc(x).detach()
    assert torch.allclose(snake.slope, (1 + torch.sin(2 * z)).abs().amax(0).double(), atol=1e-5)
    with torch.no_grad(), watch(model, own=[f"{here}:make"]) as units:
        model(x)
    assert units.never_called == (f"{here}:make",)
    assert "(model) / sigmoid" in rows(*units.layers)


def test_a_users_own_function_has_to_be_there_and_elementwise() -> None:
    with pytest.raises(ActcompareError, match="has no 'nothing'"):
        watch(nn.ReLU(), own=[f"{__name__}:nothing"])
    summing = nn.Sequential(nn.Linear(3, 4), Summing())
    with torch.no_grad(), watch(summing, own=[f"{__name__}:Summing"]) as units:
        summing(torch.randn(5, 3))
    assert "not elementwise" in str(units.unseen[0])


class Summing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sum(1)


@pytest.mark.parametrize("value", [5, True, None, "text", torch, int, print])
def test_what_is_no_function_is_not_watched(value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    here = sys.modules[__name__]
    monkeypatch.setattr(here, "CONSTANT", value, raising=False)
    with pytest.raises(ActcompareError, match="name an elementwise function"):
        watch(nn.ReLU(), own=[f"{__name__}:CONSTANT"])


def test_copies_and_saved_files_made_within_have_no_hooks_and_are_not_seen() -> None:
    model, x = Own(), torch.randn(6, 3)
    with watch(model, own=[f"{__name__}:swish", f"{__name__}:Snake"]) as units:
        model(x)
        file = io.BytesIO()
        torch.save(model, file)
        file.seek(0)
        twins = [
            copy.deepcopy(model),
            pickle.loads(pickle.dumps(model)),
            torch.load(file, weights_only=False),
        ]
        for twin in twins:
            twin(x)
    seen = [layer.statistics.samples for layer in units.layers]
    assert units.passes == 1
    for twin in twins:
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in twin.modules())
        assert torch.equal(twin(x), model(x))
    assert [layer.statistics.samples for layer in units.layers] == seen


class Sub(Tensor):
    """A subclass of a user's."""


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
@pytest.mark.parametrize("spec", [entry.spec for entry in CATALOGUE])
def test_a_call_returns_its_own_result(spec: str) -> None:
    from actcompare import parse

    act = cast(nn.Module, parse(spec).build(torch.float32, torch.device("cpu")))
    model, z = nn.Sequential(act), torch.randn(5, 4)

    def dual(function: nn.Module) -> Any:
        with torch.no_grad(), forward_ad.dual_level():
            given = forward_ad.make_dual(z, torch.ones_like(z))  # type: ignore[no-untyped-call]
            return forward_ad.unpack_dual(function(given))  # type: ignore[no-untyped-call]

    bare = dual(act)
    with torch.no_grad(), watch(model) as units:
        assert type(model(z.as_subclass(Sub))) is Sub
        out = dual(model)
    assert torch.equal(out.primal, bare.primal)
    assert torch.equal(out.tangent, bare.tangent)
    assert units.layers[0].statistics.samples == 10


@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_nested_tensors_pass(layout: torch.layout) -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.GELU())
    x = torch.nested.nested_tensor([torch.ones(2, 3), torch.ones(4, 3)], layout=layout)
    with torch.no_grad():
        bare = model(x)
        with watch(model) as units:
            assert torch.equal(model(x).values(), bare.values())
    assert units.layers == ()
    assert "nested" in str(units.unseen[0])


def test_transforms_of_torch_func_pass() -> None:
    model, x = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.GELU()), torch.randn(4, 3)

    def loss(weights: dict[str, Tensor], x: Tensor) -> Tensor:
        return torch.func.functional_call(model, weights, (x,)).sum()  # type: ignore[no-any-return]

    step = torch.func.vmap(torch.func.grad(loss), (None, 0))
    weights = {name: p.detach() for name, p in model.named_parameters()}
    bare = step(weights, x)
    with watch(model) as units:
        assert alike(step(weights, x), bare)
    assert units.layers == ()
    assert "torch.func" in str(units.unseen[0])


def test_a_watch_is_entered_once_at_a_time() -> None:
    model, x = nn.Sequential(nn.ReLU()), torch.ones(2, 3)
    units = watch(model)
    with units:
        model(x)
        with pytest.raises(ActcompareError, match="already active"), units:
            pass
        model(x)
    with units:
        model(x)
    assert units.passes == 3
    assert torch._C._len_torch_function_stack() == 0


def test_watches_may_be_left_in_any_order() -> None:
    model, x = nn.Sequential(nn.ReLU()), torch.ones(2, 3)
    one, two = watch(model), watch(model)
    one.__enter__()
    two.__enter__()
    one.__exit__(None, None, None)
    model(x)
    two.__exit__(None, None, None)
    model(x)
    assert (one.passes, two.passes) == (0, 1)
    assert torch._C._len_torch_function_stack() == 0


def deep() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.GELU(), nn.Linear(4, 2))


@pytest.mark.filterwarnings("ignore:.torch.jit.trace:DeprecationWarning")
def test_what_torch_records_is_the_model_alone() -> None:
    model, x = deep(), torch.randn(3, 4)
    plain = torch.export.export(model, (x,))
    traced_alone = torch.jit.trace(model, x)  # type: ignore[no-untyped-call]
    with watch(model) as units:
        exported = torch.export.export(model, (x,))
        assert not units.layers
        traced = torch.jit.trace(model, x)  # type: ignore[no-untyped-call]
    assert str(exported.graph) == str(plain.graph)
    kinds, alone = ([n.kind() for n in t.inlined_graph.nodes()] for t in (traced, traced_alone))
    assert kinds == alone
    assert torch.equal(traced(x), model(x))


def test_a_mode_of_the_users_sees_the_models_own_calls() -> None:
    class Count(TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()  # type: ignore[no-untyped-call]
            self.calls = 0

        def __torch_dispatch__(self, func: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
            self.calls += 1
            return func(*args, **(kwargs or {}))

    model, x = deep(), torch.randn(3, 4)
    with Count() as bare:
        model(x)
    with watch(model) as units, Count() as watched:
        model(x)
    assert watched.calls == bare.calls
    assert len(units.layers) == 2


def test_a_watch_copies_to_nothing() -> None:
    model = deep()
    with watch(model) as units:
        model.units = units  # type: ignore[assignment]
        assert copy.deepcopy(model).units is None
        assert pickle.loads(pickle.dumps(units)) is None


@pytest.mark.parametrize("thing", [None, 5, [nn.ReLU()], nn.ReLU])
def test_what_is_no_module_is_refused(thing: Any) -> None:
    with pytest.raises(UsageError, match=r"watch takes a torch\.nn\.Module, not"):
        watch(thing)


def test_compiling_works_again_after_watches_in_any_order() -> None:
    compiled: list[object] = []

    def backend(graph: torch.fx.GraphModule, _: object) -> Any:
        compiled.append(graph)
        return graph.forward

    def runs(x: torch.Tensor) -> torch.Tensor:
        return x.relu() + 1

    twice = torch.compile(runs, backend=backend)
    one, two = watch(nn.ReLU()), watch(nn.ReLU())
    one.__enter__()
    two.__enter__()
    one.__exit__(None, None, None)
    twice(torch.ones(3))
    assert not compiled
    two.__exit__(None, None, None)
    twice(torch.ones(3))
    assert len(compiled) == 1


def test_nested_watches_of_a_users_function_both_see_it_once() -> None:
    model, x, own = Own(), torch.randn(5, 3), [f"{__name__}:swish", f"{__name__}:Step"]
    original = swish
    with torch.no_grad(), watch(model, own=own) as outer, watch(model, own=own) as inner:
        model(x)
    assert swish is original
    assert rows(*outer.layers) == rows(*inner.layers)
    for one, two in zip(outer.layers, inner.layers, strict=True):
        assert one.statistics.samples == two.statistics.samples == 5


def test_what_is_bound_meanwhile_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    here, model = sys.modules[__name__], Own()
    monkeypatch.setattr(here, "swish", swish)

    def mine(x: Tensor) -> Tensor:
        return x

    original = swish
    with watch(model, own=[f"{__name__}:swish"]):
        monkeypatch.setattr(here, "swish", mine)
    assert vars(here)["swish"] is mine
    assert model.kept is original


class Methods(nn.Module):
    def act(self, x: Tensor) -> Tensor:
        return x * self.slope

    slope = 2.0


def test_a_function_that_is_a_method_stays_one() -> None:
    model = Methods()
    with watch(model, own=[f"{__name__}:Methods.act"]):
        assert torch.equal(model.act(torch.ones(2)), torch.full((2,), 2.0))
    assert torch.equal(model.act(torch.ones(2)), torch.full((2,), 2.0))


class Chancy(nn.Module):
    """An activation with a state and with random numbers of every source."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))
        self.calls = 0

    def forward(self, z: Tensor) -> Tensor:
        self.calls += 1
        with torch.no_grad():
            self.mean.lerp_(z.mean(), 0.1)
        noise = random.random() + np.random.rand() + torch.rand(())
        return (z - self.mean) * noise * torch.sigmoid(z)


class Deep(nn.Module):
    """What training with a watch meets: checkpoints, hooks, copies, and weights that move."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Sequential(nn.Linear(4, 4), nn.GELU(), nn.Dropout(0.2), nn.Softplus())
        self.two, self.three = nn.Sequential(nn.Linear(4, 4), nn.SiLU()), Chancy()
        self.words = nn.Embedding(5, 4, max_norm=0.5)
        self.two.register_forward_hook(lambda _, __, out: F.elu(out))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.words(torch.arange(5))[0]
        x = checkpoint(self.one, x, use_reentrant=False)
        with torch.autograd.graph.save_on_cpu():
            return self.three(checkpoint(self.two, x, use_reentrant=True))  # type: ignore[no-any-return]


@pytest.mark.filterwarnings("ignore:None of the inputs")
@pytest.mark.parametrize("own", [[], [f"{__name__}:Chancy"]])
def test_training_with_all_of_it_goes_on_to_the_bit(own: list[str]) -> None:
    ends = []
    for watched in (False, True):
        torch.manual_seed(1)
        random.seed(1)
        np.random.seed(1)
        model = Deep()
        optimizer, best = torch.optim.Adam(model.parameters(), 0.05), []
        with watch(model, own=own) if watched else contextlib.nullcontext():
            for _ in range(3):
                loss = model(torch.randn(6, 4)).square().sum()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                best.append(copy.deepcopy(model))
        drawn = torch.rand(1), random.random(), np.random.rand()
        ends.append([model.state_dict(), *(each.state_dict() for each in best), list(drawn)])
        ends[-1].append([model.three.calls])
    assert alike(ends[0], ends[1])


def test_memory_is_kept_by_units_alone() -> None:
    model = nn.Sequential(nn.Linear(3, 5), nn.ReLU())
    with torch.no_grad(), watch(model) as units:
        for _ in range(200):
            model(torch.randn(2, 3))
    kept = units._seen["1", "relu", 1].units._seen
    assert len(kept) <= 33
    assert all(t is None or t.shape == (5,) for summary in kept for t in summary[2:])


def test_the_frame_is_tidy() -> None:
    model, samples = make("residual")
    with torch.no_grad(), watch(model) as units:
        model(samples(8))
    frame = units.frame()
    assert list(frame["layer"]) == rows(*units.layers)
    assert frame["zero_dead"].dtype.kind == "i"
    assert {"module", "activation", "units", "sparsity", "mean", "variance"} <= set(frame)


class Tokens(nn.Module):
    """Takes everything by keyword, with positions before the tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.fc = nn.Embedding(50, 6), nn.Linear(6, 6)

    def forward(self, *, positions: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        x = F.relu(self.fc(self.embed(tokens) + positions[:, None]))
        return x * mask[..., None]


def test_samples_of_keyword_inputs_are_those_of_the_batch() -> None:
    model, tokens = Tokens(), torch.randint(50, (4, 9))
    batch = {"positions": torch.zeros(9), "tokens": tokens, "mask": torch.ones(4, 9)}
    with torch.no_grad(), watch(model) as units:
        model(**batch)
        model(**batch)
    assert units.samples == 8
    (layer,) = units.layers
    assert (layer.statistics.samples, layer.statistics.values) == (8, 72)
    inspection = inspect_model(model, [batch])
    assert (inspection.samples, inspection.layers[0].statistics.samples) == (4, 4)


# --- modules that are an activation as a whole ---------------------------------------------------


class TanhGelu(nn.Module):
    """As transformers' NewGELUActivation."""

    def forward(self, z: Tensor) -> Tensor:
        inner = math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)
        return 0.5 * z * (1 + torch.tanh(inner))


class QuickGelu(nn.Module):
    """As CLIP's."""

    def forward(self, z: Tensor) -> Tensor:
        return z * torch.sigmoid(1.702 * z)


class Clipped(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return F.gelu(z).clamp(-10, 10)


class Swish(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:
        ctx.save_for_backward(z)
        return z * torch.sigmoid(z)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (z,) = ctx.saved_tensors
        s = torch.sigmoid(z)
        return grad * (s + z * s * (1 - s))  # type: ignore[no-any-return]


class ByFunction(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return Swish.apply(z)  # type: ignore[no-any-return,no-untyped-call]


class InPlaceWhole(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return z.mul_(torch.sigmoid(z))


class Gated(nn.Module):
    """Not elementwise: one half times the other."""

    def forward(self, z: Tensor) -> Tensor:
        one, other = z.chunk(2, -1)
        return torch.cat([one * torch.sigmoid(other)] * 2, -1)


class Straight(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return 2 * z + 1


def seen_at(act: nn.Module, value: float) -> tuple[WatchedLayer, ...]:
    """What is seen of an activation whose units are all at about a value."""
    z = value + torch.rand(16, 3) / 9
    with torch.no_grad(), watch(nn.Sequential(act)) as units:
        units.model(z)
    return units.layers


@pytest.mark.parametrize(
    ("act", "name"),
    [
        (TanhGelu(), "gelu:approximate=tanh"),
        (QuickGelu(), "QuickGelu"),
        (Clipped(), "Clipped"),
        (ByFunction(), "silu"),
        (InPlaceWhole(), "silu"),
    ],
)
def test_a_composed_activation_is_judged_as_a_whole(act: nn.Module, name: str) -> None:
    (alive,) = seen_at(act, 6.0)
    assert (alive.name, alive.dead, alive.units) == (f"0 / {name}", 0, 3)
    assert float(alive.statistics.slope.min()) == pytest.approx(1, abs=0.02)
    (dead,) = seen_at(act, -14.0)
    assert dead.counts()["gradient_dead"] == 3


def test_beyond_its_clip_a_composed_activation_is_dead() -> None:
    (layer,) = seen_at(Clipped(), 11.0)
    assert layer.counts()["gradient_dead"] == 3


def test_a_module_that_is_no_activation_as_a_whole_is_judged_by_its_parts() -> None:
    (layer,) = seen_at(Gated(), 1.0)
    assert layer.use == "sigmoid"
    assert seen_at(Straight(), 1.0) == ()
    assert seen_at(nn.Identity(), 1.0) == ()


def test_trying_a_module_leaves_no_trace() -> None:
    class Counts(nn.Module):
        calls = 0

        def forward(self, z: Tensor) -> Tensor:
            self.calls += 1
            return z * torch.sigmoid(z) + 0 * torch.rand(1)

    act = Counts()
    torch.manual_seed(3)
    expected = nn.Sequential(Counts())(torch.ones(2, 2)), torch.rand(1)
    torch.manual_seed(3)
    with watch(model := nn.Sequential(act)):
        found = model(torch.ones(2, 2)), torch.rand(1)
    assert act.calls == 1
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    "write",
    [
        lambda z: torch.maximum(z, torch.zeros(())),
        lambda z: torch.maximum(torch.zeros_like(z), z),
        lambda z: torch.where(z > 0, z, 0.0),
        lambda z: torch.where(z > 0, z, torch.zeros_like(z)),
        lambda z: z * (z > 0),
        lambda z: (z > 0) * z,
        lambda z: z.mul(z > 0),
    ],
)
def test_relu_is_known_however_it_is_written(write: Callable[[Tensor], Tensor]) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            z: Tensor = self.fc(x)
            return write(z)

    model, x = Net(), torch.randn(20, 4)
    with torch.no_grad(), watch(model) as units:
        model(x)
    (layer,) = units.layers
    assert (layer.name, layer.units) == ("(model) / relu", 4)
    expected = (model.fc(x) <= 0).double().mean().item()
    assert layer.statistics.sparsity == pytest.approx(expected)


def test_masks_and_sums_are_no_relu() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            z = self.fc(x)
            kept = torch.arange(4) > 1
            one = torch.where(kept.expand_as(z), z, 0.0)
            return one + z * kept.expand_as(z) + torch.maximum(z, x) + z * 2  # type: ignore[no-any-return]

    with torch.no_grad(), watch(model := Net()) as units:
        model(torch.randn(20, 4))
    assert units.layers == ()
