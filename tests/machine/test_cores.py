"""Quotas, busy cores and stolen time, over planted files of the kernel."""

import os
import time
from pathlib import Path

import pytest

from actcompare.machine import cores
from actcompare.machine.cores import busy_cores, cpu_quota, free_cores, stolen_s, usable_cores


class Kernel:
    """A /proc and a mounted tree of control groups that are made up."""

    def __init__(self, root: Path) -> None:
        self.proc, self.groups = root / "proc", root / "cgroup folder"
        (self.proc / "self").mkdir(parents=True)
        self.write("self/mountinfo", "")

    def write(self, name: str, text: str) -> None:
        (self.proc / name).write_text(text, encoding="utf-8")

    def mount(self, membership: str, kind: str, options: str = "rw", root: str = "/") -> None:
        point = str(self.groups).replace(" ", "\\040")
        self.write("self/cgroup", membership)
        self.write("self/mountinfo", f"30 24 0:26 {root} {point} rw - {kind} none {options}\n")

    def limit(self, group: str, **files: str) -> None:
        folder = self.groups / group
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name.replace("__", ".")).write_text(text, encoding="ascii")

    def stat(self, *lines: tuple[int, ...]) -> None:
        """Ticks of each core: user, nice, system, idle, iowait, irq, softirq, steal."""
        total = tuple(map(sum, zip(*lines, strict=True)))
        rows = [("cpu", total), *((f"cpu{i}", line) for i, line in enumerate(lines))]
        self.write("stat", "".join(f"{name} {' '.join(map(str, row))} 0 0\n" for name, row in rows))


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path)


@pytest.fixture(autouse=True)
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)


def test_without_a_limit_affinity_decides(kernel: Kernel) -> None:
    assert cpu_quota(kernel.proc) == float("inf")
    assert usable_cores(kernel.proc) == 4
    kernel.mount("0::/a/b\n", "cgroup2")
    kernel.limit("a/b", cpu__max="max 100000\n")
    assert usable_cores(kernel.proc) == 4


@pytest.mark.parametrize(
    ("inner", "outer", "cores_"), [("150000", "max", 1), ("max", "200000", 2), ("50000", "9", 1)]
)
def test_the_smallest_quota_up_to_the_root_counts(
    kernel: Kernel, inner: str, outer: str, cores_: int
) -> None:
    kernel.mount("0::/a/b/c\n", "cgroup2")
    kernel.limit("a/b", cpu__max=f"{inner} 100000\n")
    kernel.limit("", cpu__max=f"{outer} 100000\n")
    assert usable_cores(kernel.proc) == cores_


@pytest.mark.parametrize(("quota", "cores_"), [("-1", 4), ("250000", 2), ("90000", 1)])
def test_version_1_has_its_own_files(kernel: Kernel, quota: str, cores_: int) -> None:
    kernel.mount("4:memory:/x\n3:cpuacct,cpu:/a\n0::/\n", "cgroup", "rw,cpuacct,cpu")
    kernel.limit("a", cpu__cfs_quota_us=quota, cpu__cfs_period_us="100000")
    assert usable_cores(kernel.proc) == cores_


@pytest.mark.parametrize("root", ["/docker/abc", "/elsewhere"])
def test_a_container_sees_its_group_as_the_root_of_the_mount(kernel: Kernel, root: str) -> None:
    kernel.mount("0::/docker/abc\n", "cgroup2", root=root)
    kernel.limit("", cpu__max="200000 100000")
    assert usable_cores(kernel.proc) == 2


def test_what_cannot_be_read_is_no_limit(kernel: Kernel) -> None:
    kernel.mount("0::/a\n", "cgroup2")
    kernel.limit("a", cpu__max="nonsense")
    assert cpu_quota(kernel.proc) == float("inf")
    assert busy_cores(0, kernel.proc) == 0
    assert stolen_s(kernel.proc) == 0


@pytest.mark.parametrize(
    ("busy", "free"), [((0, 0, 0, 0), 4), ((0, 0, 0, 100), 3), ((60, 60, 0, 0), 3), ((100,) * 4, 1)]
)
def test_what_others_use_is_not_free(
    kernel: Kernel, busy: tuple[int, ...], free: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def later(_: float) -> None:
        kernel.stat(*((10 + ticks, 0, 0, 10 + 100 - ticks, 0, 0, 0, 0) for ticks in busy))

    kernel.stat(*[(10, 0, 0, 10, 0, 0, 0, 0)] * 4)
    monkeypatch.setattr(time, "sleep", later)
    monkeypatch.setattr(time, "process_time", lambda: 0.0)
    assert busy_cores(0.1, kernel.proc) == pytest.approx(sum(busy) / 100)
    kernel.stat(*[(10, 0, 0, 10, 0, 0, 0, 0)] * 4)
    assert free_cores(0.1, kernel.proc) == free


def test_cores_of_others_and_own_time_do_not_count(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def later(_: float) -> None:
        kernel.stat((10, 0, 0, 0, 0, 0, 0, 0), *[(10, 0, 0, 0, 0, 0, 0, 0)] * 3)

    times = iter([1.0, 1.1])
    kernel.stat(*[(0,) * 8] * 4)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 2}, raising=False)
    monkeypatch.setattr(time, "sleep", later)
    monkeypatch.setattr(time, "process_time", lambda: next(times))
    assert busy_cores(0.1, kernel.proc) == pytest.approx(1)


def test_stolen_time_is_in_seconds(kernel: Kernel) -> None:
    kernel.stat((0, 0, 0, 0, 0, 0, 0, 25), (0, 0, 0, 0, 0, 0, 0, 25))
    assert stolen_s(kernel.proc) == pytest.approx(50 / os.sysconf("SC_CLK_TCK"))


def test_the_machine_itself_can_be_read() -> None:
    assert cpu_quota(cores.PROC) > 0
    assert 0 <= busy_cores(0.001) <= 4
