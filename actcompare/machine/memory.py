"""Memory: page faults, free memory, cache sizes, and the peak memory of a call."""

import contextlib
import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch

from actcompare.errors import ActcompareError
from actcompare.text import in_bytes

MIB = 2**20

CPU = torch.device("cpu")

SAFE_SHARE = 0.9
"""Share of the free memory that is given away."""

_IS_MMAPPED = 2
"""The bit in the header word before a glibc block that marks new pages from mmap."""


def page_faults() -> int:
    """Return the minor page faults of this process so far; 0 if the system does not count them."""
    if sys.platform == "win32":
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def free_memory(device: torch.device) -> int:
    """Return the bytes that can still be allocated on a device."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free + unused)
    if device.type == "mps":
        used = torch.mps.driver_allocated_memory()
        return int(torch.mps.recommended_max_memory() - used)
    return min(_free_in_machine(), _free_in_cgroup())


def fits(needed: float, device: torch.device = CPU) -> bool:
    """Return whether so many bytes can be allocated on a device, with a tenth to spare."""
    return needed <= SAFE_SHARE * free_memory(device)


def check_fits(what: str, needed: float, cure: str, device: torch.device = CPU) -> None:
    """Check that something fits into a device's memory, with a tenth to spare.

    Args:
        what: What takes the memory.
        needed: Bytes that it takes.
        cure: What to do if it does not fit.
        device: The device.

    Raises:
        ActcompareError: It does not fit.
    """
    if not fits(needed, device):
        free = in_bytes(free_memory(device))
        raise ActcompareError(
            f"{what} needs {in_bytes(needed)} of memory, but only {free} is free on {device}:"
            f" {cure}"
        )


def is_shortage(error: BaseException) -> bool:
    """Return whether an error means that memory ran out, in torch's words for any device."""
    said = ("DefaultCPUAllocator", "allocate memory", "out of memory", "not enough memory",
            "Storage size")  # fmt: skip
    return isinstance(error, MemoryError) or any(words in str(error) for words in said)


def _free_in_machine() -> int:
    with contextlib.suppress(OSError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):
        return 2**63 - 1


def _free_in_cgroup() -> int:
    """Return the free bytes under a container's limit, from cgroup v2 or v1."""
    roots = (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes",) * 2)
    for limit, used in roots:
        used = used.replace("limit_in_bytes", "usage_in_bytes")
        with contextlib.suppress(OSError, ValueError):
            root = Path("/sys/fs/cgroup")
            return int((root / limit).read_text()) - int((root / used).read_text())
    return 2**63 - 1


@cache
def last_level_cache(device: torch.device) -> int:
    """Return the size of the largest cache in bytes: L2 on CUDA, the last level on a CPU.

    64 MiB if the system does not report it; few caches are larger.
    """
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).L2_cache_size)
    sizes = [64 * 1024 if device.type == "cpu" else 64 * MIB]
    found = list(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"))
    for path in found if device.type == "cpu" else []:
        with contextlib.suppress(OSError, ValueError):
            sizes.append(int(path.read_text().strip().removesuffix("K")) * 1024)
    return max(sizes) if len(sizes) > 1 else 64 * MIB


def peak_allocation(work: Callable[[], object], device: torch.device) -> int | None:
    """Return the peak memory of one call beyond what was allocated before it, in bytes.

    It comes from torch's record of allocations; None on devices without one (MPS).
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        work()
        torch.cuda.synchronize(device)
        return int(torch.cuda.max_memory_allocated(device) - before)
    if device.type != "cpu":
        return None
    from torch.autograd.profiler import profile

    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # keeps the profiler quiet on stderr
    with profile(profile_memory=True) as profiler:
        work()
    recorded = profiler.kineto_results
    if recorded is None:
        return None
    events = [event for event in recorded.events() if event.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak
