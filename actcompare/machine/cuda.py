"""CUDA: streams, captured graphs and clock throttling."""

import contextlib
from collections.abc import Callable
from importlib.util import find_spec

import torch


def captured(work: Callable[[], object], calls: int) -> Callable[[], object]:
    """Capture a number of calls as one CUDA graph, and return its replay.

    Everything the work uses must have been made on the current stream, which must not be the
    default one (a backward pass runs on the stream of its forward pass).

    Raises:
        RuntimeError: The work cannot be captured.
    """
    for _ in range(3):  # the set-up of first calls must not be captured
        work()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=torch.cuda.current_stream()):
        for _ in range(calls):
            work()
    return graph.replay


def own_stream(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Return a context with a new current stream on CUDA, and without effect on other devices."""
    if device.type != "cuda":
        return contextlib.nullcontext()
    return torch.cuda.stream(torch.cuda.Stream(device))  # type: ignore[no-untyped-call]


def can_see_clocks() -> bool:
    """Return whether NVIDIA's management library is installed, which reports a GPU's clock."""
    return find_spec("pynvml") is not None


def throttle_check(device: torch.device) -> Callable[[], bool] | None:
    """Return a function that tells whether heat or power throttles a GPU's clock right now.

    None if this cannot be known. Source: NVML's clocks event reasons.
    """
    if device.type != "cuda" or not can_see_clocks():
        return None
    import pynvml

    try:
        pynvml.nvmlInit()
        uuid = torch.cuda.get_device_properties(device).uuid
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
        pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)
    except (pynvml.NVMLError, AttributeError):  # a MIG slice, or not an NVIDIA GPU
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
