"""A short run of the kills; the long one is `python -m tests.robustness.kills`."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.robustness.kills import can_trace


def test_nothing_that_was_promised_is_lost() -> None:
    if not can_trace():
        pytest.skip("strace is absent or may not trace")
    command = [sys.executable, "-m", "tests.robustness.kills", "--count", "24", "--seed", "0"]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "24 attacks, 0 failures" in done.stdout
