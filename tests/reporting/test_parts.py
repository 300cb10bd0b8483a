"""Parts share a budget: by weight, by importance, and none of them can cost the others."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actcompare.activations.spec import parse_all
from actcompare.errors import ActcompareError, UsageError
from actcompare.reporting.evidence import (
    DONE,
    FAILED,
    INTERRUPTED,
    NOT_RUN,
    Evidence,
    Part,
    ReportConfig,
)
from actcompare.reporting.parts import budget, training
from actcompare.reporting.parts.budget import gather
from actcompare.reporting.parts.job import Job, NoTimeError
from actcompare.reporting.parts.kinds import KINDS, Kind
from actcompare.reporting.parts.training import Offer, run_study, run_variations
from actcompare.reporting.report import prepare
from actcompare.studies.plan import make_plan
from tests.reporting.made import HERE

NAMES = [kind.name for kind in KINDS]


class Clock:
    """Shows a time that only tests move on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Script:
    """Parts that take given times or fail, in place of the real ones."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock, self.shares = Clock(), dict[str, float]()
        self.takes: dict[str, float | BaseException] = {}
        kinds = tuple(replace(kind, run=self._play(kind)) for kind in KINDS)
        monkeypatch.setattr(budget, "KINDS", kinds)
        self.job = Job(
            ReportConfig(activations=("relu", "softplus"), data="digits", budget=100.0),
            tuple(parse_all(("relu", "softplus"))),
            "digits",
            prepare(("relu",), "digits").dataset,
            self.clock,
        )

    def _play(self, kind: Kind) -> Any:
        def run(_: Job, share: float) -> None:
            self.shares[kind.name] = share
            taken = self.takes.get(kind.name, 0.0)
            if isinstance(taken, BaseException):
                raise taken
            self.clock.now += taken

        return run

    def gather(self) -> tuple[Evidence, BaseException | None]:
        return gather(self.job, HERE)

    def states(self) -> dict[str, str]:
        return {part.name: part.state for part in self.gather()[0].parts}


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    return Script(monkeypatch)


def test_each_gets_its_least_and_a_share_of_the_rest(script: Script) -> None:
    assert set(script.states().values()) == {DONE}
    kinds = {kind.name: kind for kind in KINDS}
    least = {name: kind.least_s(script.job) for name, kind in kinds.items()}
    after = KINDS[NAMES.index("study") :]
    left = 100 - budget.PAGE_S
    rest = left - sum(least[kind.name] for kind in after)
    expected = least["study"] + rest * kinds["study"].weight / sum(kind.weight for kind in after)
    assert script.shares["study"] == pytest.approx(expected)
    script.takes["step"] = 50.0
    script.states()
    assert least["study"] < script.shares["study"] < expected
    assert script.shares["compiled"] == least["compiled"]


def test_the_last_parts_make_room(script: Script) -> None:
    script.takes["study"] = 90.0
    states = script.states()
    assert [name for name, state in states.items() if state == NOT_RUN] == ["compiled"]
    assert "compiled" not in script.shares
    assert script.shares["variations"] > script.shares["outputs"] > 0


def test_a_part_may_find_that_it_has_no_time(script: Script) -> None:
    script.takes["study"] = NoTimeError(600.0)
    evidence, stopped = script.gather()
    assert stopped is None
    assert evidence.part("study").why == ("it takes about 10 min, more than was left of the budget")
    assert [part.name for part in evidence.missing] == ["study"]


def test_a_failure_is_the_parts_own(script: Script) -> None:
    script.takes["depth"] = ActcompareError("it broke")
    evidence, stopped = script.gather()
    assert stopped is None
    assert (evidence.part("depth").state, evidence.part("depth").why) == (FAILED, "it broke")
    assert evidence.part("compiled").state == DONE


def test_what_fails_at_once_fails_altogether(script: Script) -> None:
    script.takes["functions"] = ActcompareError("no such function")
    with pytest.raises(ActcompareError, match="no such function"):
        script.gather()


def test_an_interrupt_keeps_what_there_is(script: Script) -> None:
    script.takes["alone"] = KeyboardInterrupt()
    evidence, stopped = script.gather()
    assert isinstance(stopped, KeyboardInterrupt)
    states = [part.state for part in evidence.parts]
    at = NAMES.index("alone")
    assert states == [DONE] * at + [INTERRUPTED] + [NOT_RUN] * (len(NAMES) - at - 1)


def test_the_listener_sees_every_beginning_and_end(script: Script) -> None:
    script.takes["step"] = 5.0
    seen: list[tuple[str, float]] = []

    def listen(parts: Sequence[Part], left: float) -> None:
        moving = [part for part in parts if part.state == "running"]
        seen.append((moving[0].name if moving else "", left))

    gather(script.job, HERE, listen)
    assert [name for name, _ in seen if name] == NAMES
    assert seen[-1][1] == pytest.approx(95 - 5)


@pytest.mark.parametrize("budget", [0, -1, float("nan"), float("inf")])
def test_a_budget_is_a_positive_number_of_seconds(budget: float) -> None:
    with pytest.raises(UsageError, match="budget must be a positive number of seconds"):
        ReportConfig(activations=("relu",), data="digits", budget=budget)


def test_every_part_fills_a_field_and_has_a_command() -> None:
    config = ReportConfig(activations=("gelu", "relu"), data="a b.csv", target="y", device="cuda")
    job = prepare(("gelu", "relu"), small())
    for kind in KINDS:
        assert kind.name in Evidence.__dataclass_fields__
        assert kind.command(replace(job, config=config))
    assert config.command() == (
        "actcompare report --data 'a b.csv' --target y --act gelu --act relu --device cuda"
    )


# --- the study -----------------------------------------------------------------------------------


def small() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 4))
    return X, (X[:, 0] > 0).astype(int)


def job_with(per_cell: float, monkeypatch: pytest.MonkeyPatch, store: Path | None = None) -> Job:
    """A job in which a run is said to take so many seconds."""
    monkeypatch.setattr(
        training, "seconds_per_cell", lambda *_: {"relu": per_cell, "softplus": per_cell}
    )
    monkeypatch.setattr(training, "usable_cores", lambda: 1)
    monkeypatch.setattr(training, "FEW_RATES", (1.0,))
    plan = Job.plan
    changes: dict[str, Any] = {"epochs": 1, "lr": [0.1]}
    monkeypatch.setattr(Job, "plan", lambda job, seeds, **more: plan(job, seeds, **more | changes))
    kept = None if store is None else str(store)
    return prepare(("relu", "softplus"), small(), clock=Clock(), store=kept)


@pytest.mark.parametrize(("seconds", "seeds"), [(5.0, 2), (8.0, 3), (26.0, 10), (1e6, 100)])
def test_as_many_seeds_as_fit(monkeypatch: pytest.MonkeyPatch, seconds: float, seeds: int) -> None:
    """A seed has two runs, each a second long, and a quarter more to be careful."""
    assert run_study(job_with(1.0, monkeypatch), seconds).config.seeds == seeds


def test_a_study_that_does_not_fit_says_how_long_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NoTimeError, match="it takes about 8 min"):
        run_study(job_with(100.0, monkeypatch), 10.0)


def test_a_study_in_a_store_takes_no_time_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    job = job_with(1.0, monkeypatch, tmp_path / "s.db")
    first = run_study(job, 8.0)
    again = run_study(job, 1e-3)
    assert again.config.seeds == first.config.seeds == 3
    assert again.results == first.results
    assert run_study(job, 13.0).config.seeds == 5


@pytest.mark.parametrize(
    ("seconds", "count", "seeds"), [(1e6, 4, 10), (60.0, 4, 5), (31.0, 4, 3), (17.0, 2, 3)]
)
def test_variations_have_equal_seeds(
    monkeypatch: pytest.MonkeyPatch, seconds: float, count: int, seeds: int
) -> None:
    found = run_variations(job_with(1.0, monkeypatch), seconds)
    assert [each.study.config.seeds for each in found] == [seeds] * count
    assert [each.setting for each in found] == [*training.VARIATIONS][:count]


def test_a_study_that_is_slower_than_thought_keeps_its_complete_seeds() -> None:
    """Groups are in the order of seeds; time runs out once the first ones are done."""
    job = prepare(("relu", "softplus"), small(), clock=Clock())
    plan = make_plan(job.activations, job.source, seeds=100, epochs=1, lr=[0.1])
    task = Offer(plan, {"relu": 0.0, "softplus": 0.0}, 1).work(100)
    ticks = iter([0.0, 0.0, 0.0, *[1e9] * 1000])
    study = task.carry_on(1.0, lambda: next(ticks))
    assert 1 <= study.config.seeds < 100
    assert study.missing == 0
    assert len(study.results) == 2 * study.config.seeds
