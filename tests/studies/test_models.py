"""`study` of a user's model: every activation starts from the same weights."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from actcompare import SimpleNet, study
from actcompare.errors import ActcompareError
from actcompare.studies.plan import make_plan
from actcompare.training.run import Run

SETTINGS: dict[str, Any] = {"epochs": 1, "lr": 0.1}


def mlp() -> nn.Module:
    return SimpleNet(64, 16, 10)


def wide() -> nn.Module:
    return SimpleNet(64, 24, 10)


def test_seeds_pair_the_first_weights() -> None:
    plan = make_plan(["relu", "silu"], model=mlp, seeds=2, **SETTINGS)
    starts = {(c.activation, c.seed): Run(plan.recipe(c)).net for c in plan.config.cells()}
    for seed in (0, 1):
        one, other = (starts[act, seed].state_dict() for act in ("relu", "silu"))
        assert all(torch.equal(one[name], other[name]) for name in one)
    first, second = (starts["relu", seed].state_dict() for seed in (0, 1))
    assert not torch.equal(first["hidden1.weight"], second["hidden1.weight"])


def test_a_model_is_compared_like_simple_net(tmp_path: Path) -> None:
    ours = study(["relu", "silu"], seeds=3, hidden=16, workers=1, **SETTINGS)
    theirs = study(
        ["relu", "silu"], seeds=3, model=mlp, workers=1, store=tmp_path / "s.db", **SETTINGS
    )
    for one, other in zip(ours.rows(), theirs.rows(), strict=True):
        assert one["mean"] == pytest.approx(other["mean"], abs=0.01)
        assert "depth" not in other
    assert "together, as one batched net" in theirs.reading()
    assert "depth" not in theirs.config.as_dict()
    with pytest.raises(ActcompareError, match="another file"):
        study(["relu", "silu"], seeds=3, model=wide, store=tmp_path / "s.db", **SETTINGS)


def test_as_is_is_a_baseline() -> None:
    found = study(["as-is", "silu"], seeds=2, model=mlp, workers=1, **SETTINGS)
    assert [row["activation"] for row in found.rows()] == ["as-is", "silu"]
