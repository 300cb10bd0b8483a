"""Whole runs: what decides about them, what does not, and how they go on after a break."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from actcompare import CATALOGUE, UsageError, resume, train
from actcompare.errors import ActcompareError
from actcompare.machine import processors
from actcompare.models.simple_net import SimpleNet
from actcompare.training.checkpoints import Folder
from actcompare.training.records import Epoch
from actcompare.training.run import Run, Training
from actcompare.training.settings import make_recipe
from actcompare.training.train import restore

ALL = [entry.spec for entry in CATALOGUE]
SHORT: dict[str, Any] = {"epochs": 3, "hidden": 16}


def same_weights(one: Training, two: Training) -> bool:
    return all(torch.equal(tensor, two.weights[name]) for name, tensor in one.weights.items())


def seen(history: tuple[Epoch, ...]) -> list[object]:
    """All of a history but the seconds."""
    return [(e.epoch, e.train, e.validation, e.layers) for e in history]


@pytest.mark.parametrize("spec", ALL)
def test_every_activation_learns(spec: str) -> None:
    run = train(spec, **SHORT)
    assert run.diverged is None
    assert [epoch.epoch for epoch in run.history] == [0, 1, 2, 3]
    assert run.history[-1].train.loss < run.history[0].train.loss
    (row,) = run.frame().to_dict("records")
    assert (row["units"], row["samples"], row["layer"]) == (16, 1259, "hidden1")


@pytest.mark.parametrize("spec", ["relu", "softplus"])
def test_the_defaults_get_there(spec: str) -> None:
    assert train(spec).test.metric >= 0.95


def test_a_run_loads_nothing_that_takes_a_second() -> None:
    code = (
        "import sys, actcompare; actcompare.train(epochs=1);"
        "print({'pandas', 'sympy', 'torch._dynamo', 'sklearn'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize("seed", range(3))
def test_collapse_at_a_learning_rate_of_2(seed: int) -> None:
    """A count of zeros calls the collapsed softplus net healthy."""
    relu, softplus = (train(act, lr=2, epochs=5, seed=seed) for act in ("relu", "softplus"))
    for run in (relu, softplus):
        assert run.test.metric < 0.2
        assert run.columns()["gradient_dead"] == [64]
    assert relu.columns()["zero_dead"] == [64]
    assert softplus.columns()["zero_dead"] == [0]
    assert "Counting zeros misses 64 units" in softplus.reading()


@pytest.mark.parametrize("spec", ["relu", "softplus", "rrelu", "prelu"])
@pytest.mark.parametrize("depth", [1, 3])
def test_watching_changes_no_bit(spec: str, depth: int) -> None:
    runs = [train(spec, depth=depth, track_on=on, **SHORT) for on in ("train", "validation", None)]
    assert all(same_weights(runs[0], run) for run in runs[1:])
    assert {run.test for run in runs} == {runs[0].test}
    assert runs[1].columns()["samples"] == [269] * depth
    assert runs[2].columns() == {}


def test_the_seed_decides_and_nothing_else() -> None:
    before = torch.random.get_rng_state()
    one = train(**SHORT)
    torch.manual_seed(99)
    torch.rand(7)
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    again, other = train(**SHORT), train(seed=1, **SHORT)
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.get_num_threads() == threads
    assert same_weights(one, again)
    assert seen(one.history) == seen(again.history)
    assert not same_weights(one, other)
    torch.random.set_rng_state(before)


def test_every_activation_starts_from_the_same_weights() -> None:
    starts = []
    for spec in ("relu", "softplus", "prelu", "tanh"):
        net = Run(make_recipe(spec, depth=2)).net
        assert isinstance(net, SimpleNet)
        starts.append([linear.weight for _, linear, _ in net.hidden_layers()])
    for other in starts[1:]:
        assert all(torch.equal(a, b) for a, b in zip(starts[0], other, strict=True))
    kaiming = Run(make_recipe("relu", depth=2, init="kaiming")).net
    assert isinstance(kaiming, SimpleNet)
    ((_, first, _), *_) = kaiming.hidden_layers()
    assert not torch.equal(first.weight, starts[0][0])


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
def test_other_formats(dtype: str) -> None:
    run = train("softplus", dtype=dtype, **SHORT)
    assert run.weights["hidden1.weight"].dtype == getattr(torch, dtype)
    assert run.test.metric > 0.5


@pytest.mark.parametrize("data", ["sklearn:diabetes", "random"])
def test_regression(data: str) -> None:
    run = train("softplus", data, epochs=20)
    assert run.metric == "R^2"
    assert run.test.metric > 0.2
    assert run.metrics()["test_metric"] == run.test.metric
    assert "of the variance" in run.reading()


def test_a_positive_output() -> None:
    run = train("relu", "sklearn:diabetes", output_activation="softplus", epochs=20)
    assert run.test.metric > 0
    X = torch.randn(50, 10)
    assert bool((run.net(X) > 0).all())


def test_negative_predictions_of_a_count_are_counted() -> None:
    settings: dict[str, Any] = {"epochs": 2, "batch_size": 128, "track_on": None, "show": 10**6}
    plain = train("relu", "randhie", **settings)
    share = float(np.mean([each.output[0] < 0 for each in plain.examples]))
    assert share > 0
    assert plain.metrics()["negative_share"] == pytest.approx(share)
    assert "No target is negative, but" in plain.reading()
    positive = train("relu", "randhie", output_activation="softplus", **settings)
    assert positive.metrics()["negative_share"] == 0
    assert "No prediction for the test set is negative" in positive.reading()
    assert train("relu", epochs=0).negative_share is None  # classes
    assert train("relu", "random", epochs=0).negative_share is None  # some targets are negative


def test_arrays() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3))
    run = train("tanh", (X, (X[:, 0] > 0).astype(int)), epochs=10)
    assert run.test.metric > 0.9
    assert run.config.data == "arrays"


def test_divergence_is_a_result() -> None:
    run = train("relu", lr=2, epochs=20, scale="standard")
    assert run.diverged is not None
    assert run.diverged.epoch == run.history[-1].epoch + 1
    assert not np.isfinite(run.diverged.loss)
    assert all(bool(tensor.isfinite().all()) for tensor in run.weights.values())
    assert run.metrics()["diverged"] == 1
    assert run.reading().startswith("Diverged in epoch ")


def test_births_and_deaths_add_up() -> None:
    run = train("relu", lr=0.5, epochs=6, seed=1)
    dead = set(run.history[0].layers[0].dead)
    for row, epoch in zip(run.history_rows(), run.history, strict=True):
        (layer,) = row["layers"]
        dead = (dead | set(layer["died"])) - set(layer["revived"])
        assert dead == epoch.layers[0].dead
    course = run.course()
    first, last = len(run.history[0].layers[0].dead), len(run.history[-1].layers[0].dead)
    assert first + sum(course["died"]) - sum(course["revived"]) == last


def test_gradient_norms_stand_at_both_ends() -> None:
    run = train(**SHORT)
    norms = [epoch.layers[0].gradient_norm for epoch in run.history]
    assert norms[0] is not None
    assert norms[-1] is not None
    assert norms[1:-1] == [None, None]


def test_time_is_that_of_the_clock() -> None:
    ticks = iter(float(i) for i in range(1000))
    run = Run(make_recipe(**SHORT), clock=lambda: next(ticks))
    list(run.epochs())
    report = run.report()
    assert [epoch.seconds for epoch in report.history] == [0, 1, 1, 1]
    assert report.metrics()["samples_per_s"] == 1259


def test_waits_for_a_core_are_recorded_and_come_back(tmp_path: Path) -> None:
    ticks, waits = (iter(float(i) for i in range(1000)) for _ in range(2))
    run = Run(make_recipe(**SHORT), lambda: next(ticks), lambda: 0.25 * next(waits))
    list(run.epochs())
    assert [epoch.waited_s for epoch in run.report().history] == [None, 0.25, 0.25, 0.25]
    assert run.report().waited_share == 0.25
    with Folder.create(tmp_path / "run") as folder:
        folder.save(run.checkpoint())
        assert folder.load().history == tuple(run.history)


def test_threads_are_chosen_by_the_size_of_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processors, "free_threads", lambda: 8)
    assert make_recipe().config.threads == 1
    assert make_recipe(threads=3).config.threads == 3
    assert make_recipe(depth=2, hidden=1024, batch_size=64).config.threads == 8
    assert make_recipe(hidden=1024, batch_size=256).config.threads == 5


# --- going on ------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("spec", ["softplus", "rrelu", "prelu"])
def test_a_broken_run_ends_with_the_bits_of_an_unbroken_one(
    tmp_path: Path, spec: str, optimizer: str
) -> None:
    settings: dict[str, Any] = {"epochs": 4, "hidden": 16, "optimizer": optimizer}
    whole = train(spec, **settings)
    for stop in range(4):
        folder = tmp_path / str(stop)
        assert train(spec, save=folder, **settings | {"epochs": stop}).history[-1].epoch == stop
        torch.manual_seed(stop)
        again = resume(folder, epochs=4)
        assert same_weights(whole, again)
        assert seen(again.history) == seen(whole.history)
        assert again.test == whole.test
        assert again.config == whole.config


def test_a_finished_run_is_shown_again(tmp_path: Path) -> None:
    done = train("gelu", save=tmp_path / "run", **SHORT)
    again = resume(tmp_path / "run")
    assert again.history == done.history
    assert again.columns() == done.columns()
    assert again.reading() == done.reading()
    assert again.metrics() == done.metrics()


def test_a_diverged_run_stays_so(tmp_path: Path) -> None:
    done = train("relu", lr=2, epochs=20, scale="standard", save=tmp_path / "run")
    again = resume(tmp_path / "run")
    assert again.diverged == done.diverged
    assert seen(again.history) == seen(done.history)
    assert same_weights(done, again)


def test_weights_are_a_plain_state_dict(tmp_path: Path) -> None:
    done = train(save=tmp_path / "run", **SHORT)
    (newest,) = (tmp_path / "run").glob("epoch-*")
    state = torch.load(newest / "weights.pt", weights_only=True)
    assert all(torch.equal(tensor, done.weights[name]) for name, tensor in state.items())
    assert newest.name == "epoch-000003"


def test_changed_data_are_noticed(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(100, 3)), rng.integers(2, size=100)
    train("relu", (X, y), save=tmp_path / "run", epochs=1)
    with pytest.raises(UsageError, match="pass them again"):
        resume(tmp_path / "run", epochs=2)
    assert resume(tmp_path / "run", epochs=2, data=(X, y)).history[-1].epoch == 2
    X[0, 0] += 1e-9
    with pytest.raises(ActcompareError, match="has changed since"):
        resume(tmp_path / "run", epochs=3, data=(X, y))


def test_fewer_epochs_than_there_were(tmp_path: Path) -> None:
    train(save=tmp_path / "run", **SHORT)
    with pytest.raises(UsageError, match="already has 3 epochs"):
        resume(tmp_path / "run", epochs=2)


def test_functions_are_given_again(tmp_path: Path) -> None:
    train(torch.sin, save=tmp_path / "run", **SHORT)
    with pytest.raises(UsageError, match="unknown activation 'sin'"):
        resume(tmp_path / "run", epochs=4)
    assert resume(tmp_path / "run", epochs=4, activation=torch.sin).history[-1].epoch == 4


def test_a_saved_run_does_not_decide_which_code_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("import os, torch\nos.mkdir('ran')\nf = g = torch.sin\n")
    train("mine.py:f", output_activation="mine.py:g", save="run", **SHORT)
    for name in [name for name in sys.modules if name.startswith("_actcompare_user_mine")]:
        del sys.modules[name]
    (tmp_path / "ran").rmdir()
    tries: tuple[tuple[dict[str, Any], str], ...] = (
        ({}, "add --act mine.py:f"),
        ({"activation": "mine.py:f"}, "add --output-act mine.py:g"),
        ({"activation": "relu"}, "saved with activation mine.py:f, not relu"),
        ({"activation": "mine.py:g"}, "saved with activation mine.py:f, not mine.py:g"),
    )
    for given, asked in tries:
        with pytest.raises(ActcompareError, match=asked):
            resume("run", epochs=4, **given)
        assert not (tmp_path / "ran").exists()
    both: dict[str, Any] = {"activation": "mine.py:f", "output_activation": "mine.py:g"}
    assert resume("run", epochs=4, **both).history[-1].epoch == 4


def test_a_failing_save_leaves_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(make_recipe(**SHORT))
    epochs = run.epochs()
    with Folder.create(tmp_path / "run") as folder:
        next(epochs)
        folder.save(run.checkpoint())
        next(epochs)

        def full(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(ActcompareError, match=r"cannot save epoch 1 .*No space left.*is kept"):
            folder.save(run.checkpoint())
    monkeypatch.undo()
    assert [path.name for path in (tmp_path / "run").glob("*") if path.name != ".lock"] == [
        "epoch-000000"
    ]
    with Folder.open(tmp_path / "run") as folder:
        assert len(restore(folder.load()).history) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden": 0}, "hidden must be at least 1"),
        ({"depth": 0}, "depth must be at least 1"),
        ({"batch_size": 0}, "batch-size must be at least 1"),
        ({"epochs": -1}, "epochs must be 0 or more"),
        ({"seed": -1}, "seed must be 0 or more"),
        ({"threads": 0}, "threads must be from 1 to"),
        ({"lr": -1.0}, "lr must be 0 or more and finite in float32"),
        ({"lr": float("nan")}, "lr must be 0 or more"),
        ({"lr": 1e39}, "finite in float32, not 1e\\+39"),
        ({"momentum": float("inf")}, "momentum must be 0 or more"),
        ({"optimizer": "lion"}, "optimizer 'lion' is not one of sgd, adam, adamw"),
        ({"optimizer": "adam", "momentum": 0.9}, "momentum applies only to sgd"),
        ({"init": "zeros"}, "init 'zeros' is not one of"),
        ({"scale": "log"}, "scale 'log' is not one of"),
        ({"track_on": "test"}, "track-on 'test' is not one of"),
        ({"input_size": 5}, "input-size applies only to --data random"),
        ({"activation": ["relu", "gelu"]}, "train takes one activation, not 2"),
        ({"dtype": "int8"}, "dtype 'int8' is not one of"),
        ({"device": "tpu"}, "device 'tpu' is not one of"),
    ],
)
def test_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        train(**settings)


def test_more_in_a_batch_than_there_are() -> None:
    with pytest.raises(ActcompareError, match="use 1,259 or less"):
        train(batch_size=2000)


def test_a_net_that_does_not_fit() -> None:
    with pytest.raises(ActcompareError, match="choose a smaller --hidden"):
        train(hidden=10**7, depth=3)


@pytest.mark.cuda
@pytest.mark.parametrize("spec", ["relu", "softplus", "rrelu"])
def test_on_a_gpu(spec: str, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"device": "cuda", **SHORT}
    state = torch.cuda.get_rng_state()
    whole, unwatched = train(spec, **settings), train(spec, track_on=None, **settings)
    assert torch.equal(state, torch.cuda.get_rng_state())
    assert same_weights(whole, unwatched)
    train(spec, save=tmp_path / "run", **settings | {"epochs": 1})
    assert same_weights(whole, resume(tmp_path / "run", epochs=3))
    on_cpu = train(spec, **SHORT)
    if spec != "rrelu":
        assert whole.test.metric == pytest.approx(on_cpu.test.metric, abs=0.05)


def test_examples_are_samples_of_the_test_set_in_the_units_of_the_data() -> None:
    X = np.arange(200.0).reshape(100, 2)
    y = 1000 + 3 * X[:, 0]
    result = train("relu", (X, y), epochs=40, lr=0.01, show=5)
    assert len(result.examples) == 5
    for example in result.examples:
        assert example.input == tuple(X[example.sample])
        assert example.target == (y[example.sample],)
        assert example.output[0] == pytest.approx(y[example.sample], rel=0.1)
        assert example.predicted is None


def test_examples_of_a_classification_are_scored_as_the_test_set_is() -> None:
    result = train("softplus", "digits", epochs=3, show=10_000)
    assert len(result.examples) == result.data.samples[2]
    right = [example.predicted == example.target for example in result.examples]
    assert np.mean(right) == pytest.approx(result.test.metric)
    for example in result.examples:
        assert sum(example.output) == pytest.approx(1)
    assert train("relu", "digits", epochs=0).examples == ()
    with pytest.raises(UsageError, match="show must be 0 or more, not -1"):
        train("relu", "digits", epochs=0, show=-1)
