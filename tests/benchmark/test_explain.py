from dataclasses import replace
from typing import Any

import pytest

from actcompare.benchmark.explain import _CURES
from tests.benchmark.runs import CASE, benchmark


@pytest.mark.parametrize(
    ("kind", "words", "options"),
    [
        (
            "overhead",
            "90 % of relu's time is the call, as",
            {"cost": {"over_one_element": 1 / 0.9}},
        ),
        ("traffic", "relu moves bytes at", {}),
        (
            "arithmetic",
            "relu computes: moving its bytes as copy_ does would be 25",
            {"relu": 4e-3, "softplus": 4e-3},
        ),
        ("launch", "2 times its time in a captured graph", {"cost": {"graph_s": 0.5e-3}}),
        (
            "strides",
            "2 times what it takes on contiguous input; .contiguous() first would make it 150 %",
            {"cost": {"over_contiguous": 2.0}},
        ),
        (
            "subnormal",
            "97 % of its results subnormal",
            {"cost": {"over_normal": 9.0, "subnormal_share": 0.97}},
        ),
        ("numbers", "9 times what it takes on N(0,1)", {"cost": {"over_normal": 9.0}}),
        (
            "",
            "relu: the call 40 %, moving bytes 30 %",
            {
                "cost": {"over_one_element": 2.5},
                "copy": 0.3e-3,
            },
        ),
        (
            "pages",
            "copy_ takes 5 times as long",
            {"cost": {"page_faults": 1.0}, "new_pages": 5.0},
        ),
        (
            "rest",
            "relu itself is 10 % of a step",
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
    assert "unknown after so few rounds" in benchmark(rounds=3).reading()


def test_dropped_rounds_are_told() -> None:
    run = benchmark()
    (m,) = run.measurements
    assert m.timings is not None
    dropped = replace(m, timings=replace(m.timings, dropped=7))
    assert "7 rounds in which" in replace(run, measurements=(dropped,)).reading()
    assert "Dropped" not in run.reading()


def test_cases_are_named_by_what_differs() -> None:
    one, other = benchmark(), benchmark(case=replace(CASE, pass_="both", shape=(4, 5)))
    run = replace(one, measurements=one.measurements + other.measurements)
    assert "\nforward 1,000: " in run.reading()
    assert "\nboth 4x5: " in run.reading()
    assert "\n1,000: " in one.reading()


def test_nothing_measured_has_nothing_to_say() -> None:
    assert replace(benchmark(), measurements=()).reading() == ""
