"""`train` of a user's model: the loop is that of SimpleNet, whatever the model."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from actcompare import SimpleNet, resume, train
from actcompare.errors import ActcompareError, UsageError
from tests.conftest import Run as Command


class Conv(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.out, self.drop = nn.Linear(64, 10), nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        h = F.max_pool2d(F.relu(self.norm(self.conv(x))), 2)
        return self.out(self.drop(h.flatten(1)))  # type: ignore[no-any-return]


def mlp() -> nn.Module:
    return SimpleNet(64, 16, 10)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_model_like_simple_net_learns_what_simple_net_learns(optimizer: str) -> None:
    settings: dict[str, Any] = {"epochs": 2, "threads": 1, "seed": 3, "optimizer": optimizer}
    ours = train("silu", hidden=16, **settings)
    theirs = train("silu", model=mlp, **settings)
    assert theirs.config.replaced == "relu"
    for name, weights in ours.weights.items():
        assert torch.allclose(weights, theirs.weights[name], atol=1e-5)
    assert ours.test.metric == pytest.approx(theirs.test.metric)
    ours_units, their_units = (t.history[-1].layers[0] for t in (ours, theirs))
    assert ours_units.verdicts == their_units.verdicts


def test_a_resumed_run_ends_where_an_uninterrupted_one_ends(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"model": Conv, "input_shape": (1, 8, 8), "threads": 1}
    whole = train("gelu", epochs=3, **settings)
    train("gelu", epochs=2, save=tmp_path / "run", **settings)
    gone_on = resume(tmp_path / "run", epochs=3, model=Conv)
    assert gone_on.test == whole.test
    for name, weights in whole.weights.items():
        assert torch.equal(weights, gone_on.weights[name])


def test_a_saved_run_does_not_decide_which_code_runs(tmp_path: Path) -> None:
    train("gelu", model=mlp, epochs=1, save=tmp_path / "run")
    with pytest.raises(UsageError, match="--model"):
        resume(tmp_path / "run")


def test_images_go_in_as_images() -> None:
    X, y = np.random.default_rng(0).normal(size=(60, 1, 8, 8)), np.arange(60) % 10
    found = train("as-is", (X, y), model=Conv, epochs=1, batch_size=8)
    assert found.config.input_shape == (1, 8, 8)
    assert found.config.replaced == "relu"
    assert [layer.units for layer in found.history[-1].layers] == [4]


def test_a_regression_with_one_output() -> None:
    X = np.random.default_rng(0).normal(size=(80, 3))
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0))
    found = train("relu", (X, X.sum(1)), model=model, epochs=3)
    assert found.metric == "R^2"
    assert isinstance(model[1], nn.Tanh)


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"model": mlp, "replace": "tanh"}, UsageError, "does not call tanh"),
        ({"model": mlp, "depth": 2}, UsageError, "depth applies to SimpleNet"),
        ({"model": mlp, "input_shape": (1, 8, 9)}, UsageError, "has 72 inputs"),
        ({"input_shape": (1, 8, 8)}, UsageError, "input-shape needs a model"),
        ({"model": lambda: SimpleNet(64, 16, 7)}, ActcompareError, r"should return \(\d+, 10\)"),
        ({"model": lambda: 3}, ActcompareError, "not a torch.nn.Module"),
        ({"model": lambda: nn.Sequential(nn.Flatten(), nn.ReLU())}, ActcompareError, "nothing to"),
        ({"model": Conv}, ActcompareError, "the model fails"),
    ],
)
def test_bad_models_are_refused(
    settings: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        train("silu", epochs=1, **settings)


def test_the_command_names_the_model(in_tmp: Path, run: Command) -> None:
    (in_tmp / "mine.py").write_text(
        "from actcompare import SimpleNet\n\n\ndef build():\n    return SimpleNet(64, 16, 10)\n"
    )
    done = run("train", "--model", "mine.py:build", "--act", "silu", "--epochs", "1", "-q")
    assert done.exit_code == 0
    assert "mine.py:build, with silu in place of relu" in done.stdout
