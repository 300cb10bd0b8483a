"""Whole studies: every engine, from Python."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import actcompare
from actcompare import ActcompareError, UsageError, train
from actcompare.data.splits import split_rows
from actcompare.machine import memory
from actcompare.studies.cells import run_group
from actcompare.studies.engines.knock import knock
from actcompare.studies.engines.ray_cluster import on_ray
from actcompare.studies.engines.workers import can_be_sent, in_this_process, local
from actcompare.studies.plan import make_plan
from actcompare.studies.records import CellResult, Failure
from actcompare.studies.store import Store
from actcompare.studies.study import Study, Work, study

SMALL: dict[str, Any] = {"seeds": 3, "lr": [0.1, 0.3], "epochs": 2, "hidden": 8}
DEADLY = """
import os, torch
def dies(x):
    if x.numel() > 2000:
        os._exit(9)
    return torch.relu(x)
def breaks(x):
    if x.numel() > 2000:
        raise ValueError("too much")
    return torch.relu(x)
"""


def told(made: Study) -> list[dict[str, Any]]:
    """The answer without times."""
    return [{k: v for k, v in row.items() if k != "step_s"} for row in made.rows()]


def test_a_cell_is_what_train_gives() -> None:
    made = study(["relu", "softplus"], workers=1, **SMALL)
    assert len(made.results) == 12
    for result in made.results[::4]:
        cell = result.cell
        run = train(cell.activation, hidden=8, epochs=2, lr=cell.lr, seed=cell.seed)
        assert result.test.metric == pytest.approx(run.test.metric, abs=1e-6)
        assert result.test.loss == pytest.approx(run.test.loss, rel=1e-4)
        assert result.train.loss == pytest.approx(run.history[-1].train.loss, rel=1e-4)
        metrics = [epoch.validation.metric for epoch in run.history]
        assert result.curve == pytest.approx(metrics, abs=1e-6)
        assert result.units == 8
        assert result.verdicts == run.history[-1].layers[0].counts()


def test_divergence_is_what_train_gives() -> None:
    settings: dict[str, Any] = {"epochs": 20, "scale": "standard"}
    made = study("relu", seeds=3, lr=[2.0, 0.1], workers=1, **settings)
    runs = [train("relu", lr=2, seed=seed, **settings) for seed in range(3)]
    assert any(run.diverged for run in runs)
    for result, run in zip(made.results[:3], runs, strict=True):
        assert (result.diverged_epoch is None) == (run.diverged is None)
        if run.diverged is not None:  # at 1e35 an epoch hangs on the order of a sum
            assert result.diverged_epoch == pytest.approx(run.diverged.epoch, abs=1)
            assert len(result.curve) == result.diverged_epoch
    assert all(result.diverged_epoch is None for result in made.results[3:])


def test_the_seed_decides_and_nothing_else() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one = study(workers=1, **SMALL)
    assert torch.equal(before, torch.random.get_rng_state())
    again, other = study(workers=1, **SMALL), study(workers=1, seed=50, **SMALL)
    assert told(one) == told(again)
    assert told(one) != told(other)


def test_workers_give_the_same_to_the_bit() -> None:
    settings = SMALL | {"seeds": 40, "lr": 0.1}
    assert told(study(workers=1, **settings)) == told(study(workers=2, **settings))


def test_ray_gives_the_same_to_the_bit() -> None:
    settings = SMALL | {"seeds": 40, "lr": 0.1}
    assert told(study(engine="ray", workers=2, **settings)) == told(study(workers=1, **settings))


def test_regression_random_data_and_more_axes() -> None:
    made = study(
        ["relu", "gelu"],
        "random",
        seeds=2,
        depth=[1, 2],
        hidden=[4, 8],
        lr=0.01,
        epochs=2,
        workers=1,
    )
    assert made.metric == "R^2"
    assert len(made.rows()) == 8
    assert len(made.results) == 16


def test_a_script_without_a_guard_can_use_workers(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import actcompare\n"
        "made = actcompare.study(seeds=33, lr=0.1, epochs=1, hidden=4, workers=2)\n"
        "print(len(made.results))\n"
        "print(len(actcompare.study(lambda x: x.relu(), seeds=33, lr=0.1, epochs=1).results))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert done.stdout == "66\n33\n"


def test_a_function_that_cannot_be_sent_stays_here() -> None:
    plan = make_plan(["relu", lambda x: x.tanh()], **SMALL)
    assert not can_be_sent(plan)
    assert can_be_sent(make_plan(["relu", torch.tanh], **SMALL))
    with pytest.raises(ActcompareError, match="cannot be sent to other processes"):
        list(local(plan, list(plan.groups()), workers=2))


def test_a_killed_worker_s_group_is_tried_again() -> None:
    settings = SMALL | {"seeds": 40, "epochs": 60, "lr": 0.1}
    whole = study(workers=1, **settings)
    plan = make_plan(**settings)

    killed: list[int] = []

    def kill() -> None:
        for _ in range(400):
            children = subprocess.run(
                ["pgrep", "-P", str(os.getpid()), "-f", "engines"], capture_output=True, text=True
            ).stdout.split()
            if len(children) == 2:
                time.sleep(1)
                os.kill(int(children[0]), signal.SIGKILL)
                killed.append(int(children[0]))
                return
            time.sleep(0.02)

    killer = threading.Thread(target=kill)
    killer.start()
    made = Work(plan).carry_on(lambda plan, groups: local(plan, groups, 2))
    killer.join()
    assert killed
    assert not made.failures
    assert told(made) == told(whole)


def test_a_group_that_keeps_killing_its_worker_is_a_failure(in_tmp: Path) -> None:
    (in_tmp / "deadly.py").write_text(DEADLY)
    made = study(["relu", "deadly.py:dies"], workers=2, **SMALL | {"seeds": 10})
    assert len(made.results) == 20
    assert len(made.failures) == 20
    assert "lost 3 times" in made.failures[0].error
    assert [row["verdict"] for row in made.rows()] == ["baseline", "failed"]


def test_a_function_that_fails_is_a_failure_and_the_rest_goes_on(in_tmp: Path) -> None:
    (in_tmp / "deadly.py").write_text(DEADLY)
    made = study(["relu", "deadly.py:breaks"], workers=1, **SMALL)
    assert {type(each) for each in made.failures} == {Failure}
    assert "ValueError: too much" in made.failures[0].error
    assert "6 runs failed" in made.reading()


def test_no_finite_start_is_a_failure(in_tmp: Path) -> None:
    (in_tmp / "wild.py").write_text("def act(x):\n    return x * 1e38 * 1e38\n")
    made = study(["relu", "wild.py:act"], workers=1, **SMALL)
    assert "is not finite at initialisation" in made.failures[0].error


def test_too_little_memory_splits_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make_plan("relu", **SMALL)
    (group,) = plan.groups()
    whole = run_group(plan, group)
    from actcompare.studies import cells

    monkeypatch.setattr(cells, "memory_needed", lambda config: 2**20 * len(config.activation))
    monkeypatch.setattr(memory, "free_memory", lambda _: 10 * 2**20)
    parts = run_group(plan, group)
    assert [each.cell for each in parts] == list(group)
    for one, other in zip(whole, parts, strict=True):
        assert isinstance(one, CellResult)
        assert isinstance(other, CellResult)
        assert one.test.metric == pytest.approx(other.test.metric, abs=1e-6)
    monkeypatch.setattr(memory, "free_memory", lambda _: 2)
    assert {type(each) for each in run_group(plan, group)} == {Failure}


def test_a_store_goes_on_extends_and_is_not_computed_again(tmp_path: Path) -> None:
    path, settings = tmp_path / "study.db", SMALL | {"seeds": 20, "workers": 1}
    whole = study(["relu", "gelu"], **settings)
    seen: list[int] = []

    def stop(work: Work) -> None:
        seen.append(work.done)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        study(["relu", "gelu"], store=path, listen=stop, **settings)
    with Store(path) as store:
        assert len(store.outcomes()) == seen[-1] < 80
    made = study(["relu", "gelu"], store=path, **settings)
    assert told(made) == told(whole)
    calls: list[Work] = []
    assert (
        study(["relu", "gelu"], store=path, listen=calls.append, **settings).rows() == made.rows()
    )
    assert not calls
    more = study(["relu", "gelu", "tanh"], store=path, **settings | {"seeds": 22})
    assert len(more.results) == 3 * 22 * 2
    known = {each.cell: each.outcomes for each in more.results}
    assert all(known[each.cell] is not None for each in made.results)
    fewer = study(["gelu"], store=path, **settings)
    assert len(fewer.results) == 40


@pytest.mark.parametrize("lr", [0.1, [0.05, 0.1, 0.2, 0.3, 0.4]])
def test_a_study_that_grew_is_one_that_was_large_at_once(tmp_path: Path, lr: Any) -> None:
    settings = SMALL | {"lr": lr, "workers": 1, "hidden": 5}
    for seeds in (5, 13):
        grown = study(["relu", "softplus"], store=tmp_path / "s.db", **settings | {"seeds": seeds})
    at_once = study(["relu", "softplus"], **settings | {"seeds": 13})
    without_times = [
        tuple(replace(each, step_s=None, waited_share=None) for each in made.results)
        for made in (grown, at_once)
    ]
    assert without_times[0] == without_times[1]


def test_a_part_of_a_study_is_a_smaller_study() -> None:
    counts: list[tuple[int, int]] = []

    def count(work: Work) -> None:
        acts = [cell.activation for cell in work.outcomes]
        counts.append((acts.count("relu"), acts.count("gelu")))

    study(["relu", "gelu"], workers=1, listen=count, **SMALL | {"seeds": 100, "epochs": 1})
    assert len(counts) > 4
    assert all(0 <= relu - gelu <= 32 for relu, gelu in counts)


@pytest.mark.parametrize("data", ["digits", "random"])
def test_the_outcomes_of_the_samples_make_the_metric(data: str) -> None:
    made = study(["relu", "tanh"], data, workers=1, **SMALL)
    for result in made.results:
        assert result.outcomes is not None
        values, rows = result.outcomes.values, result.outcomes.samples
        assert values.mean() == pytest.approx(result.test.metric, abs=1e-5)
        dataset = make_plan("relu", data).dataset
        classes = dataset.y if data == "digits" else None
        expected = split_rows(classes, len(dataset.X), result.cell.seed)[2]
        assert rows.tolist() == expected.tolist()
        assert result.outcomes.is_binary == (data == "digits")
        assert result.outcomes.guess == pytest.approx(0.1 if classes is not None else 0, abs=0.01)


def test_a_full_disk_keeps_what_was_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, settings = (
        tmp_path / "study.db",
        SMALL | {"seeds": 80, "workers": 1, "store": tmp_path / "study.db"},
    )
    settle = Store._settle

    def small(store: Store, db: sqlite3.Connection) -> None:
        settle(store, db)
        db.execute("PRAGMA max_page_count = 14")

    with monkeypatch.context() as patched:
        patched.setattr(Store, "_settle", small)
        with pytest.raises(
            ActcompareError, match=r"cannot write .*full; its earlier content is unchanged"
        ):
            study(["relu", "gelu"], **settings)
    with Store(path) as store:
        assert 0 < len(store.outcomes()) < 320
    assert len(study(["relu", "gelu"], **settings).results) == 320


def test_changed_data_are_another_study(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    settings = SMALL | {"store": tmp_path / "study.db", "workers": 1}
    study("relu", (X, X[:, 0]), **settings)
    with pytest.raises(ActcompareError, match="fingerprint"):
        study("relu", (X, X[:, 1]), **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"engine": "spark"}, "engine 'spark' is not one of local, ray"),
        ({"workers": 0}, "workers must be at least 1"),
        ({"address": "auto"}, "address needs --engine ray"),
        ({"gpus_per_task": 1.0}, "gpus-per-task needs --engine ray"),
        ({"engine": "ray", "gpus_per_task": -1.0}, "gpus-per-task must be 0 or more"),
        ({"engine": "ray", "address": "auto", "workers": 2}, "workers and address exclude"),
        ({"batch_size": 10**6}, "exceeds the 1,259 samples"),
        ({"hidden": 10**7, "depth": 2}, "choose a smaller --hidden"),
        ({"depth": 10**9}, "depth must be at most 1,000"),
        ({"seeds": 10**8}, "seeds 100,000,000 makes 400,000,000 runs, but a study has at most"),
        ({"seeds": 10**400}, "a study has at most 1,000,000: choose fewer seeds"),
    ],
)
def test_what_cannot_be_done_is_told(settings: dict[str, Any], message: str) -> None:
    with pytest.raises((UsageError, ActcompareError), match=message):
        study(**SMALL | settings)


def test_a_cluster_that_does_not_answer_is_told_within_seconds() -> None:
    plan = make_plan(**SMALL)
    for address in ("127.0.0.1:1", "nowhere"):
        with pytest.raises(ActcompareError, match="no Ray cluster at"):
            list(on_ray(plan, list(plan.groups()), address=address))


@pytest.mark.parametrize("address", ["127.0.0.1:{}", "ray://127.0.0.1:{}"])
def test_what_listens_and_is_not_ray_is_told(address: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(ConnectionError, match="answers as Ray within"):
            knock(address.format(port), 0.5)


def test_a_study_that_does_not_begin_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ActcompareError, match="no Ray cluster"):
        study(engine="ray", address="127.0.0.1:1", store=tmp_path / "s.db", **SMALL)
    assert list(tmp_path.iterdir()) == []


def test_a_device_of_the_cluster_need_not_be_here() -> None:
    if torch.cuda.is_available():
        pytest.skip("a GPU is here")
    settings = SMALL | {"device": "cuda"}
    with pytest.raises(ActcompareError, match="this torch"):
        study(engine="ray", **settings)
    with pytest.raises(ActcompareError, match="no Ray cluster at"):
        study(engine="ray", address="127.0.0.1:1", **settings)


def test_a_task_that_no_node_can_take_is_told() -> None:
    plan = make_plan(**SMALL)
    with pytest.raises(ActcompareError, match="a task needs 1 GPU, but no node"):
        list(on_ray(plan, list(plan.groups()), workers=1, gpus_per_task=1))


def test_ray_missing_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    plan = make_plan(**SMALL)
    with pytest.raises(ActcompareError, match=r"pip install 'actcompare\[cluster\]'"):
        list(on_ray(plan, list(plan.groups())))


def test_a_plan_does_not_depend_on_who_carries_it_out() -> None:
    plan = make_plan(**SMALL | {"seeds": 20})
    groups = list(plan.groups())
    forwards = [each for done in in_this_process(plan, groups) for each in done]
    backwards = [each for done in in_this_process(plan, groups[::-1]) for each in done]
    by_cell = {each.cell: each for each in backwards}
    for each in forwards:
        other = by_cell[each.cell]
        assert isinstance(each, CellResult)
        assert isinstance(other, CellResult)
        assert (each.train, each.test, each.curve) == (other.train, other.test, other.curve)


@pytest.mark.cuda
def test_a_gpu_answers_as_a_cpu_does() -> None:
    settings = SMALL | {"seeds": 10, "lr": 0.1}
    cpu, gpu = study(workers=1, **settings), study(device="cuda", **settings)
    for one, other in zip(cpu.rows(), gpu.rows(), strict=True):
        assert one["mean"] == pytest.approx(other["mean"], abs=0.01)


def test_the_public_name() -> None:
    assert actcompare.study is study
    assert actcompare.Study is Study
