"""The kernel's run-queue delays, over planted files."""

from pathlib import Path

import pytest

from actcompare.machine import waiting
from actcompare.machine.waiting import Waiting, waiting_caution, waiting_time


class Threads:
    """The folder of a process's threads."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def wait(self, thread: int, seconds: float) -> None:
        (self.root / str(thread)).mkdir(exist_ok=True)
        text = f"123456 {int(seconds * 1e9)} 7\n"
        (self.root / str(thread) / "schedstat").write_text(text, encoding="ascii")


@pytest.fixture
def threads(tmp_path: Path) -> Threads:
    return Threads(tmp_path)


def test_the_waits_of_all_threads_count(threads: Threads) -> None:
    threads.wait(1, 2.0)
    threads.wait(2, 0.5)
    waited = Waiting(threads.root, stolen=lambda: 0.0)
    assert waited() == pytest.approx(2.5)
    threads.wait(2, 1.5)
    assert waited() == pytest.approx(3.5)


def test_new_threads_are_noticed_and_old_ones_not_forgotten(threads: Threads) -> None:
    threads.wait(1, 1.0)
    threads.wait(2, 1.0)
    waited = Waiting(threads.root, stolen=lambda: 0.0)
    assert waited() == pytest.approx(2.0)
    threads.wait(3, 4.0)
    assert waited() == pytest.approx(6.0)
    (threads.root / "2" / "schedstat").unlink()
    (threads.root / "2").rmdir()
    assert waited() == pytest.approx(6.0)


def test_stolen_time_counts_where_the_clock_has_moved(threads: Threads) -> None:
    threads.wait(1, 0.0)
    stolen, clock = iter([0.0, 0.03, 0.05]), iter([0.0, 0.001, 0.02, 0.02, 0.021, 0.04, 0.04])
    waited = Waiting(threads.root, lambda: next(stolen), lambda: next(clock))
    assert waited() == 0
    assert waited() == pytest.approx(0.03)
    assert waited() == pytest.approx(0.03)
    assert waited() == pytest.approx(0.05)


def test_files_are_closed(threads: Threads) -> None:
    threads.wait(1, 1.0)
    waited = Waiting(threads.root, stolen=lambda: 0.0)
    waited()
    assert waited._open
    waited.close()
    assert not waited._open
    assert waited() == pytest.approx(1.0)


def test_a_kernel_that_does_not_count_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in (tmp_path / "none", tmp_path):
        monkeypatch.setattr(waiting, "TASKS", folder)
        assert waiting_time() is None
    Threads(tmp_path).wait(1, 1.0)
    assert waiting_time() is not None


@pytest.mark.parametrize("share", [None, 0.0, 0.05])
def test_a_machine_of_ones_own_needs_no_caution(
    share: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "BUSY_SHARE", 0.1)
    assert waiting_caution(share, "training steps") == ""
    assert "per second of training steps, threads waited 0.45 s" in waiting_caution(
        0.45, "training steps"
    )
