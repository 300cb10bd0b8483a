from dataclasses import replace

import pytest

from actcompare.benchmark.changes import compare_runs
from actcompare.errors import UsageError
from actcompare.machine.timing import MACHINE_BUSY
from tests.benchmark.runs import CASE, HERE, benchmark


@pytest.mark.parametrize(
    ("now", "verdict"), [(1.0, "same"), (1.1, "slower"), (0.9, "faster"), (1.0095, "unclear")]
)
def test_verdicts_are_of_new_over_old(now: float, verdict: str) -> None:
    new = benchmark(softplus=now * 2e-3, seed=1, noise=0.002)
    columns = compare_runs(new, benchmark(noise=0.002)).columns()
    assert columns["activation"] == ["relu", "softplus"]
    assert columns["ratio"][1] == pytest.approx(now, rel=2e-3)
    assert columns["verdict"][1] == verdict
    assert columns["verdict"][0] == "same"
    assert columns["old_median_s"][1] == pytest.approx(2e-3, rel=0.01)


@pytest.mark.parametrize("which", ["new", "old"])
def test_nothing_is_concluded_from_a_run_on_a_busy_machine(which: str) -> None:
    runs = {"new": benchmark(softplus=4e-3), "old": benchmark()}
    (m,) = runs[which].measurements
    assert m.timings is not None
    busy = replace(m, timings=replace(m.timings, busy=True))
    runs[which] = replace(runs[which], measurements=(busy,))
    assert set(compare_runs(**runs).columns()["verdict"]) == {MACHINE_BUSY}


def test_a_slower_machine_is_no_slower_activation() -> None:
    """All of it takes 5 % longer, the copy too: that could explain it."""
    new = benchmark(relu=1.05e-3, softplus=2.1e-3, copy=1.05e-3, seed=1)
    changes = compare_runs(new, benchmark())
    assert set(changes.columns()["verdict"]) == {"unclear"}
    assert "copy_ takes 1.05" in changes.reading()


def test_differing_environments_are_told() -> None:
    new = replace(benchmark(seed=1), environment=replace(HERE, torch="3.0", threads=1))
    reading = compare_runs(new, benchmark()).reading()
    assert "torch was 2.0, is 3.0" in reading
    assert "threads was 2, is 1" in reading
    assert "environments differ" not in compare_runs(benchmark(seed=1), benchmark()).reading()


def test_what_is_not_in_both_is_left_out_and_told() -> None:
    other = replace(CASE, shape=(5,))
    old = benchmark()
    both = replace(
        old,
        config=replace(old.config, cases=(CASE, other)),
        measurements=(*old.measurements, *benchmark(case=other).measurements),
    )
    changes = compare_runs(benchmark(seed=1), both)
    assert len(changes.found) == 2
    assert "Not compared: 2 measurements only in the old run." in changes.reading()
    assert "only in the new run" not in changes.reading()


def test_nothing_in_common() -> None:
    old = benchmark(case=replace(CASE, shape=(7, 9), dtype="bfloat16"))
    with pytest.raises(UsageError, match=r"relu, softplus .*bfloat16; 7x9"):
        compare_runs(benchmark(), old)
