"""Cores, threads, and other load on them."""

import contextlib
import os
import platform
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import torch

from actcompare.errors import UsageError

MOST_THREADS = 1024


def check_threads(threads: int | None) -> None:
    """Check a number of threads; None means torch's setting.

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


def load_cautions(threads: int) -> list[str]:
    """Return what disturbs time measurements on this machine right now, each with a remedy."""
    cautions, cores = [], usable_cores()
    if threads > cores:
        cautions.append(
            f"{threads} threads share {cores} cores and wait for each other: use --threads {cores}"
        )
    busy = _busy_cores()
    if busy > max(0.5, cores - threads + 0.5):
        cautions.append(
            f"other processes keep {busy:.1f} of {cores} cores busy, which widens intervals: wait"
            " for them, or leave cores free with --threads"
        )
    governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    with contextlib.suppress(OSError):
        if (name := governor.read_text(encoding="ascii").strip()) == "powersave":
            cautions.append(
                f"the CPU's frequency governor is {name}, which varies its clock: run cpupower"
                " frequency-set -g performance"
            )
    return cautions


def _busy_cores(seconds: float = 0.1) -> float:
    """Return how many cores other processes use; 0 if the kernel does not report it."""

    def ticks() -> tuple[int, int]:
        fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]
        idle, waiting = fields[3:5]
        return sum(map(int, fields)), int(idle) + int(waiting)

    try:
        total, idle = ticks()
        time.sleep(seconds)
        total_later, idle_later = ticks()
    except (OSError, ValueError):
        return 0.0
    share = 1 - (idle_later - idle) / max(1, total_later - total)
    return share * (os.cpu_count() or 1)


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
