"""The threads that torch computes with, and what disturbs them."""

import contextlib
import platform
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import torch

from actcompare.errors import UsageError
from actcompare.machine.cores import LEEWAY, allowed_cores, busy_cores, free_cores, usable_cores

MOST_THREADS = 1024

FLOPS_PER_THREAD, ELEMENTS_PER_THREAD = 2**24, 2**16
"""An operation must be this large, in a matrix product or elementwise, to occupy one more thread.

Training steps of MLPs on 2 cores, with two threads instead of one: 0.5 to 1.1 times as fast where
the largest product is below 2^24 floating-point operations, 1.2 to 1.3 times there, 1.9 times at
2^29. torch computes elementwise operations of up to 2^15 elements with one thread; softplus of 2^16
is 1.8 times as fast with two.
"""


def check_threads(threads: int | None) -> None:
    """Check a number of threads; None means that it is chosen.

    Raises:
        UsageError: The number is out of range.
    """
    if threads is not None and not 1 <= threads <= MOST_THREADS:
        raise UsageError(f"threads must be from 1 to {MOST_THREADS}, not {threads}")


@contextlib.contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """Let torch compute with so many threads within the context; None leaves its own number."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def threads_for(flops: float = 0, elements: float = 0) -> int:
    """Choose the number of threads for work, by the size of its largest parallel operation.

    Threads wait for each other after every operation. Small operations gain nothing from a second
    thread, and if other processes keep a core busy they take hundreds of times as long. So small
    work gets one thread, whatever the load, and large work no more than there are free cores.

    Args:
        flops: Floating-point operations of the largest matrix product.
        elements: Elements of the largest elementwise operation.
    """
    occupied = max(flops / FLOPS_PER_THREAD, elements / ELEMENTS_PER_THREAD)
    return 1 if occupied < 1 else int(min(1 + occupied, free_threads()))


def free_threads() -> int:
    """Return torch's own number of threads, or the number of free cores if that is smaller."""
    own = torch.get_num_threads()
    return own if own == 1 else min(own, free_cores())


def load_cautions(threads: int) -> list[str]:
    """Return what disturbs time measurements on this machine right now, each with a remedy."""
    cautions, cores = [], usable_cores()
    if threads > cores:
        cautions.append(
            f"{threads} threads share {cores} cores and wait for each other: use --threads {cores}"
        )
    busy, allowed = busy_cores(), len(allowed_cores())
    free = max(0, int(allowed - busy + LEEWAY))
    if free < min(threads, cores):
        cure = f", or use --threads {max(1, free)}" if threads > 1 else ""
        cautions.append(
            f"other processes keep {busy:.1f} of {allowed} cores busy, which widens intervals: wait"
            f" for them{cure}"
        )
    governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    with contextlib.suppress(OSError):
        if (name := governor.read_text(encoding="ascii").strip()) == "powersave":
            cautions.append(
                f"the CPU's frequency governor is {name}, which varies its clock: run cpupower"
                " frequency-set -g performance"
            )
    return cautions


@cache
def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
