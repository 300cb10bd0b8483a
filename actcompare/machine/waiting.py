"""How long the kernel kept the threads of this process waiting for a core."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from actcompare.machine.cores import stolen_s

BUSY_SHARE = 0.1
"""If a larger share of a time was waiting, the machine was not this process's own."""

TASKS = Path("/proc/self/task")

_STEAL_STEP = 0.01
"""The kernel counts stolen time in steps of this many seconds."""


class Waiting:
    """Seconds so far that threads were ready to run and waited for a core.

    They are the sum over the threads of this process of the kernel's run-queue delays, plus the
    time that a hypervisor withheld from a virtual machine. A thread that spins at a barrier because
    another one waits looks busy itself: only the other one's delay shows it.

    A reading takes about 1 us and 0.7 us per thread. Involuntary switches (0.4 us) count waits but
    not their length; wall time less the thread's own (0.3 us) also counts sleep, and does not see
    that a thread spins.

    Source: the kernel's Documentation/scheduler/sched-stats.rst, /proc/<pid>/schedstat.
    """

    def __init__(
        self,
        tasks: Path | None = None,
        stolen: Callable[[], float] = stolen_s,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tasks, self._stolen, self._now = tasks or TASKS, stolen, now
        self._open: dict[str, int] = {}
        self._delays: dict[str, int] = {}
        """Nanoseconds of each thread, those that have ended included."""
        self._links = -1
        self._looked, self._steal = now(), stolen()

    def __call__(self) -> float:
        """Return the seconds so far."""
        if self._tasks.stat().st_nlink != self._links:
            self._take_up()
        for thread, file in self._open.items():
            try:
                self._delays[thread] = int(os.pread(file, 100, 0).split()[1])
            except OSError:  # it has ended, and another may have begun
                self._links = -1
        # Reading this takes long on machines with many cores.
        if self._now() >= self._looked + _STEAL_STEP:
            self._looked, self._steal = self._now(), self._stolen()
        return sum(self._delays.values()) / 1e9 + self._steal

    def _take_up(self) -> None:
        """Open the files of the threads that there are now."""
        self.close()
        self._links = self._tasks.stat().st_nlink
        for thread in self._tasks.iterdir():
            try:
                file = os.open(thread / "schedstat", os.O_RDONLY)
            except OSError:  # it has ended
                continue
            self._open[thread.name] = file

    def close(self) -> None:
        """Close the files."""
        while self._open:
            os.close(self._open.popitem()[1])

    __del__ = close


def waiting_caution(share: float | None, what: str) -> str:
    """Return a caution if the machine was not this process's own; empty if it was, or is unknown.

    Args:
        share: Seconds for which threads waited for a core, per second of `what`.
        what: Name of the time.
    """
    if share is None or share <= BUSY_SHARE:
        return ""
    return (
        f"the machine was busy: per second of {what}, threads waited {share:.2g} s for a core; on"
        " an idle machine it is faster"
    )


def waiting_time() -> Callable[[], float] | None:
    """Return a function that returns the seconds so far; None if the kernel does not count them."""
    waiting = Waiting()
    try:
        waiting()
    except (OSError, ValueError, IndexError):
        return None
    return waiting if waiting._delays else None
