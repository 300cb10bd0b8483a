"""Time blocks of calls on each kind of device."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat

import torch

from actcompare.machine.cuda import throttle_check
from actcompare.machine.waiting import waiting_time

Work = Callable[[], object]

Timer = Callable[[Work, int], float]
"""Takes work and a number of calls, and returns the seconds the calls took."""

QUEUED_CALLS = 128
"""Most calls per block on CUDA: all must fit into the launch queue while the GPU sleeps."""

_CYCLES_PER_S = 2e9
"""Approximate clock of a GPU, to convert seconds of sleep into cycles."""


def cpu_timer(work: Work, calls: int) -> float:
    """Return the seconds that `calls` calls took on the monotonic clock."""
    begin = time.perf_counter()
    for _ in repeat(None, calls):
        work()
    return time.perf_counter() - begin


@dataclass(frozen=True)
class Stopwatch:
    """A timer for a device, with the limits of the device."""

    timer: Timer = cpu_timer
    now: Callable[[], float] = time.perf_counter
    """The clock for time limits."""
    throttled: Callable[[], bool] | None = None
    """Whether the device's clock is throttled now; None if that is unknown."""
    waited: Callable[[], float] | None = None
    """The seconds so far for which threads of this process waited for a core; None if unknown, or
    if the timer does not count them."""
    most_calls: int | None = None
    """The most calls per block; None if unlimited."""


def stopwatch_for(device: torch.device) -> Stopwatch:
    """Return the stopwatch of a device; it waits until the work is done."""
    return Stopwatch(
        timer_for(device),
        throttled=throttle_check(device),
        waited=waiting_time() if device.type == "cpu" else None,
        most_calls=QUEUED_CALLS if device.type == "cuda" else None,
    )


def timer_for(device: torch.device) -> Timer:
    """Return the timer of a device; it waits until the work is done."""
    if device.type == "cuda":
        return _cuda_timer(device)
    if device.type == "mps":
        return _mps_timer
    return cpu_timer


def _cuda_timer(device: torch.device) -> Timer:
    """Return a timer of the GPU time between two events around queued calls.

    The GPU sleeps while the host queues the calls, so that launching them takes no GPU time. It
    sleeps for twice the time that queueing takes, and for longer if it reached the first event
    before the last call was queued.
    """
    host_s: dict[int, float] = {}

    def timer(work: Work, calls: int) -> float:
        begin = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        for _ in range(4):
            torch.cuda.synchronize(device)
            hold_s = 2 * host_s.get(id(work), 0.0) * calls
            torch.cuda._sleep(int(_CYCLES_PER_S * hold_s) + 1)  # type: ignore[no-untyped-call]
            begin.record()
            began = time.perf_counter()
            for _ in repeat(None, calls):
                work()
            took = time.perf_counter() - began
            end.record()
            queued_ahead = not begin.query()  # type: ignore[no-untyped-call]
            end.synchronize()
            if queued_ahead or calls == 0:
                break
            host_s[id(work)] = max(took / calls, 2 * host_s.get(id(work), 0.0))
        return float(begin.elapsed_time(end)) / 1e3

    return timer


def _mps_timer(work: Work, calls: int) -> float:
    torch.mps.synchronize()
    begin = time.perf_counter()
    for _ in repeat(None, calls):
        work()
    torch.mps.synchronize()
    return time.perf_counter() - begin
