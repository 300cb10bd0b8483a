"""The pictures of `bench`."""

import re
from dataclasses import replace

import pytest

from actcompare.benchmark.bench import Benchmark
from actcompare.benchmark.changes import compare_runs
from actcompare.benchmark.plots import cost_picture
from actcompare.errors import ActcompareError
from actcompare.output.plotting import Picture
from tests.benchmark.runs import CASE, benchmark
from tests.output.figures import drawn, text_of


def over_sizes(*sizes: int, **more: str) -> Benchmark:
    runs = [
        benchmark(5e-9 * size, 9e-9 * size, 4e-9 * size, case=replace(CASE, shape=(size,), **more))
        for size in sizes
    ]
    return replace(runs[0], measurements=tuple(m for run in runs for m in run.measurements))


def picture(*runs: Benchmark) -> Picture:
    whole = replace(runs[0], measurements=tuple(m for run in runs for m in run.measurements))
    return cost_picture(whole.columns(), whole.environment.as_dict())


def words(drawing: Picture) -> list[str]:
    return re.findall(r"<text[^>]*>(.*)</text>", text_of(drawing))


def test_the_title_says_what_was_timed_and_where() -> None:
    said = words(picture(over_sizes(1000, 2**16)))
    assert "Time of a forward pass" in said
    assert "float32, 2 threads, a CPU" in said
    for text in ("copy_", "relu", "softplus", "elements", "relative to relu (95 %)"):
        assert text in said


def test_units_are_as_people_write_them() -> None:
    said = words(picture(over_sizes(1000, 2**16, 2_000_000)))
    assert {"10³", "2¹⁶", "2,000,000"} <= set(said)
    assert {"10 µs", "100 µs", "1 ms"} <= set(said)
    assert "1\N{MULTIPLICATION SIGN}" in said
    assert not [text for text in said if re.search(r"\de-?\d", text)]


def test_conditions_that_vary_have_a_strip_each() -> None:
    drawing = picture(over_sizes(1000, 4000), over_sizes(1000, 4000, pass_="both"))
    said = words(drawing)
    assert {"Time of a call", "forward pass", "forward and backward pass"} <= set(said)
    assert len(drawn(drawing).axes) == 4


def test_one_size_is_shown_as_intervals_the_fastest_first() -> None:
    times, ratios = drawn(picture(over_sizes(2**20))).axes
    assert [label.get_text() for label in times.get_yticklabels()] == ["relu", "softplus"]
    assert "2²⁰ elements" in ratios.get_xlabel()


def test_a_comparison_says_that_ratios_are_to_the_earlier_run() -> None:
    changes = compare_runs(over_sizes(1000, 4000), over_sizes(1000, 4000))
    drawing = cost_picture(changes.columns(), changes.new.environment.as_dict())
    assert "relative to the earlier run (95 %)" in words(drawing)


def test_too_few_rounds_for_an_interval_are_drawn() -> None:
    few = benchmark(rounds=1)
    assert "softplus" in words(picture(few))


def test_what_was_not_measured_is_left_out() -> None:
    run = over_sizes(1000, 4000)
    costs = tuple(replace(cost, error="no") for cost in run.measurements[0].costs)
    failed = replace(run.measurements[0], costs=costs, timings=None)
    assert "relu" in words(picture(replace(run, measurements=(failed, run.measurements[1]))))
    with pytest.raises(ActcompareError, match="no case was measured"):
        picture(replace(run, measurements=(failed,)))


def test_the_terminal_has_units_too() -> None:
    text = picture(over_sizes(1000, 2_000_000)).text(80, False)
    assert "time of a call" in text
    assert re.search(r"\d [µm]s", text)
    assert not re.search(r"\de-\d", text)
