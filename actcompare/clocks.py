"""What measures a block of calls on each kind of device."""

import contextlib
import time
from collections.abc import Callable
from importlib.util import find_spec
from itertools import repeat

import torch

from actcompare.timing import Timer, Work, cpu_timer

QUEUED_CALLS = 128
"""Most calls of a block on CUDA: they must all fit the launch queue while it is held up."""
_CYCLES_PER_S = 2e9
"""About the clock of a GPU, to turn seconds into the cycles that hold its queue up."""


def timer_for(device: torch.device) -> Timer:
    """The timer of a device; each waits until the work is done."""
    if device.type == "cuda":
        return _cuda_timer(device)
    if device.type == "mps":
        return _mps_timer
    return cpu_timer


def _cuda_timer(device: torch.device) -> Timer:
    """GPU time between two events, with the calls queued before the first of them is reached.

    The queue is held up for twice what queueing the calls takes the host; where that was not enough
    (the first event is reached before the last call is queued), longer.
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


def captured(work: Work, calls: int) -> Work:
    """A number of calls as one CUDA graph, to be replayed without launching each of them.

    Everything the work uses must have been made on the current stream, which is not the default one
    (a backward pass runs where its forward pass did).

    Raises:
        RuntimeError: the work cannot be captured.
    """
    for _ in range(3):  # what a first call sets up must not be captured
        work()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=torch.cuda.current_stream()):
        for _ in range(calls):
            work()
    return graph.replay


def own_stream(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """On CUDA, a stream of one's own as the current one, whatever happens within; else nothing."""
    if device.type != "cuda":
        return contextlib.nullcontext()
    return torch.cuda.stream(torch.cuda.Stream(device))  # type: ignore[no-untyped-call]


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

    try:
        pynvml.nvmlInit()
        uuid = torch.cuda.get_device_properties(device).uuid
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
        pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)
    except (pynvml.NVMLError, AttributeError):  # a part of a GPU, or not NVIDIA's, has no clock
        return None
    held_down = (
        pynvml.nvmlClocksThrottleReasonHwSlowdown
        | pynvml.nvmlClocksThrottleReasonSwThermalSlowdown
        | pynvml.nvmlClocksThrottleReasonHwThermalSlowdown
        | pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown
    )

    def throttled() -> bool:
        return bool(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle) & held_down)

    return throttled
