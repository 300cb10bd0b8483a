"""Cores: those that this process may use, and those that are free."""

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")

LEEWAY = 0.25
"""A core counts as free while other processes use at most this share of it."""


def allowed_cores() -> set[int]:
    """Return the numbers of the cores in this process's affinity."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def usable_cores(proc: Path = PROC) -> int:
    """Return the number of cores that this process may use: by affinity and by its quota."""
    return max(1, int(min(len(allowed_cores()), cpu_quota(proc))))


def free_cores(seconds: float = 0.1, proc: Path = PROC) -> int:
    """Return how many of the usable cores other processes leave free, at least 1."""
    left = int(len(allowed_cores()) - busy_cores(seconds, proc) + LEEWAY)
    return max(1, min(left, usable_cores(proc)))


def busy_cores(seconds: float = 0.1, proc: Path = PROC) -> float:
    """Return how many of the cores in this process's affinity other processes use.

    It is 0 if the kernel does not report it.
    """
    try:
        own, total, idle = time.process_time(), *_ticks(proc)
        time.sleep(seconds)
        own_later, total_later, idle_later = time.process_time(), *_ticks(proc)
    except (OSError, ValueError):
        return 0.0
    if total_later <= total:
        return 0.0
    cores = len(allowed_cores())
    share = 1 - (idle_later - idle) / (total_later - total)
    return min(cores, max(0.0, share * cores - (own_later - own) / seconds))


def stolen_s(proc: Path = PROC) -> float:
    """Return the seconds for which a hypervisor has kept the allowed cores waiting so far."""
    try:
        return sum(ticks[7] for ticks in _core_ticks(proc)) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return 0.0


def cpu_quota(proc: Path = PROC) -> float:
    """Return the cores' worth of time that control groups allow; infinite without a limit.

    It is the smallest quota on the path from this process's group to the root, in cgroup v2
    (`cpu.max`) and v1 (`cpu.cfs_quota_us`).

    Source: cgroups(7), and the kernel's documents on cgroup v2 and on CFS bandwidth control.
    """
    limits = [float("inf")]
    for folder in _groups(proc):
        try:
            if (folder / "cpu.max").exists():
                quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
            else:
                quota = (folder / "cpu.cfs_quota_us").read_text(encoding="ascii")
                period = (folder / "cpu.cfs_period_us").read_text(encoding="ascii")
            if int(quota) > 0:  # -1 and `max` are no limit
                limits.append(int(quota) / int(period))
        except (OSError, ValueError, ZeroDivisionError):
            continue
    return min(limits)


def _groups(proc: Path) -> Iterator[Path]:
    """Yield the folders of this process's CPU control groups, each with all above it."""
    try:
        memberships = (proc / "self/cgroup").read_text(encoding="utf-8").splitlines()
        mounts = (proc / "self/mountinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for membership in memberships:
        _, _, rest = membership.partition(":")
        controllers, _, group = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        for mount in mounts:
            before, _, after = mount.partition(" - ")
            kind, _, options = after.split()[:3]
            right = kind == "cgroup2" if not controllers else "cpu" in options.split(",")
            if not right or not kind.startswith("cgroup"):
                continue
            root, point = map(_unescaped, before.split()[3:5])
            inside = os.path.relpath(group, root)
            # A group outside the part that is mounted shows only through the mount's own folder.
            folder = Path(point) / ("" if inside.startswith("..") else inside)
            yield folder
            yield from (each for each in folder.parents if each.is_relative_to(point))


def _unescaped(path: str) -> str:
    """Return a path of mountinfo, where spaces and the like are written in octal."""
    return re.sub(r"\\(\d{3})", lambda found: chr(int(found[1], 8)), path)


def _ticks(proc: Path) -> tuple[int, int]:
    """Return the clock ticks of the allowed cores so far: all, and the idle ones."""
    found = list(_core_ticks(proc))
    return sum(map(sum, found)), sum(ticks[3] + ticks[4] for ticks in found)


def _core_ticks(proc: Path) -> Iterator[list[int]]:
    """Yield the clock ticks of each allowed core: user, nice, system, idle, ... and steal."""
    names = {f"cpu{number}" for number in allowed_cores()}
    for line in (proc / "stat").read_text(encoding="ascii").splitlines():
        name, *fields = line.split()
        if name in names:
            yield [int(field) for field in fields[:8]]
