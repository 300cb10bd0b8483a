"""CUDA: streams, captured graphs, and clocks that are held down."""

import contextlib
from collections.abc import Callable
from importlib.util import find_spec

import torch


def captured(work: Callable[[], object], calls: int) -> Callable[[], object]:
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
