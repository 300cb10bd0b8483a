"""Closed, full and abandoned streams; signals."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import Run

ACTCOMPARE = f"{sys.executable} -m actcompare"


def shell(line: str) -> tuple[int, str, str]:
    """Run a line of the shell, where `actcompare` stands for the command."""
    script = line.replace("actcompare", ACTCOMPARE)
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def test_without_stderr_the_work_is_done(in_tmp: Path) -> None:
    code, out, _ = shell("actcompare eval 0.1 --act relu --output r.csv 2>&-")
    assert (code, out) == (0, "")
    assert (in_tmp / "r.csv").read_text().startswith("x,")


@pytest.mark.parametrize("command", ["list", "--help", "--version"])
@pytest.mark.parametrize(
    ("stdout", "why"), [("&-", "it is closed"), ("/dev/full", "No space left on device")]
)
def test_without_stdout_there_is_one_line(command: str, stdout: str, why: str) -> None:
    code, _, err = shell(f"actcompare {command} >{stdout}")
    assert code == 1
    assert err.startswith("error: ")
    assert err.endswith(f"{why}\n")
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", ["bench --help", "list"])
def test_a_reader_that_leaves_is_no_failure(command: str) -> None:
    code, out, err = shell(f"set -o pipefail; actcompare {command} | head -1")
    assert (code, err, out.count("\n")) == (0, "", 1)


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_while_torch_loads(in_tmp: Path, sent: signal.Signals, code: int) -> None:
    (in_tmp / "torch.py").write_text(
        "import time\nopen('loading', 'w').close()\n"
        "try:\n    time.sleep(60)\nexcept BaseException:\n    raise SystemError('aborted')\n"
    )
    line = [sys.executable, "-m", "actcompare", "eval", "1"]
    process = subprocess.Popen(line, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (in_tmp / "loading").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(sent)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (code, "interrupted\n" * (code == 130))


def test_only_a_users_warnings_are_shown(in_tmp: Path) -> None:
    (in_tmp / "mine.py").write_text(
        "import warnings, torch\n"
        "def f(x):\n"
        "    warnings.warn('of mine')\n"
        "    torch.nn.functional.softmax(x)  # warns of the dimension that is missing\n"
        "    return x\n"
    )
    code, _, err = shell("actcompare eval 1 --act mine.py:f")
    assert code == 0
    assert "UserWarning: of mine" in err
    assert "softmax has been deprecated" not in err


def test_what_ends_the_process_is_an_error(in_tmp: Path, run: Run) -> None:
    (in_tmp / "mine.py").write_text("import sys\ndef f(x): sys.exit(7)\n")
    done = run("eval", "1", "--act", "mine.py:f")
    assert done.exit_code == 1
    assert done.stderr.startswith("error: ")
