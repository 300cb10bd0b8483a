"""A user's own model: made, and given weights that fit."""

import argparse
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from actcompare.errors import ActcompareError, UsersError
from actcompare.models.load import load_model, load_weights

pytestmark = pytest.mark.usefixtures("in_tmp")
CODE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width=3):
        super().__init__()
        self.fc = nn.Linear(2, width)

class Wide(nn.Module):
    def __init__(self, width):
        super().__init__()

ready = Net()
number = 3
nested = type("Holder", (), {"net": ready})

def build():
    return Net()

def wrong():
    return [Net()]

def failing():
    return torch.zeros(2) @ torch.zeros(3)

def leaving():
    raise SystemExit(4)
"""


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


@pytest.mark.parametrize("attr", ["Net", "ready", "build", "nested.net"])
def test_a_module_or_what_gives_one(attr: str) -> None:
    Path("net.py").write_text(CODE, encoding="utf-8")
    assert type(load_model(f"net.py:{attr}")).__name__ == "Net"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("net.py:missing", "has no 'missing'"),
        ("net.py:biuld", "did you mean build"),
        ("net.py:number", "of type int: name a torch.nn.Module"),
        ("net.py:wrong", r"wrong\(\) returns list, not a torch.nn.Module"),
        ("net.py:failing", r"failing\(\) fails: RuntimeError"),
        ("net.py:leaving", r"leaving\(\) fails: SystemExit: 4"),
        ("net.py:Wide", "missing 1 required positional argument: 'width'"),
        ("nothing.py:build", "does not exist"),
        ("nowhere.models:build", "no module named 'nowhere'"),
        ("net.py", "module:Name"),
        ("broken.py:build", "broken.py:build cannot be imported: ZeroDivisionError"),
    ],
)
def test_what_is_none_is_told(target: str, message: str) -> None:
    Path("net.py").write_text(CODE, encoding="utf-8")
    Path("broken.py").write_text("1 / 0\n", encoding="utf-8")
    with pytest.raises(ActcompareError, match=message):
        load_model(target)


def test_the_users_own_traceback_is_kept_and_ours_is_not() -> None:
    Path("net.py").write_text(CODE, encoding="utf-8")
    Path("broken.py").write_text("def f():\n    return 1 / 0\nf()\n", encoding="utf-8")
    with pytest.raises(UsersError) as failing:
        load_model("net.py:failing")
    with pytest.raises(UsersError) as broken:
        load_model("broken.py:build")
    for error, line in ((failing, "torch.zeros(2) @ torch.zeros(3)"), (broken, "return 1 / 0")):
        assert line in error.value.traceback
        assert "actcompare/" not in error.value.traceback
        assert "importlib" not in error.value.traceback


@pytest.mark.parametrize("within", ["", "state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod."])
def test_weights_that_fit(within: str, prefix: str) -> None:
    state = {prefix + name: tensor for name, tensor in net().state_dict().items()}
    torch.save({within: state, "epoch": 3} if within else state, "weights.pt")
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    said = load_weights(model, Path("weights.pt"))
    assert said.startswith("weights.pt: all 7 tensors")
    assert (within in said) and (prefix in said)
    for name, tensor in net().state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor)


def test_weights_that_do_not_fit_are_named() -> None:
    state = net().state_dict()
    state["0.weight"] = torch.zeros(4, 2)
    state["2.weight"] = state.pop("1.bias")
    torch.save(state, "weights.pt")
    model = net()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    message = (
        r"weights.pt does not fit the model: it lacks 1\.bias; it also has 2\.weight; it has"
        r" other shapes: 0\.weight \(4, 2\) for \(3, 2\)"
    )
    with pytest.raises(ActcompareError, match=message):
        load_weights(model, Path("weights.pt"))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_weights_of_safetensors() -> None:
    save_file(net().state_dict(), "weights.safetensors")
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    assert load_weights(model, Path("weights.safetensors")).startswith("weights.safetensors: all 7")
    for name, tensor in net().state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor)


def test_what_is_no_checkpoint_is_told() -> None:
    torch.save([torch.zeros(2)], "list.pt")
    with pytest.raises(ActcompareError, match=r"list\.pt holds no named weights"):
        load_weights(net(), Path("list.pt"))


class Language(nn.Module):
    """Ties its output layer to the embedding, as language models do."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.fc = nn.Embedding(7, 4), nn.Linear(4, 4)
        self.lm_head = nn.Linear(4, 7, bias=False)
        self.lm_head.weight = self.embed.weight


def test_tied_weights_are_held_once(tmp_path: Path) -> None:
    first, second = Language(), Language()
    state = {name: each for name, each in first.state_dict().items() if name != "lm_head.weight"}
    torch.save(state, tmp_path / "w.pt")
    assert "all 3 tensors fit" in load_weights(second, tmp_path / "w.pt")
    assert torch.equal(second.lm_head.weight, first.embed.weight)
    del state["embed.weight"]
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(ActcompareError, match=r"it lacks embed.weight, lm_head.weight"):
        load_weights(second, tmp_path / "w.pt")


def test_arguments_of_a_script_beside_the_weights_do_no_harm(tmp_path: Path) -> None:
    model = nn.Linear(3, 2)
    saved = {"model": model.state_dict(), "args": argparse.Namespace(lr=0.1), "epoch": 3}
    torch.save(saved, tmp_path / "w.pt")
    assert "under 'model' fit" in load_weights(nn.Linear(3, 2), tmp_path / "w.pt")
