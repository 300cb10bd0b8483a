"""With a fake clock: nothing here waits, and nothing depends on the machine."""

import gc
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from actcompare.errors import ActcompareError, UsageError
from actcompare.machine.stopwatch import Stopwatch
from actcompare.machine.timing import FEWEST_ROUNDS, MACHINE_BUSY, Timings, time_paired


class World:
    """A clock that only work moves: each call costs what it says, times drift, plus noise."""

    def __init__(self, *, drift: float = 0.0, noise: float = 0.0, seed: int = 0) -> None:
        self.t = 0.0
        self.ran: list[str] = []
        self._drift, self._noise = drift, noise
        self._rng = np.random.default_rng(seed)

    def now(self) -> float:
        self.t += 1e-9
        return self.t

    def work(self, name: str, cost: float) -> Callable[[], None]:
        def run() -> None:
            self.ran.append(name)
            slowed = 1 + self._drift * self.t
            self.t += cost * slowed * float(np.exp(self._rng.normal(0, self._noise)))

        return run

    def timer(self, work: Callable[[], object], calls: int) -> float:
        begin = self.t
        for _ in range(calls):
            work()
        self.t += 5e-8
        return self.t - begin

    def stopwatch(self, **limits: Any) -> Stopwatch:
        return Stopwatch(self.timer, self.now, **limits)


def measure(world: World, costs: dict[str, float], **options: Any) -> Timings:
    work = {name: world.work(name, cost) for name, cost in costs.items()}
    known = ("throttled", "waited", "most_calls")
    limits = {name: options.pop(name) for name in known if name in options}
    return time_paired(work, stopwatch=world.stopwatch(**limits), **options)


def test_each_round_runs_every_candidate_once_and_the_baseline_twice() -> None:
    world = World()
    timings = measure(world, {"a": 1e-3, "b": 2e-3, "c": 3e-3}, precision=1e-9)
    rounds = len(timings.seconds)
    assert timings.seconds.shape == timings.order.shape == (rounds, 4)
    assert all(sorted(row) == [0, 1, 2, 3] for row in timings.order.tolist())
    first = len(world.ran) - 4 * rounds
    for i, row in enumerate(timings.order.tolist()):
        ran = world.ran[first + 4 * i : first + 4 * (i + 1)]
        assert ran == ["abca"[column] for column in row]


def test_the_order_is_random_and_the_seeds() -> None:
    costs = {"a": 1e-3, "b": 1e-3}
    one, same, other = (
        measure(World(), costs, precision=1e-9, time_limit=2.0, seed=seed) for seed in (1, 1, 2)
    )
    assert np.array_equal(one.order, same.order)
    assert not np.array_equal(one.order, other.order)
    places = Counter(
        (column, place) for row in one.order.tolist() for place, column in enumerate(row)
    )
    expected = len(one.order) / 3
    assert len(places) == 9
    assert all(abs(count - expected) < 5 * expected**0.5 for count in places.values())


@pytest.mark.parametrize("drift", [0.0, 0.5, -0.2])
def test_what_drifts_is_shared(drift: float) -> None:
    timings = measure(World(drift=drift), {"a": 1e-3, "b": 1.1e-3}, precision=1e-9, time_limit=2.0)
    assert timings.ratio(1).value == pytest.approx(1.1, rel=2e-3)
    assert timings.verdict(1) == "slower"
    assert timings.control().value == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize(
    ("ratio", "verdict"), [(1.0, "same"), (1.05, "slower"), (0.95, "faster"), (1.002, "same")]
)
def test_verdicts(ratio: float, verdict: str) -> None:
    for seed in range(20):
        world = World(noise=0.01, seed=seed)
        timings = measure(world, {"a": 1e-3, "b": ratio * 1e-3}, precision=0.002, time_limit=20.0)
        assert timings.verdict(1) == verdict
        assert timings.ratio(1).low <= ratio * 1.003
        assert timings.ratio(1).high >= ratio / 1.003


@pytest.mark.parametrize("delay", [0.05, 0.1, 0.2])
def test_times_that_are_skewed_favour_nobody(delay: float) -> None:
    """The median of the mean of two runs lies above that of one run."""
    world, rng = World(noise=0.01), np.random.default_rng(3)

    def skewed(cost: float) -> Callable[[], None]:
        def run() -> None:
            world.work("", cost * (1 + rng.exponential(delay)))()

        return run

    works = {"a": skewed(1e-3), "b": skewed(1e-3), "c": skewed(1.5e-3)}
    timings = time_paired(works, stopwatch=world.stopwatch(), precision=1e-9, time_limit=20.0)
    assert timings.ratio(1).value == pytest.approx(1, abs=0.006)
    assert timings.ratio(2).value == pytest.approx(1.5, rel=0.006)


@pytest.mark.parametrize("cost", [2e-5, 4.9e-5, 5.1e-5, 1.2e-4, 2.4e-4])
def test_calls_that_find_the_data_of_another_favour_nobody(cost: float) -> None:
    """The first call after another candidate is slower, whatever number of calls a block has."""
    world, last = World(noise=0.01), [""]

    def cached(name: str, cost: float) -> Callable[[], None]:
        def run() -> None:
            world.work(name, cost * (1.0 if last[0] == name else 1.08))()
            last[0] = name

        return run

    works = {"a": cached("a", cost), "b": cached("b", 1.02 * cost), "c": cached("c", 1e-5)}
    timings = time_paired(works, stopwatch=world.stopwatch(), precision=1e-9)
    assert timings.ratio(1).value == pytest.approx(1.02, rel=0.004)


def test_what_the_noise_hides_is_unclear() -> None:
    timings = measure(World(noise=0.5), {"a": 1e-2, "b": 1.02e-2}, time_limit=1.0)
    assert timings.stopped_by == "time"
    assert timings.noise_floor() > 0.02
    assert timings.verdict(1) == "unclear"


def test_no_claim_is_made_below_the_noise_floor() -> None:
    """A control that is off by 10 % forbids a claim of 5 %, however tight the interval."""
    seconds = np.tile([1.0, 1.1, 1.1], (50, 1))
    timings = Timings(("a", "b"), seconds, np.zeros((50, 3), dtype=np.int64), (1, 1), "time")
    assert timings.noise_floor() == pytest.approx(0.1)
    assert timings.ratio(1).value == pytest.approx(1.1**0.5)
    assert timings.verdict(1) == "unclear"


def test_it_stops_when_precise_enough() -> None:
    timings = measure(World(noise=0.02), {"a": 1e-3, "b": 1e-3}, precision=0.005, time_limit=1e3)
    assert timings.stopped_by == "precision"
    ratio = timings.ratio(1)
    assert ratio.high / ratio.low < 1.011
    assert len(timings.seconds) < 2500


def test_it_stops_at_the_time_limit() -> None:
    world = World(noise=0.1)
    timings = measure(world, {"a": 1e-3, "b": 1e-3}, precision=1e-6, time_limit=0.5)
    assert timings.stopped_by == "time"
    assert 0.5 <= world.t < 0.52


def test_it_stops_when_noise_no_longer_falls() -> None:
    """A ratio that wanders for ever: more rounds tell no more."""
    world = World()

    def wandering() -> None:
        world.t += 1e-3 * (1.1 + 0.05 * math.sin(world.t / 10))

    timings = time_paired(
        {"a": world.work("a", 1e-3), "b": wandering},
        stopwatch=world.stopwatch(),
        precision=1e-6,
        time_limit=100.0,
    )
    assert timings.stopped_by == "noise"
    assert 50 < world.t < 70
    assert timings.ratio(1).high - timings.ratio(1).low > 0.08


def test_short_work_is_timed_in_blocks_that_dwarf_the_clock() -> None:
    world = World()
    timings = measure(world, {"short": 1e-6, "long": 1.0}, time_limit=30.0)
    assert timings.calls[0] * 1e-6 >= 5e-8 / 1e-3 / 2
    assert timings.calls[1] == 1
    assert timings.per_call(0)[1] == pytest.approx(1e-6, rel=1e-3)


def test_too_few_rounds_prove_nothing() -> None:
    timings = measure(World(), {"a": 1.0, "b": 5.0}, time_limit=8.0)
    assert len(timings.seconds) < FEWEST_ROUNDS
    assert timings.verdict(1) == "unclear"


def test_throttled_rounds_are_dropped_and_counted() -> None:
    world, asked = World(), iter(range(10**6))
    timings = measure(
        world, {"a": 1e-3, "b": 2e-3}, precision=1e-9, throttled=lambda: next(asked) % 3 == 0
    )
    assert timings.dropped == pytest.approx(len(timings.seconds) / 2, abs=1)
    assert len(timings.seconds) == len(timings.order)
    assert timings.ratio(1).value == pytest.approx(2, rel=1e-3)


def test_nothing_is_claimed_of_a_clock_that_is_always_held_down() -> None:
    with pytest.raises(ActcompareError, match="clock was throttled"):
        measure(World(), {"a": 1e-3}, throttled=lambda: True)


class Scheduler:
    """Keeps every so manieth call waiting for a slice."""

    def __init__(self, world: World, every: int, slice_s: float = 4e-3) -> None:
        self.waited, self._world = 0.0, world
        self._every, self._slice_s, self._calls = every, slice_s, 0

    def held_up(self, work: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            self._calls += 1
            if self._calls % self._every == 0:
                self._world.t += self._slice_s
                self.waited += self._slice_s
            work()

        return run


def timed_under_load(every: int, **times: float) -> Timings:
    world = World(noise=0.01)
    scheduler = Scheduler(world, every)
    works = {name: scheduler.held_up(world.work(name, cost)) for name, cost in times.items()}
    stopwatch = world.stopwatch(waited=lambda: scheduler.waited)
    return time_paired(works, stopwatch=stopwatch, precision=1e-9)


def test_rounds_in_which_threads_waited_are_dropped_and_counted() -> None:
    timings = timed_under_load(20, a=1e-4, b=2.7e-4)
    assert timings.disturbed > 0.3 * len(timings.seconds)
    assert not timings.busy
    assert timings.seconds.max() < 1e-3
    assert len(timings.seconds) == len(timings.order)
    assert timings.ratio(1).value == pytest.approx(2.7, rel=0.01)
    assert timings.verdict(1) == "slower"


def test_nothing_is_concluded_where_every_round_waited() -> None:
    """Blocks that all last a slice of the scheduler look alike to the last digit."""
    timings = timed_under_load(1, a=4e-6, b=11e-6)
    assert timings.ratio(1).value < 1.01
    assert timings.busy
    assert timings.disturbed == len(timings.seconds) > FEWEST_ROUNDS
    assert timings.verdict(1) == MACHINE_BUSY


def test_a_few_disturbed_rounds_among_few_leave_the_verdict_to_the_others() -> None:
    timings = timed_under_load(20, a=0.05, b=0.1)
    assert 0 <= timings.disturbed < len(timings.seconds)
    assert not timings.busy


def test_short_waits_disturb_nothing() -> None:
    world = World()
    scheduler = Scheduler(world, 1, slice_s=1e-6)
    works = {name: scheduler.held_up(world.work(name, 1e-3)) for name in "ab"}
    timings = time_paired(works, stopwatch=world.stopwatch(waited=lambda: scheduler.waited))
    assert timings.disturbed == 0


def test_blocks_can_be_bounded() -> None:
    timings = measure(World(), {"a": 1e-6, "b": 1e-5}, most_calls=100)
    assert all(50 < calls <= 100 for calls in timings.calls[:1])
    assert max(timings.calls) <= 100


def test_the_garbage_collector_is_put_back() -> None:
    def fails() -> None:
        assert not gc.isenabled()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        time_paired({"a": fails})
    assert gc.isenabled()


@pytest.mark.parametrize("options", [{"time_limit": 0}, {"precision": 0}, {"time_limit": -1}])
def test_bad_requests(options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="must be positive"):
        time_paired({"a": lambda: None}, **options)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="nothing to time"):
        time_paired({})


def test_one_candidate_alone_is_an_a_a_run() -> None:
    timings = measure(World(noise=0.01), {"a": 1e-3})
    assert timings.ratio(0).value == pytest.approx(1, rel=0.01)
