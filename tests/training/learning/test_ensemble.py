"""Many nets as one: each member learns what it learns alone."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from actcompare import CATALOGUE
from actcompare.data.splits import Part, split
from actcompare.training.learning.ensemble import Ensemble
from actcompare.training.learning.nets import make_net
from actcompare.training.run import Run, Training
from actcompare.training.settings import Recipe, make_recipe

CPU = torch.device("cpu")
SEEDS, FACTORS = (0, 5), (1.0, 0.3)


def stacked(parts: list[Part]) -> Part:
    return Part(torch.stack([p.X for p in parts]), torch.stack([p.y for p in parts]))


def batched(recipe: Recipe, device: torch.device = CPU) -> tuple[Ensemble, dict[str, Part]]:
    """An ensemble of two seeds and two learning rates, and its data."""
    lr, dtype = recipe.config.lr, getattr(torch, recipe.config.dtype)
    configs = [replace(recipe.config, seed=s, lr=f * lr) for s in SEEDS for f in FACTORS]
    nets = [make_net(replace(recipe, config=config), dtype, device) for config in configs]
    splits = [
        split(
            recipe.dataset,
            seed,
            dtype,
            device,
            scale=recipe.config.scale,
            centred_targets=recipe.output_activation is None,
        )
        for seed in SEEDS
    ]
    names = ("train", "validation", "test")
    parts = {name: stacked([getattr(each, name) for each in splits]) for name in names}
    return Ensemble(nets, configs), parts


def alone(recipe: Recipe) -> list[Training]:
    runs = []
    for seed in SEEDS:
        for factor in FACTORS:
            config = replace(recipe.config, seed=seed, lr=factor * recipe.config.lr)
            run = Run(replace(recipe, config=config))
            for _ in run.epochs():
                pass
            runs.append(run.report())
    return runs


def check(recipe: Recipe, tolerance: float = 1e-5, device: torch.device = CPU) -> None:
    ensemble, parts = batched(recipe, device)
    for epoch in range(1, recipe.config.epochs + 1):
        losses = ensemble.learn(parts["train"], epoch)
    assert losses.isfinite().all()
    test_losses, metrics, _ = ensemble.score(parts["test"], watch=False)
    _, _, watched = ensemble.score(parts["train"], watch=True)
    for m, run in enumerate(alone(recipe)):
        state = ensemble.state_dict(m)
        assert state.keys() == run.weights.keys()
        for name, weights in run.weights.items():
            assert float((state[name] - weights).abs().max()) <= tolerance, name
        assert metrics[m] == pytest.approx(run.test.metric, abs=tolerance)
        assert test_losses[m] == pytest.approx(run.test.loss, rel=100 * tolerance)
        for layer, units in zip(run.history[-1].layers, watched[m], strict=True):
            for verdict, holds in units.verdicts().items():
                assert tuple(holds.nonzero().flatten().tolist()) == layer.verdicts[verdict]


@pytest.mark.parametrize("spec", [entry.spec for entry in CATALOGUE])
def test_every_activation_learns_as_it_does_alone(spec: str) -> None:
    check(make_recipe(spec, epochs=1))


@pytest.mark.parametrize("spec", ["relu", "softplus", "prelu", "rrelu"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_deeper_nets_and_every_optimizer(spec: str, optimizer: str) -> None:
    check(
        make_recipe(
            spec, epochs=2, depth=3, hidden=16, optimizer=optimizer, weight_decay=0.01,
            batch_size=100,
        ),
        1e-4,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("data", "settings"),
    [
        ("sklearn:diabetes", {}),
        ("sklearn:diabetes", {"output_activation": "softplus"}),
        ("sklearn:diabetes", {"output_activation": "prelu"}),
        ("sklearn:linnerud", {"batch_size": 4}),
        ("random", {"output_size": 3, "init": "xavier"}),
        ("sklearn:wine", {"momentum": 0.0, "init": "kaiming"}),
    ],
)
def test_other_data(data: str, settings: dict[str, Any]) -> None:
    if data == "random":
        recipe = make_recipe("softplus", data, epochs=1, **settings)
        recipe = replace(recipe, config=replace(recipe.config, data="arrays"))
    else:
        recipe = make_recipe("softplus", data, epochs=2, **settings)
    check(recipe)


def test_double_precision() -> None:
    check(make_recipe("softplus", dtype="float64", epochs=2), 1e-12)


def test_a_member_does_not_depend_on_the_others() -> None:
    recipe = make_recipe("softplus", epochs=1)
    ensemble, parts = batched(recipe)
    ensemble.learn(parts["train"], 1)
    config = replace(recipe.config, seed=SEEDS[1])
    net = make_net(replace(recipe, config=config), torch.float32, CPU)
    single = Ensemble([net], [config])
    train = Part(parts["train"].X[1:], parts["train"].y[1:])
    single.learn(train, 1)
    for name, weights in single.state_dict(0).items():
        assert float((weights - ensemble.state_dict(2)[name]).abs().max()) <= 1e-6


def test_what_one_member_breaks_is_its_own() -> None:
    recipe = make_recipe("relu", epochs=1)
    configs = [replace(recipe.config, lr=lr) for lr in (0.1, 1e30)]
    nets = [make_net(replace(recipe, config=config), torch.float32, CPU) for config in configs]
    ensemble = Ensemble(nets, configs)
    train = stacked([split(recipe.dataset, 0, torch.float32, CPU, scale="unit").train])
    losses = ensemble.learn(train, 1)
    assert losses[0].isfinite().all()
    assert not losses[1].isfinite().all()


def test_torch_draws_on_as_if_nothing_had_been() -> None:
    before = torch.random.get_rng_state()
    ensemble, parts = batched(make_recipe("rrelu", epochs=1, hidden=8))
    assert ensemble.random
    ensemble.learn(parts["train"], 1)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.cuda
@pytest.mark.parametrize("spec", ["relu", "softplus", "prelu", "rrelu"])
def test_graphs_on_a_gpu_learn_the_same(spec: str) -> None:
    device = torch.device("cuda")
    recipe = make_recipe(spec, epochs=3, optimizer="adam", device="cuda")
    ensemble, parts = batched(recipe, device)
    for epoch in range(1, 4):
        ensemble.learn(parts["train"], epoch)
    for m, run in enumerate(alone(recipe)):
        for name, weights in run.weights.items():
            assert float((ensemble.state_dict(m)[name] - weights).abs().max()) <= 1e-3
