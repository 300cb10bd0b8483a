"""A model is judged on all samples, and is left as it was."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import actcompare
from actcompare import ActcompareError, UsageError, inspect_model
from actcompare.inspection import inspect as module
from actcompare.inspection.inspect import threads_for_model
from actcompare.machine import processors
from actcompare.units.statistics import VERDICTS
from tests.models.watching.test_watch import Raising, alike, state_of
from tests.models.zoo import ZOO, make


@pytest.mark.parametrize("name", ZOO)
def test_verdicts_do_not_depend_on_the_batch_size(name: str) -> None:
    model, samples = make(name)
    x = samples(100)
    seen = [inspect_model(model, x, batch_size=size) for size in (1, 7, 64, 100)]
    for inspection in seen:
        assert inspection.samples == 100
        for verdict in (*VERDICTS, "units", "samples"):
            assert inspection.columns()[verdict] == seen[0].columns()[verdict]


@pytest.mark.parametrize("name", ZOO)
def test_nothing_of_the_model_or_the_samples_changes(name: str) -> None:
    model, samples = make(name)
    model.train()
    next(iter(model.children())).eval()
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    x = samples(16)
    before, kept = state_of(model), x.clone()
    states = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]
    inspect_model(model, [x], swap={"relu": "softplus"}, dtype="float64")
    inspect_model(model, ((x, np.zeros(3)) for _ in range(2)))
    assert alike(state_of(model), before)
    assert torch.equal(x, kept)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states  # type: ignore[index]


def test_it_is_put_back_where_the_model_or_the_data_raise() -> None:
    model, x = Raising().train(), torch.randn(4, 3)
    before = state_of(model)
    with pytest.raises(ActcompareError, match=r"fails on a batch of \(4, 3\): RuntimeError") as it:
        inspect_model(model, [x])
    assert alike(state_of(model), before)
    assert "half-way" in it.value.traceback  # type: ignore[attr-defined]
    assert str(Path(actcompare.__file__).parent) not in it.value.traceback  # type: ignore[attr-defined]

    def failing() -> Iterator[Tensor]:
        torch.manual_seed(3)
        yield x
        raise OSError("gone")

    model.fails = False
    before = state_of(model)
    with pytest.raises(OSError, match="gone"):
        inspect_model(model, failing())
    assert alike(state_of(model), before)


def test_buffers_and_modes_are_those_of_before() -> None:
    class Counting(nn.Module):
        calls: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(1))
            self.register_buffer("seen", torch.zeros(1))
            self.drop, self.bn = nn.Dropout(), nn.BatchNorm1d(3)

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            self.seen = self.calls * 2
            torch.manual_seed(5)
            random.seed(5)
            return torch.relu(self.bn(self.drop(x)))

    model, x = Counting(), torch.randn(40, 3)
    buffers, before = dict(model.named_buffers()), state_of(model)
    inspect_model(model, x, batch_size=8)
    assert alike(state_of(model), before)
    assert all(buffer is buffers[name] for name, buffer in model.named_buffers())


def test_dropout_and_batch_norm_are_off() -> None:
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.9), nn.ReLU()).train()
    x = torch.ones(50, 3)
    seen = inspect_model(model, x).layers[0].statistics
    assert seen.nonzero.tolist() == [50, 50, 50]
    assert bool(torch.allclose(seen.mean, torch.ones(3).double(), atol=1e-4))


def test_threads_are_chosen_by_the_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processors, "free_threads", lambda: 8)
    monkeypatch.setattr(module, "free_threads", lambda: 8)
    small = nn.Sequential(nn.Linear(64, 256), nn.LayerNorm(256), nn.ReLU())
    assert threads_for_model(small, 64) == 1
    assert threads_for_model(nn.ReLU(), 64) == 1
    assert threads_for_model(small, 1024) == 5
    for at_many_positions in (nn.Conv2d(1, 1, 2), nn.GRU(2, 2), nn.Embedding(2, 2)):
        assert threads_for_model(nn.Sequential(small, at_many_positions), 1) == 8


def net() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 6), nn.Tanh())


@pytest.mark.parametrize(
    "batches",
    [
        torch.randn(30, 4),
        np.random.default_rng(0).normal(size=(30, 4)),
        [torch.randn(15, 4), torch.randn(15, 4)],
        [(torch.randn(30, 4), torch.zeros(30))],
        [[torch.randn(30, 4).double()]],
        [{"input": torch.randn(30, 4)}],
        torch.utils.data.DataLoader(
            torch.utils.data.TensorDataset(torch.randn(30, 4), torch.zeros(30)), batch_size=8
        ),
    ],
)
def test_batches_of_every_make(batches: Any) -> None:
    inspection = inspect_model(net(), batches)
    assert inspection.samples == 30
    assert inspection.frame()["samples"].tolist() == [30, 30]


def test_samples_stop_it_in_the_middle_of_a_batch() -> None:
    inspection = inspect_model(net(), [torch.randn(20, 4)] * 3, samples=25)
    assert inspection.samples == 25
    assert inspection.layers[0].statistics.values == 25


def test_what_if() -> None:
    inspection = inspect_model(net(), torch.randn(30, 4), swap={"relu": "softplus"})
    frame = inspection.frame()
    assert frame["run"].tolist() == ["as it is"] * 2 + ["swapped"] * 2
    assert frame["activation"].tolist() == ["relu", "tanh", "softplus", "tanh"]
    assert frame["layer"].tolist()[::2] == ["1 / relu", "1 / softplus"]
    assert frame["mean"][2] > frame["mean"][0]
    assert inspection.config.swap == {"relu": "softplus"}
    assert inspection.what_if is not None
    assert [(swap.where, swap.old, swap.new) for swap in inspection.what_if.swaps] == [
        ("1", "relu", "softplus")
    ]


def test_what_if_of_calls_lists_them() -> None:
    model, samples = make("functions")
    inspection = inspect_model(model, samples(9), swap={"relu": "softplus", "clamp": "silu"})
    assert inspection.what_if is not None
    assert [swap.where for swap in inspection.what_if.swaps] == [
        "(model) / relu", "(model) / relu #2", "(model) / relu #3", "(model) / clamp:min=0"
    ]  # fmt: skip
    assert all(not swap.why_not for swap in inspection.what_if.swaps)


def test_the_dead_are_named_unit_by_unit() -> None:
    model = net()
    with torch.no_grad():
        first = model[0]
        assert isinstance(first, nn.Linear)
        first.bias[2] = -100
    inspection = inspect_model(model, torch.randn(30, 4))
    units = inspection.units()
    assert units[units["zero_dead"] == 1][["layer", "unit"]].to_numpy().tolist() == [
        ["1 / relu", 2]
    ]
    assert inspection.total()["zero_dead"] == 1
    assert inspection.total()["zero_dead_share"] == pytest.approx(1 / 12)


@pytest.mark.parametrize(
    ("batches", "options", "message"),
    [
        ([], {}, "holds no sample"),
        ([torch.zeros(0, 4)], {}, "holds no sample"),
        (torch.tensor(1.0), {}, "single number"),
        ([torch.full((2, 4), float("nan"))], {}, r"sample 0 \(counted from 0\) holds NaN"),
        (torch.tensor([[0.0] * 4] * 70 + [[float("nan")] * 4]), {}, "sample 70"),
        ([torch.zeros(2, 5)], {}, r"fails on a batch of \(2, 5\)"),
        ([torch.zeros(2, 4)], {"samples": 0}, "at least 1"),
        ([torch.zeros(2, 4)], {"batch_size": 0}, "at least 1"),
        ([torch.zeros(2, 4)], {"eps": -1}, "eps must be"),
        ([torch.zeros(2, 4)], {"device": "tpu"}, "device"),
        ([torch.zeros(2, 4)], {"dtype": "int8"}, "dtype"),
        ([torch.zeros(2, 4)], {"swap": {"rleu": "softplus"}}, "did you mean relu"),
        ([torch.zeros(2, 4)], {"swap": {"relu": "softpuls"}}, "did you mean softplus"),
        ([torch.zeros(2, 4)], {"own": ["nowhere:f"]}, "no module named"),
        ([{"x": torch.zeros(2, 4)}], {"input_key": ["y"]}, "batches have no 'y'"),
        (["text"], {}, "of type str"),
    ],
)
def test_misuse_is_told(batches: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ActcompareError, match=message):
        inspect_model(net(), batches, **options)


def test_a_model_without_activations_is_told() -> None:
    with pytest.raises(ActcompareError, match="calls no activation that can be watched"):
        inspect_model(nn.Linear(4, 4), torch.zeros(2, 4))
    with pytest.raises(ActcompareError, match="gates of gru"):
        inspect_model(nn.GRU(4, 4), torch.zeros(2, 4))
    with pytest.raises(ActcompareError, match="call it on a batch"):
        inspect_model(nn.Sequential(nn.LazyLinear(3), nn.ReLU()), torch.zeros(2, 4))
    with pytest.raises(ActcompareError, match="meta device"):
        inspect_model(nn.Sequential(nn.Linear(4, 3), nn.ReLU()).to("meta"), torch.zeros(2, 4))


def endless(*shape: int) -> Iterator[Tensor]:
    while True:
        yield torch.randn(*shape)


def test_endless_data_end_with_the_samples_or_with_nothing_in_them() -> None:
    assert inspect_model(net(), endless(3, 4), samples=7).samples == 7
    with pytest.raises(ActcompareError, match="batch after batch without a sample"):
        inspect_model(net(), endless(0, 4), samples=7)


def test_settings_that_the_data_change_are_put_back() -> None:
    def batches() -> Iterator[Tensor]:
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        yield torch.ones(2, 4)

    inspect_model(net(), batches())
    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() is torch.float32


class Stubborn(nn.Module):
    """Cannot be put into `eval()` mode by its own methods, and holds itself."""

    def __init__(self) -> None:
        super().__init__()
        self.drop, self.act = nn.Dropout(0.9), nn.ReLU()
        self.me = self

    def train(self, _: bool = True) -> Any:
        raise RuntimeError("no")

    eval = train

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.drop(x))  # type: ignore[no-any-return]


def test_a_model_without_working_modes_runs_without_dropout() -> None:
    model = Stubborn()
    seen = inspect_model(model, torch.ones(50, 3)).layers[0].statistics
    assert seen.nonzero.tolist() == [50, 50, 50]
    assert all(module.training for module in (model, model.drop, model.act))


class Masked(nn.Module):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return torch.relu(x if mask is None else x * mask)


def test_it_is_asked_where_it_is_open_what_goes_in() -> None:
    batches = [(torch.ones(2, 4), torch.zeros(2, 4))]
    with pytest.raises(UsageError, match="--input-index"):
        inspect_model(Masked(), batches)
    whole = inspect_model(Masked(), batches, input_index=[0, 1])
    assert whole.columns()["zero_dead"] == [4]
    assert inspect_model(Masked(), batches, input_index=[0]).columns()["zero_dead"] == [0]
    named = [{"x": torch.ones(2, 4), "mask": torch.zeros(2, 4), "y": torch.zeros(2)}]
    assert inspect_model(Masked(), named, input_key=["x", "mask"]).total()["zero_dead"] == 4
    assert inspect_model(Masked(), named, input_key=["x"]).total()["zero_dead"] == 0


@pytest.mark.cuda
def test_on_a_gpu_verdicts_are_those_of_the_cpu() -> None:
    for name in ZOO:
        model, samples = make(name)
        x = samples(64)
        here, there = inspect_model(model, x), inspect_model(model, x, device="cuda")
        for verdict in VERDICTS:
            assert here.columns()[verdict] == there.columns()[verdict]
        assert next(model.parameters()).device.type == "cpu"


class Keeps(nn.Module):
    """Keeps its activation as an attribute that is no module."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.act = nn.Linear(4, 4), nn.functional.relu

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.fc(x))


def test_a_function_kept_as_an_attribute_is_one_swap() -> None:
    what_if = inspect_model(Keeps(), torch.randn(9, 4), swap={"relu": "softplus"}).what_if
    assert what_if is not None
    assert [(swap.where, swap.why_not) for swap in what_if.swaps] == [("act", "")]
