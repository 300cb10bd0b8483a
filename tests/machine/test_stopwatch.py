"""The CUDA timer and the throttle check with a device that is made up."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from actcompare.machine import cuda as clocks
from actcompare.machine import stopwatch
from actcompare.machine.cuda import throttle_check
from actcompare.machine.stopwatch import _CYCLES_PER_S, timer_for

CUDA = torch.device("cuda", 0)


class Gpu:
    """A queue: the host takes time to queue a call, the device to run it."""

    def __init__(self, host_s: float, device_s: float) -> None:
        self.host_s, self.device_s = host_s, device_s
        self.now = self.busy_until = 0.0
        self.calls = 0

    def call(self) -> None:
        self.calls += 1
        self.now += self.host_s
        self.busy_until = max(self.busy_until, self.now) + self.device_s

    def install(self, patch: pytest.MonkeyPatch) -> None:
        gpu = self

        class Event:
            def __init__(self, enable_timing: bool) -> None:
                assert enable_timing

            def record(self) -> None:
                self.at = gpu.busy_until = max(gpu.busy_until, gpu.now)

            def query(self) -> bool:
                return self.at <= gpu.now

            def synchronize(self) -> None:
                gpu.now = max(gpu.now, self.at)

            def elapsed_time(self, other: Any) -> float:
                return float(1e3 * (other.at - self.at))

        def sleep(cycles: int) -> None:
            gpu.busy_until = max(gpu.busy_until, gpu.now) + cycles / _CYCLES_PER_S

        def synchronize(_: object) -> None:
            gpu.now = max(gpu.now, gpu.busy_until)

        patch.setattr(torch.cuda, "Event", Event)
        patch.setattr(torch.cuda, "_sleep", sleep)
        patch.setattr(torch.cuda, "synchronize", synchronize)
        patch.setattr(stopwatch, "time", SimpleNamespace(perf_counter=lambda: gpu.now))


@pytest.mark.parametrize("host_s", [1e-6, 20e-6, 300e-6])
@pytest.mark.parametrize("calls", [1, 10, 128])
def test_calls_are_queued_ahead_however_slow_the_host(
    host_s: float, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = Gpu(host_s, 5e-6)
    gpu.install(monkeypatch)
    timer = timer_for(CUDA)
    assert timer(gpu.call, calls) == pytest.approx(calls * 5e-6, rel=0.01)


def test_the_throttle_is_read_where_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    class NVMLError(Exception):
        pass

    state = SimpleNamespace(reasons=0, fails=False)

    def reasons(_: object) -> int:
        if state.fails:
            raise NVMLError
        return int(state.reasons)

    nvml = SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda uuid: uuid,
        nvmlDeviceGetCurrentClocksThrottleReasons=reasons,
        nvmlClocksThrottleReasonHwSlowdown=8,
        nvmlClocksThrottleReasonSwThermalSlowdown=32,
        nvmlClocksThrottleReasonHwThermalSlowdown=64,
        nvmlClocksThrottleReasonHwPowerBrakeSlowdown=128,
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr(clocks, "find_spec", lambda _: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(uuid="abc"))
    throttled = throttle_check(CUDA)
    assert throttled is not None
    assert not throttled()
    state.reasons = 1  # idle, which is no throttle
    assert not throttled()
    state.reasons = 64
    assert throttled()
    state.fails = True  # a part of a GPU has no clock of its own
    assert throttle_check(CUDA) is None
    assert throttle_check(torch.device("cpu")) is None
