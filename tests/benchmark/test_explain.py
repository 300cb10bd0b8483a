from dataclasses import replace
from typing import Any

import pytest

from actcompare.benchmark.explain import _CURES
from actcompare.machine.timing import MACHINE_BUSY
from tests.benchmark.runs import CASE, benchmark


@pytest.mark.parametrize(
    ("kind", "words", "options"),
    [
        (
            "overhead",
            "90 % of relu's time is call overhead",
            {"cost": {"over_one_element": 1 / 0.9}},
        ),
        ("traffic", "relu is memory-bound, at 100 % of copy_'s bandwidth", {}),
        (
            "arithmetic",
            "relu is compute-bound; memory traffic explains 25 % of its time",
            {"relu": 4e-3, "softplus": 4e-3},
        ),
        ("launch", "launch-bound: 2 times its time in a CUDA graph", {"cost": {"graph_s": 0.5e-3}}),
        (
            "strides",
            "2 times as long as on contiguous input; with .contiguous() first it would take 150 %",
            {"cost": {"over_contiguous": 2.0}},
        ),
        (
            "subnormal",
            "97 % of its results are subnormal",
            {"cost": {"over_normal": 9.0, "subnormal_share": 0.97}},
        ),
        ("numbers", "9 times as long as on N(0,1)", {"cost": {"over_normal": 9.0}}),
        (
            "",
            "Call overhead explains 40 % of relu's time, memory traffic 30 %",
            {"cost": {"over_one_element": 2.5}, "copy": 0.3e-3},
        ),
        (
            "pages",
            "copy_ takes 5 times as long into new pages",
            {"cost": {"page_faults": 1.0}, "new_pages": 5.0},
        ),
        (
            "stalls",
            "relu takes 400 times as long as on one thread",
            {"cost": {"over_one_thread": 400.0}},
        ),
        (
            "rest",
            "relu takes 10 % of a training step",
            {"cost": {"over_identity": 1 / 0.9, "traffic_bytes": None}},
        ),
    ],
)
def test_each_kind_is_told_by_its_measure(kind: str, words: str, options: dict[str, Any]) -> None:
    reading = benchmark(**{"noise": 1e-6, "softplus": 1e-3} | options).reading()
    assert words in reading
    assert [k for k, cure in _CURES.items() if cure in reading] == ([kind] if kind else [])


def test_the_noise_floor_is_told_with_its_cure_where_it_matters() -> None:
    noisy, quiet = benchmark(noise=0.2).reading(), benchmark(noise=1e-4).reading()
    assert "Noise floor" in noisy
    assert "--time-limit" in noisy
    assert "Noise floor" in quiet
    assert "--time-limit" not in quiet
    assert "--threads 1" in noisy
    alone = benchmark(noise=0.2)
    reading = replace(alone, config=replace(alone.config, threads=1)).reading()
    assert "--time-limit or an idle machine lowers" in reading
    few = benchmark(rounds=3)
    assert "Noise floor: unknown (too few rounds). " in few.reading()
    steady = benchmark(noise=1e-6, case=replace(CASE, shape=(5,)))
    both = replace(few, measurements=few.measurements + steady.measurements)
    assert "unknown (too few rounds) for 1,000, down to 0.0 % for other cases" in both.reading()
    none = replace(few, measurements=few.measurements * 2)
    assert "Noise floor: unknown (too few rounds). " in none.reading()


def test_dropped_rounds_are_told() -> None:
    run = benchmark()
    (m,) = run.measurements
    assert m.timings is not None
    dropped = replace(m, timings=replace(m.timings, dropped=7))
    assert "7 rounds in which" in replace(run, measurements=(dropped,)).reading()
    assert "Dropped" not in run.reading()


def test_of_a_busy_machine_nothing_is_concluded() -> None:
    run = benchmark(noise=1e-6)
    (m,) = run.measurements
    assert m.timings is not None
    busy = replace(
        run, measurements=(replace(m, timings=replace(m.timings, disturbed=97, busy=True)),)
    )
    assert busy.columns()["verdict"] == ["baseline", MACHINE_BUSY]
    assert busy.columns()["disturbed_rounds"] == [97, 97]
    assert "in 97 of 100 rounds threads had to wait for a core" in busy.reading()
    assert "-bound" not in busy.reading()
    assert "when it is idle, or with --threads 1." in busy.reading()
    alone = replace(busy, config=replace(busy.config, threads=1))
    assert "when it is idle." in alone.reading()
    assert "--threads 1" not in alone.reading()


def test_what_limits_is_unknown_where_nothing_could_be_compared() -> None:
    reading = benchmark(noise=1e-6, cost={"busy": True}).reading()
    assert "1,000: relu's bottleneck is unknown, since the machine was busy. softplus's" in reading
    assert "-bound" not in reading
    assert "measure again when it is idle" in reading


def test_disturbed_rounds_are_told_apart_from_throttled_ones() -> None:
    run = benchmark()
    (m,) = run.measurements
    assert m.timings is not None
    dropped = replace(m, timings=replace(m.timings, disturbed=300))
    reading = replace(run, measurements=(dropped,)).reading()
    assert "Dropped 300 of 400 rounds in which threads had to wait for a core." in reading
    assert "throttled" not in reading


def test_the_reading_ends_with_what_remains_in_a_training_step() -> None:
    lone = benchmark(relu=1e-3, softplus=17e-3, noise=1e-6)
    step = benchmark(
        relu=1e-3,
        softplus=1.1e-3,
        noise=1e-6,
        case=replace(CASE, pass_="step", shape=(128, 64)),
        cost={"over_identity": 1.2, "traffic_bytes": None},
    )
    run = replace(lone, measurements=lone.measurements + step.measurements)
    assert run.reading().endswith(
        "softplus takes 17 times as long as relu in a lone call (forward 1,000); in a training"
        " step, 1.1 times (hidden 64)."
    )
    assert "lone call" not in lone.reading()
    assert "lone call" not in step.reading()


def test_cases_are_named_by_what_differs() -> None:
    one, other = benchmark(), benchmark(case=replace(CASE, pass_="both", shape=(4, 5)))
    run = replace(one, measurements=one.measurements + other.measurements)
    assert "\nforward 1,000: " in run.reading()
    assert "\nboth 4x5: " in run.reading()
    assert "\n1,000: " in one.reading()


def test_nothing_measured_has_nothing_to_say() -> None:
    assert replace(benchmark(), measurements=()).reading() == ""
