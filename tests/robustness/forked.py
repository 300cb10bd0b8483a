"""Run a command line in a forked process with limits on time and memory, and judge how it ends."""

import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

LONGEST_S = 30
"""Processor time that a case may take, and a tenth of the time on the clock."""

MOST_BYTES = 2 * 2**30
"""Memory that a case may take beyond that of this process."""

MARK = "EXECUTED"
"""A file that appears if code in a file was run."""


USERS = "error: model.py:build fails"
"""How the line begins that a model of a user's ends in."""


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    """Exit code; negative if a signal ended it."""
    stderr: str
    seconds: float
    grown: int
    """Bytes by which it outgrew this process."""


def run_in_fork(arguments: Sequence[str], folder: Path) -> Ended:
    """Run actcompare's command line in a folder."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    sys.stdout.flush()
    sys.stderr.flush()
    start, child = time.monotonic(), os.fork()
    if child == 0:
        _be_the_child(arguments, folder)
    while True:
        done, status, usage = os.wait4(child, os.WNOHANG)
        if done:
            break
        if time.monotonic() > start + 10 * LONGEST_S:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.002)
    text = (folder / "stderr").read_text(encoding="utf-8", errors="replace")
    grown = max(0, usage.ru_maxrss * 1024 - before)
    return Ended(os.waitstatus_to_exitcode(status), text, time.monotonic() - start, grown)


def _be_the_child(arguments: Sequence[str], folder: Path) -> None:
    code = 99
    try:
        os.chdir(folder)
        for name, number in (("stdout", 1), ("stderr", 2)):
            os.dup2(os.open(name, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), number)
            setattr(sys, name, os.fdopen(number, "w", encoding="utf-8"))
        warnings.resetwarnings()
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        limit = size + 3 * MOST_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CPU, (LONGEST_S, LONGEST_S))
        from actcompare.cli.app import app

        app(list(arguments))
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def fault(ended: Ended, folder: Path) -> str | None:
    """Return what is wrong with an ending: anything but success or one clear line."""
    lines = ended.stderr.splitlines()
    if lines and lines[-1].startswith(USERS) and "/actcompare/" not in ended.stderr:
        lines = lines[-1:]  # after the traceback of a user's own code
    errors = [line for line in lines if not line.startswith("warning: ")]
    if (folder / MARK).exists():
        return "code in the file was run"
    if ended.code < 0:
        return f"ended by signal {-ended.code} after {ended.seconds:.0f} s"
    if ended.grown > MOST_BYTES:
        return f"took {ended.grown / 2**20:,.0f} MiB"
    if (
        any("Traceback" in line or "bug in actcompare" in line for line in lines)
        or ended.code == 99
    ):
        return "a defect"
    if ended.code not in (0, 1, 2):
        return f"exit code {ended.code}"
    if ended.code and not (len(errors) == 1 and errors[0].startswith("error: ")):
        return f"{len(errors)} lines of errors"
    if ended.code == 0 and any(line.startswith("error") for line in errors):
        return "an error, but exit code 0"
    if any(len(line) > 2000 for line in errors):
        return "an endless line"
    return None


Case = Callable[[random.Random, Path], Sequence[str]]
"""Makes the files of a case in a folder, and returns the command line that reads them."""


def attack(cases: Sequence[Case], numbers: Iterable[int], seed: int) -> list[str]:
    """Run cases in turn, each with the generator of its number; return what fell."""
    fell = []
    for number in numbers:
        rng = random.Random(f"{seed} {number}")
        case = cases[number % len(cases)]
        with tempfile.TemporaryDirectory() as folder:
            arguments = case(rng, Path(folder))
            ended = run_in_fork(arguments, Path(folder))
            wrong = fault(ended, Path(folder))
        if wrong is not None:
            said = ended.stderr.strip()[-600:]
            fell.append(f"case {number} of seed {seed}: {' '.join(arguments)}: {wrong}\n{said}")
            print(fell[-1], flush=True)
    return fell


def main(cases: Sequence[Case], what: str) -> None:
    """Run cases as the command line says, and report how many fell."""
    import argparse

    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    given = parser.parse_args()
    warm_up()
    fell = attack(cases, range(given.first, given.first + given.count), given.seed)
    print(f"{given.count} {what}: {len(fell)} fell")
    sys.exit(bool(fell))


def warm_up() -> None:
    """Import what commands import, so that forks need not."""
    import pandas  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    import pydantic  # noqa: F401
    import torch

    import actcompare.benchmark.command
    import actcompare.cli.app
    import actcompare.inspection.inspect
    import actcompare.studies.study
    import actcompare.training.train  # noqa: F401

    torch.set_num_threads(1)
