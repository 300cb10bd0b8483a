"""Initial nets."""

from pathlib import Path
from typing import Any

import pytest
import torch

from actcompare import resume, study, train
from actcompare.activations.gaussian import Curve
from actcompare.data.splits import split
from actcompare.errors import ActcompareError
from actcompare.models.critical import critical_point
from actcompare.training.learning.nets import make_net
from actcompare.training.settings import make_recipe


def test_critical_nets_keep_the_variance_and_differ_by_scale_alone() -> None:
    device, dtype = torch.device("cpu"), torch.float64
    found = {}
    for activation in ("relu", "softplus"):
        recipe = make_recipe(activation, init="critical", depth=12, hidden=256, seed=3)
        net = make_net(recipe, dtype, device)
        found[activation] = net.output_layer().weight
        X = split(recipe.dataset, 3, dtype, device, scale=recipe.config.scale).train.X
        for _, layer, act in net.hidden_layers():
            z = layer(X)
            q0 = critical_point(Curve.of(recipe.activation)).q0
            assert z.square().mean().item() == pytest.approx(q0, rel=0.35)
            X = act(z)
    ratio = found["softplus"] / found["relu"]
    assert ratio.std().item() < 1e-5 * ratio.mean().item()


def test_what_has_no_critical_initialisation_is_refused() -> None:
    with pytest.raises(ActcompareError, match="hardshrink jumps"):
        make_net(make_recipe("hardshrink", init="critical"), torch.float32, torch.device("cpu"))


def test_critical_runs_resume_and_are_cells_of_studies(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"init": "critical", "depth": 3, "hidden": 16, "batch_size": 128}
    whole = train("softplus", epochs=2, lr=0.01, **settings)
    train("softplus", epochs=1, lr=0.01, save=tmp_path / "run", **settings)
    resumed = resume(tmp_path / "run", epochs=2)
    assert resumed.history[-1].validation == whole.history[-1].validation
    (cell,) = study("softplus", seeds=1, epochs=2, lr=0.01, **settings).results
    assert cell.test.metric == pytest.approx(whole.test.metric, abs=0.01)
