"""What measures a block of calls on each kind of device."""

import time
from collections.abc import Callable
from importlib.util import find_spec
from itertools import repeat

import torch

from actcompare.timing import Timer, Work, cpu_timer

QUEUED_CALLS = 200
"""Most calls of a block on CUDA: they must all fit the launch queue while it is held up."""
_HELD_CYCLES_PER_CALL = 40_000
"""About 25 us of a GPU's clock, longer than a call takes to launch."""


def timer_for(device: torch.device) -> Timer:
    """The timer of a device; each waits until the work is done."""
    if device.type == "cuda":
        return _cuda_timer(device)
    if device.type == "mps":
        return _mps_timer
    return cpu_timer


def _cuda_timer(device: torch.device) -> Timer:
    """GPU time between two events, with the calls queued before the first of them is reached."""

    def timer(work: Work, calls: int) -> float:
        with torch.cuda.device(device):
            begin = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            torch.cuda.synchronize(device)
            torch.cuda._sleep(_HELD_CYCLES_PER_CALL * max(calls, 1))  # type: ignore[no-untyped-call]
            begin.record()
            for _ in repeat(None, calls):
                work()
            end.record()
            end.synchronize()
            return float(begin.elapsed_time(end)) / 1e3

    return timer


def _mps_timer(work: Work, calls: int) -> float:
    torch.mps.synchronize()
    begin = time.perf_counter()
    for _ in repeat(None, calls):
        work()
    torch.mps.synchronize()
    return time.perf_counter() - begin


def captured(work: Work, calls: int, device: torch.device) -> Work:
    """A number of calls as one CUDA graph, to be replayed without launching each of them.

    Raises:
        RuntimeError: the work cannot be captured.
    """
    with torch.cuda.device(device):
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):  # what a first call sets up must not be captured
            for _ in range(3):
                work()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for _ in range(calls):
                work()
    return graph.replay


def can_see_clocks() -> bool:
    """Whether NVIDIA's management library can be asked about a GPU's clock."""
    return find_spec("pynvml") is not None


def throttle_check(device: torch.device) -> Callable[[], bool] | None:
    """What tells whether heat or power hold a GPU's clock down right now; None if nothing can.

    Source: NVML's clocks event reasons.
    """
    if device.type != "cuda" or not can_see_clocks():
        return None
    import pynvml

    pynvml.nvmlInit()
    handle = pynvml.nvmlDeviceGetHandleByUUID(
        f"GPU-{torch.cuda.get_device_properties(device).uuid}"
    )
    held_down = (
        pynvml.nvmlClocksThrottleReasonSwPowerCap
        | pynvml.nvmlClocksThrottleReasonHwSlowdown
        | pynvml.nvmlClocksThrottleReasonSwThermalSlowdown
        | pynvml.nvmlClocksThrottleReasonHwThermalSlowdown
        | pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown
    )

    def throttled() -> bool:
        return bool(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle) & held_down)

    return throttled
