"""Studies of users' own trainings: every engine, and whatever a fit does."""

import math
import random
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

import actcompare
from actcompare import ActcompareError, UsageError, study
from actcompare.studies.comparison import repeated_seeds
from actcompare.studies.engines.apart import environments_of, fits_apart
from actcompare.studies.fits.plan import make_fit_plan
from actcompare.studies.records import Cell, CellResult
from actcompare.studies.store import Store
from actcompare.studies.study import Study
from tests.studies.fits import mine

MINE = str(Path(mine.__file__))
BOTH = ["relu", "silu"]


def fitted(name: str, **settings: Any) -> Study:
    settings = {"seeds": 4, "workers": 1} | settings
    return study(BOTH, train=f"{MINE}:{name}", **settings)


def told(made: Study) -> list[dict[str, Any]]:
    """The answer without times."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in made.rows()]


def test_every_engine_gives_the_same_to_the_bit() -> None:
    settings: dict[str, Any] = {"lr": [0.01, 0.1], "settings": {"width": 6}}
    one, two = fitted("trains", **settings), fitted("trains", workers=2, **settings)
    by_ray = fitted("trains", engine="ray", workers=2, **settings)
    here = study(BOTH, train=lambda **given: mine.trains(**given), seeds=4, **settings)
    assert told(one) == told(two) == told(by_ray) == told(here)
    assert len(one.results) == 16
    assert {len(each.curve) for each in one.results} == {4}
    assert list(one.cells()["width"]) == [6.0] * 16


def test_generators_are_seeded_before_each_run_and_restored_here() -> None:
    random.seed(5)
    torch.manual_seed(5)
    before = random.getstate(), torch.get_rng_state()
    here = study(BOTH, train=lambda activation, seed: mine.from_generators(activation, seed))
    assert random.getstate() == before[0]
    assert torch.get_rng_state().equal(before[1])
    assert told(here) == told(fitted("from_generators", seeds=20))
    one, other = (each.test.metric for each in here.results[:2])
    assert one != other
    assert here.rows()[1]["difference"] == 0


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("exit", "SystemExit: 3 (line"),
        ("_exit", "it ended its process (exit code 0) before it returned"),
        ("kill", "killed by SIGKILL; the usual cause is too little memory"),
        ("segfault", "killed by SIGSEGV"),
        ("memory", "not enough memory"),
        ("hang", "it took longer than the limit of 1 s"),
        ("fork and die", "it ended its process (exit code 5)"),
    ],
)
def test_a_run_fails_alone(how: str, said: str) -> None:
    start = time.monotonic()
    made = fitted("ends", settings={"how": how}, cell_time_limit=1)
    assert time.monotonic() - start < 60
    assert len(made.results) == 7
    (failure,) = made.failures
    assert failure.cell == Cell("silu", 0, 0, 0.0, 1)
    assert said in failure.error
    assert [row["pairs"] for row in made.rows()] == [None, 3]


def test_a_run_fails_alone_on_ray() -> None:
    settings = {"engine": "ray", "workers": 2, "cell_time_limit": 2}
    for how, said in (("kill", "killed by SIGKILL"), ("hang", "longer than the limit of 2 s")):
        made = fitted("ends", settings={"how": how}, **settings)
        assert len(made.results) == 7
        assert said in made.failures[0].error


@pytest.mark.parametrize("name", ["forks", "reads", "prints"])
def test_odd_fits_are_as_good_as_others(name: str) -> None:
    assert told(fitted(name)) == told(fitted("slow"))


def test_failures_are_retried_and_a_study_grows(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    code = tmp_path / "own.py"
    text = Path(MINE).read_text("utf-8")
    code.write_text(text.replace('case "exit":', 'case "exit" if seed == 1:'), "utf-8")
    settings: dict[str, Any] = {"settings": {"how": "exit"}, "workers": 1, "store": path}
    made = study(BOTH, train=f"{code}:ends", seeds=3, **settings)
    assert len(made.failures) == 1
    code.write_text(text.replace('case "exit":', 'case "leave":'), "utf-8")
    done = subprocess.run(  # a new process imports the file anew
        [sys.executable, "-m", "actcompare", "study", "--train", f"{code}:ends", "--seeds", "5",
         *("--act", "relu", "--act", "silu", "--act", "tanh", "--set", "how=exit"),
         *("--store", path, "--format", "json", "--workers", "1")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "has changed since the first runs" in done.stderr
    with Store(path) as store:
        outcomes = store.outcomes()
    assert len(outcomes) == 15
    assert all(isinstance(each, CellResult) for each in outcomes)
    at_once = fitted("slow", seeds=5)
    by_cell = {each.cell: each.test.metric for each in outcomes if isinstance(each, CellResult)}
    assert all(by_cell[each.cell] == each.test.metric for each in at_once.results)


def test_another_fit_is_refused_by_name(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"store": tmp_path / "s.db", "seeds": 1}
    fitted("needs_depth", settings={"depth": 1}, **settings)
    for changes, said in (
        ({"settings": {"depth": 2}}, "settings depth=1, not depth=2"),
        ({"settings": {"depth": 1}, "higher_is_better": False}, "higher_is_better True, not False"),
    ):
        with pytest.raises(ActcompareError, match=said):
            fitted("needs_depth", **settings | changes)
    with pytest.raises(ActcompareError, match=r"holds a study with .*mine.py:needs_depth, not Si"):
        study(BOTH, epochs=1, lr=0.1, **settings)


def test_lower_is_better() -> None:
    low = fitted("loss", higher_is_better=False, lr=[0.1, 1.0], seeds=8)
    high = fitted("loss", higher_is_better=True, lr=[0.1, 1.0], seeds=8)
    assert [row["lr"] for row in low.rows()] == [0.1, 0.1]
    assert [row["lr"] for row in high.rows()] == [1.0, 1.0]
    assert [row["verdict"] for row in low.rows()] == ["baseline", "worse"]
    assert [row["verdict"] for row in high.rows()] == ["baseline", "better"]
    assert low.rows()[1]["difference"] == pytest.approx(1, abs=0.1)
    assert high.rows()[1]["difference"] == pytest.approx(low.rows()[1]["difference"])
    assert "silu is worse than relu: +" in low.reading()
    assert "Lower metric is better" in low.reading()
    assert "chosen on metric itself, since validation is not known" in low.reading()
    assert "the means are optimistic" in low.reading()
    assert fitted("loss", higher_is_better=False, margin=5, seeds=8).rows()[1]["verdict"] == "same"


def test_nan_counts_and_chooses_no_rate() -> None:
    made = fitted("not_a_number", seeds=6)
    assert [row["diverged"] for row in made.rows()] == [0, 1]
    assert made.rows()[1]["verdict"] == "unclear"
    assert made.rows()[1]["p_value"] is None
    assert "Not finite: metric of 1 of 6 runs of silu" in made.reading()
    plan = make_fit_plan(BOTH, mine.loss, lr=[0.1, 1.0], seeds=2, higher_is_better=False)
    results = [
        CellResult.of_fit(cell, [math.nan if cell.lr == 0.1 else 3.0 + cell.seed], {})
        for cell in plan.config.cells()
    ]
    rows = replace(made, config=plan.config, results=tuple(results)).rows()
    assert [row["lr"] for row in rows] == [1.0, 1.0]


def test_a_series_that_diverges_says_where() -> None:
    made = fitted("diverges", seeds=1)
    assert [each.diverged_epoch for each in made.results] == [2, 2]
    assert "Not finite: metric of 1 of 1 runs of relu" in made.reading()


def test_keys_that_only_some_runs_return_are_told() -> None:
    made = fitted("other_keys")
    assert "Only some runs have extra." in made.reading()
    assert list(made.cells()["extra"].isna()) == [True, False] * 4


# --- seeds that are not used ---------------------------------------------------------------------


@pytest.mark.parametrize("seeds", [2, 5])
def test_an_unused_seed_is_told_and_nothing_is_significant(seeds: int) -> None:
    made = fitted("ignores_its_seed", seeds=seeds)
    assert "All seeds gave identical results to the bit: the seed seems to be unused" in (
        made.reading()
    )
    row = made.rows()[1]
    assert row["verdict"] == "unclear"
    assert {row[p] for p in ("p_value", "p_holm", "p_sign_flip", "p_sign_flip_holm")} == {None}
    assert row["seeds_needed"] is None


def test_repeated_seeds_are_told() -> None:
    made = fitted("repeats_seeds", seeds=8)
    assert "Seeds 0, 3 and 6; 1, 4 and 7; 2 and 5 gave identical results" in made.reading()
    assert made.rows()[1]["verdict"] == "unclear"
    assert repeated_seeds(fitted("loss", seeds=8).results) == []


def test_a_coarse_metric_is_no_unused_seed() -> None:
    plan = make_fit_plan(BOTH, mine.loss, seeds=30)
    drawn = random.Random(0)
    results = [
        CellResult.of_fit(cell, [drawn.randrange(90, 96) / 100], {}) for cell in plan.config.cells()
    ]
    assert repeated_seeds(results) == []
    stuck = [
        each if each.cell.activation == "relu" else CellResult.of_fit(each.cell, [0.1], {})
        for each in results
    ]
    assert repeated_seeds(stuck) == []


# --- GPUs ----------------------------------------------------------------------------------------


def test_each_worker_has_its_own_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    plan = make_fit_plan(BOTH, f"{MINE}:visible", seeds=2)

    def seen(gpus: float, workers: int | None = None) -> list[str]:
        return [each["CUDA_VISIBLE_DEVICES"] for each in environments_of(plan, gpus, workers)]

    assert seen(1) == ["3", "5"]
    assert seen(0.5) == ["3", "5", "3", "5"]
    assert seen(2) == ["3,5"]
    assert seen(0.5, 3) == ["3", "5", "3"]
    for gpus, workers in ((3, None), (1, 3)):
        with pytest.raises(UsageError, match="need more than the 2 GPUs of this machine"):
            environments_of(plan, gpus, workers)
    outcomes = fits_apart(plan, plan.groups(), environments_of(plan, 1, None))
    shown = {each.test.metric for done in outcomes for each in done if isinstance(each, CellResult)}
    assert shown <= {3.0, 5.0}


# --- from Python ---------------------------------------------------------------------------------


def test_other_settings_are_told() -> None:
    for settings, said in (
        ({"epochs": 3, "depth": 2}, "depth, epochs: of SimpleNet, not of a training of your own"),
        ({"train": None, "metric": "acc"}, "metric: only with a training of your own"),
        ({"train": 5}, "train must be a function or module:Name, not int"),
        ({"train": "no/such.py:fit"}, "no/such.py does not exist"),
        ({"gpus_per_task": -1.0}, "gpus-per-task must be 0 or more"),
    ):
        with pytest.raises(ActcompareError, match=said):
            study(BOTH, **{"train": mine.loss} | settings)
    with pytest.raises(UsageError, match="data: of SimpleNet"):
        study(BOTH, "random", train=mine.loss)


def test_a_function_that_cannot_be_sent_stays_here_unless_it_is_to_be_stopped() -> None:
    def here(activation: Any, seed: int) -> float:
        return mine.loss(activation, seed)

    assert len(study(BOTH, train=here, seeds=2).results) == 4
    with pytest.raises(ActcompareError, match="cannot be sent to other processes"):
        study(BOTH, train=here, seeds=2, cell_time_limit=5)
    here.__module__ = "__main__"
    with pytest.raises(ActcompareError, match="it belongs to a script or a notebook"):
        study(BOTH, train=here, seeds=2, workers=2)
    assert len(study(BOTH, train=here, seeds=2, engine="ray", workers=2).results) == 4


def test_a_fit_has_only_the_columns_it_knows() -> None:
    made = fitted("loss", seeds=3)
    for absent in ("depth", "hidden", "lr", "step_s", "zero_dead_share", "guess", "test_samples"):
        assert absent not in made.columns()
    assert set(made.cell_rows()[0]) == {"activation", "seed", "metric", "diverged_epoch", "seconds"}
    assert set(made.shared_rate_rows()[0]) & {"depth", "hidden", "lr"} == set()
    assert "lr" in fitted("loss", seeds=3, lr=0.1).columns()
    assert asdict(made.config)["training"]["function"] == f"{MINE}:loss"


def test_the_public_name() -> None:
    assert actcompare.study_results.__module__ == "actcompare.studies.fits.results"
