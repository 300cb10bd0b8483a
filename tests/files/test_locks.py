"""A lock keeps others out while it is held and while its process lives, and not longer."""

import subprocess
import sys
from pathlib import Path

import pytest

from actcompare.errors import ActcompareError
from actcompare.files.locks import locked

HOLD = """
import sys
from pathlib import Path
from actcompare.files.locks import locked
lock = locked(Path(sys.argv[1]), Path("it"), "run", "folder")
print("held", flush=True)
sys.stdin.read()
"""
BUSY = "another run is writing to it: wait for it, or choose another folder"


def take(path: Path) -> None:
    locked(path, Path("it"), "run", "folder").release()


def test_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    lock = locked(path, Path("it"), "run", "folder")
    with pytest.raises(ActcompareError, match=BUSY):
        take(path)
    lock.release()
    take(path)
    take(path)  # what is left of it locks nothing


@pytest.mark.parametrize("end", ["kill", "terminate", "close"])
def test_the_lock_of_another_process_ends_with_it(tmp_path: Path, end: str) -> None:
    path = tmp_path / ".lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stdin
        process.stdout.readline()
        with pytest.raises(ActcompareError, match=BUSY):
            take(path)
        process.stdin.close() if end == "close" else getattr(process, end)()
        process.wait()
    take(path)


def test_what_cannot_be_locked_is_told(tmp_path: Path) -> None:
    with pytest.raises(ActcompareError, match="cannot write it: Is a directory"):
        take(tmp_path)
