"""`bench` of a user's model: what is copied, what is measured, what is refused."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from actcompare import bench_model
from actcompare.activations.spec import parse
from actcompare.benchmark.nets.copies import make_copies
from actcompare.errors import ActcompareError, UsageError
from actcompare.models.detours import Method
from tests.conftest import Run

QUICK: dict[str, Any] = {"time_limit": 0.05, "threads": 1}


class Calls(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(8, 16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(F.relu(self.a(x)))  # type: ignore[no-any-return]


def modules() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))


def detours(model: nn.Module) -> int:
    return sum(isinstance(v, Method) for m in model.modules() for v in vars(m).values())


@pytest.mark.parametrize("make", [Calls, modules])
def test_copies_share_weights_and_differ_in_the_activation(make: Callable[[], nn.Module]) -> None:
    model, x = make(), torch.randn(5, 8)
    same, silu = make_copies(model, "relu", [None, parse("silu").loaded()], lambda m: m(x))
    assert isinstance(same, nn.Module)
    assert isinstance(silu, nn.Module)
    assert torch.equal(same(x), model(x))
    a, *_, b = model.children()
    assert torch.equal(silu(x), b(F.silu(a(x))))
    for twin in (same, silu):
        assert all(p is q for p, q in zip(twin.parameters(), model.parameters(), strict=True))
    # A detour costs time: both copies have it, or neither.
    assert detours(same) == detours(silu) == (1 if make is Calls else 0)


@pytest.mark.parametrize("passes", ["forward", "backward", "both", "step"])
def test_every_pass_is_measured_and_the_model_left_alone(passes: str) -> None:
    model = modules().train()
    before = {name: t.clone() for name, t in model.state_dict().items()}
    found = bench_model(model, torch.randn(5, 8), ["relu", "gelu", "as-is"], passes=passes, **QUICK)
    assert not found.failures()
    assert [row["activation"] for row in found.table.records] == ["relu", "gelu", "as-is"]
    for row in found.table.records:
        assert row["samples_per_s"] == pytest.approx(5 / row["median_s"])
        assert (row["saved_bytes"] is None) == (passes == "forward")
    assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert model.training


def test_relu_keeps_what_the_next_layer_keeps_and_gelu_its_input_too() -> None:
    relu, gelu = bench_model(
        modules(), torch.randn(5, 8), ["relu", "gelu"], passes="step", **QUICK
    ).table.records
    assert gelu["saved_bytes"] - relu["saved_bytes"] == 4 * 5 * 16
    assert relu["saved_bytes"] == 4 * 5 * (8 + 16)


def test_as_is_is_what_the_model_calls_most_often() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.ReLU(), nn.Tanh())
    found = bench_model(model, torch.randn(5, 8), ["as-is", "relu"], passes="forward", **QUICK)
    assert (found.config.swapped, found.config.calls) == ("tanh", 2)


def test_an_activation_that_the_model_lacks_is_refused_with_those_that_it_has() -> None:
    with pytest.raises(UsageError, match=r"does not call tanh.*relu \(1 calls\)"):
        bench_model(modules(), torch.randn(5, 8), ["tanh", "silu"], **QUICK)


def test_one_that_fails_leaves_the_others_measured() -> None:
    def broken(z: Tensor) -> Tensor:
        raise RuntimeError(f"no {z.dim()}")

    found = bench_model(
        modules(), torch.randn(5, 8), ["relu", broken, "silu"], passes="forward", **QUICK
    )
    assert [row["verdict"] == "failed" for row in found.table.records] == [False, True, False]
    assert "no" in found.failures()[0]


def test_a_model_that_cannot_be_copied_is_refused() -> None:
    model = modules()
    vars(model)["held"] = (each for each in "")
    with pytest.raises(ActcompareError, match="cannot be copied"):
        bench_model(model, torch.randn(5, 8), ["relu", "silu"], **QUICK)


def test_half_precision_is_autocast() -> None:
    seen: list[torch.dtype] = []

    class Seeing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x.dtype)
            return F.relu(x)

    model = nn.Sequential(nn.Linear(8, 16), Seeing(), nn.Linear(16, 4))
    bench_model(
        model, torch.randn(5, 8), ["relu", "silu"], passes="step", dtype="bfloat16", **QUICK
    )
    assert torch.bfloat16 in seen
    assert model[0].weight.dtype == torch.float32


MINE = """
from torch import nn

def build():
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
"""

COMMAND = ("bench", "--model", "mine.py:build", "--random", "8", "--act", "relu", "--act", "silu")


@pytest.fixture
def mine(in_tmp: Path) -> Path:
    path = in_tmp / "mine.py"
    path.write_text(MINE, encoding="utf-8")
    return path


@pytest.mark.usefixtures("mine")
def test_the_command_measures_saves_and_compares(run: Run) -> None:
    quick = ("--time-limit", "0.05", "--threads", "1", "-q")
    done = run(*COMMAND, *quick, "--save", "run.json", "--format", "csv")
    assert done.exit_code == 0
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [(row["pass"], row["activation"]) for row in rows] == [
        *(("forward", "relu"), ("forward", "silu"), ("step", "relu"), ("step", "silu"))
    ]
    shown = run("bench", "--load", "run.json")
    assert "mine.py:build" in shown.stdout
    assert "of relu" in shown.stdout
    assert run(*COMMAND, *quick, "--compare", "run.json").exit_code == 0
    tripped = run("bench", "--load", "run.json", "--fail-on", "samples_per_s>0", "-q")
    assert tripped.exit_code == 3


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--size", "64"), "omit it with --model"),
        (("--cache", "cold"), "omit it with --model"),
        (("--batch-size", "0"), "batch size"),
        (("--random-tokens", "2x3"), "exclude each other"),
        (("--act", "nonsense"), "nonsense"),
    ],
)
def test_what_a_model_does_not_have_is_refused(run: Run, more: tuple[str, ...], said: str) -> None:
    done = run(*COMMAND, *more)
    assert done.exit_code == 2
    assert said in done.stderr


def test_options_of_models_need_a_model(run: Run) -> None:
    done = run("bench", "--batch-size", "4")
    assert done.exit_code == 2
    assert "--batch-size needs --model" in done.stderr
