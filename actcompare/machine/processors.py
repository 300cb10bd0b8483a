"""Cores, threads, and what else keeps them busy."""

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
    """Check that torch can be asked for so many threads.

    Raises:
        UsageError: it cannot.
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
    """What about this machine disturbs a measurement of time right now, each with its cure."""
    cautions, cores = [], usable_cores()
    if threads > cores:
        cautions.append(
            f"{threads} threads on {cores} cores wait for each other: --threads {cores}"
        )
    busy = _busy_cores()
    if busy > max(0.5, cores - threads + 0.5):
        cautions.append(
            f"other work keeps {busy:.1f} of {cores} cores busy: intervals will be wider; wait for"
            " it, or leave it cores with --threads"
        )
    governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    with contextlib.suppress(OSError):
        if (name := governor.read_text(encoding="ascii").strip()) == "powersave":
            cautions.append(
                f"the CPU's governor is {name}, which varies its clock: cpupower frequency-set -g"
                " performance"
            )
    return cautions


def _busy_cores(seconds: float = 0.1) -> float:
    """How many cores other work uses while this process sleeps; 0 where the kernel does not say."""

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
    """Cores this process may use."""
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
