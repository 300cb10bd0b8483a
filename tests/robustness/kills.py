"""Kill and starve processes that write; nothing that was promised may be lost.

    python -m tests.robustness.kills --count 400 --seed 0

A victim writes a study's store, the folder of a run, a saved benchmark or an output file. It is
killed at a random time or at its n-th system call of a kind, or that call fails with ENOSPC or EIO,
once or from then on, or two of them start at once. Then:

- it ended with success or an ActcompareError, within seconds;
- each result that it had reported as kept is there, with the bits of an undisturbed process;
- the next start works, and arrives at what an undisturbed process arrives at.

Victims are forked from this process, which has everything imported, and traced by strace. Where it
is absent, there are only random kills and pairs.
"""

import argparse
import collections
import hashlib
import math
import mmap
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from actcompare import resume, study, train
from actcompare.benchmark import saved
from actcompare.errors import ActcompareError
from actcompare.files.writing import open_output
from actcompare.studies.records import CellResult
from actcompare.studies.store import Store
from actcompare.training.checkpoints import Folder
from tests.benchmark.runs import CASE, benchmark

Ack = Callable[[int], None]
"""Told how many results are kept."""

X = np.random.default_rng(0).normal(size=(60, 3))
DATA: Any = (X, (X[:, 0] > 0).astype(int))
STEPS = 4
PATIENCE_S = 60.0
CALLS = {
    *("openat", "write", "pwrite64", "fsync", "fdatasync", "rename", "renameat", "renameat2"),
    *("unlink", "unlinkat", "mkdir", "mkdirat", "ftruncate", "flock", "fcntl", "rmdir"),
}


@dataclass(frozen=True)
class Victim:
    """Something that writes into a folder, starting or going on."""

    work: Callable[[Path, Ack], object]
    kept: Callable[[Path], list[Any]]
    """Return the results in a folder, which are comparable with those of another."""


def write_store(folder: Path, ack: Ack) -> None:
    study(
        ("relu", "softplus", "tanh", "elu"),
        DATA,
        store=folder / "s.db",
        listen=lambda work: ack(work.done),
        seeds=2,
        lr=0.1,
        hidden=4,
        epochs=1,
        workers=1,
    )


def read_store(folder: Path) -> list[Any]:
    if not (folder / "s.db").exists():
        return []
    with Store(folder / "s.db", only_shown=True) as store:
        found = store.outcomes()
    return [
        replace(each, step_s=None, waited_share=None)
        for each in found
        if isinstance(each, CellResult)
    ]


def write_run(folder: Path, ack: Ack) -> None:
    path = folder / "run"
    keep: dict[str, Any] = {"listen": lambda run: ack(len(run.history))}
    if list(path.glob("epoch-*")):
        resume(path, data=DATA, **keep)
    else:
        train("relu", DATA, hidden=4, epochs=STEPS, save=path, **keep)


def read_run(folder: Path) -> list[Any]:
    if not list(folder.glob("run/epoch-*")):
        return []
    with Folder.open(folder / "run") as opened:
        last = opened.load()
    bits = b"".join(tensor.numpy().tobytes() for tensor in last.weights.values())
    scores = [(epoch.epoch, astuple(epoch.train), epoch.layers) for epoch in last.history]
    return [*scores[:-1], (*scores[-1], hashlib.sha256(bits).hexdigest())]


def write_bench(folder: Path, ack: Ack) -> None:
    for done in range(1, STEPS + 1):
        part = replace(WHOLE, measurements=WHOLE.measurements[:done])
        with open_output(folder / "b.json") as out:
            out.write(saved.dumps(part))
        ack(done)


def read_bench(folder: Path) -> list[Any]:
    path = folder / "b.json"
    return list(map(repr, saved.load(path).measurements)) if path.exists() else []


TEXT = "".join(f"{i},{i * i}\n" for i in range(30_000))


def write_output(folder: Path, ack: Ack) -> None:
    with open_output(folder / "o.csv") as out:
        out.write(TEXT)
    ack(1)


def read_output(folder: Path) -> list[Any]:
    path = folder / "o.csv"
    return [path.read_text()] if path.exists() else []


PARTS = [benchmark(case=replace(CASE, shape=(1000 + k,)), seed=k) for k in range(STEPS)]
WHOLE = replace(
    PARTS[0],
    config=replace(PARTS[0].config, cases=tuple(each.config.cases[0] for each in PARTS)),
    measurements=tuple(each.measurements[0] for each in PARTS),
)
VICTIMS = {
    "store": Victim(write_store, read_store),
    "run": Victim(write_run, read_run),
    "bench": Victim(write_bench, read_bench),
    "output": Victim(write_output, read_output),
}


# --- one process ----------------------------------------------------------------------------------


class Process:
    """A forked process with a victim; it waits until it is let go."""

    def __init__(self, victim: Victim, folder: Path) -> None:
        self._kept = mmap.mmap(-1, mmap.PAGESIZE)  # shared, and written without a system call
        self._gate, gate = os.pipe()
        self.ended: int | None = None
        sys.stdout.flush()
        self.pid = os.fork()
        if not self.pid:
            os.close(gate)
            self._live(victim, folder)
        os.close(self._gate)
        self._gate = gate

    def _live(self, victim: Victim, folder: Path) -> None:
        code = 70
        try:
            os.read(self._gate, 1)
            victim.work(folder, self._ack)
            code = 0
        except ActcompareError as error:
            self._tell(str(error))
            code = 1
        except BaseException:
            self._tell(traceback.format_exc())
        finally:
            os._exit(code)

    def _tell(self, text: str) -> None:
        said = text.encode()[-mmap.PAGESIZE + 1 :]
        self._kept[1 : 1 + len(said)] = said

    @property
    def said(self) -> str:
        """Its error, if any."""
        return self._kept[1:].rstrip(b"\0").decode(errors="replace")

    def _ack(self, count: int) -> None:
        self._kept[0] = count

    @property
    def acked(self) -> int:
        """Number of results reported as kept."""
        return self._kept[0]

    def go(self) -> None:
        os.close(self._gate)

    def wait(self) -> int:
        """Return the exit code, negative for a signal."""
        end = time.monotonic() + PATIENCE_S
        while self.ended is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.ended = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > end:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                self.ended = 124
            else:
                time.sleep(0.001)
        return self.ended


@contextmanager
def traced(process: Process, log: Path, *expressions: str) -> Iterator[None]:
    command = ["strace", "-f", "-p", str(process.pid), "-o", str(log)]
    for expression in expressions:
        command += ["-e", expression]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
        assert tracer.stderr is not None
        said = tracer.stderr.readline()
        if "attached" not in said:
            raise RuntimeError(f"strace cannot trace: {said.strip()}")
        yield
        process.wait()


def can_trace() -> bool:
    """Return whether strace is installed and may trace our processes."""
    if shutil.which("strace") is None:
        return False
    with subprocess.Popen(["sleep", "60"]) as other:
        command = ["strace", "-p", str(other.pid), "-o", os.devnull]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
            assert tracer.stderr is not None
            attached = "attached" in tracer.stderr.readline()
            other.kill()
    return attached


# --- attacks --------------------------------------------------------------------------------------


def at_a_random_time(process: Process, whole_s: float, dice: random.Random) -> str:
    process.go()
    delay = dice.uniform(0, 1.1 * whole_s)
    time.sleep(delay)
    os.kill(process.pid, signal.SIGKILL)
    return f"after {1000 * delay:.1f} ms"


def at_a_call(
    process: Process, log: Path, calls: collections.Counter[str], how: str, dice: random.Random
) -> str:
    """Let the n-th call of a kind, each call equally likely, end in a signal or an error."""
    name = dice.choice(sorted(calls))  # rare kinds matter as much as frequent ones
    n = dice.randint(1, calls[name])
    expression = f"inject={name}:{how}:when={n}{'+' * (dice.random() < 0.5)}"
    with traced(process, log, f"trace={name}", expression):
        process.go()
    return expression


HOW = {"kill at a call": "signal=KILL", "ENOSPC": "error=ENOSPC", "EIO": "error=EIO"}
RANDOM, PAIR = "random kill", "two at once"


def undisturbed(
    victim: Victim, base: Path, tracing: bool
) -> tuple[list[Any], float, collections.Counter[str]]:
    """Return what is kept in the end, the seconds taken, and the calls made of each kind."""
    calls: collections.Counter[str] = collections.Counter()
    taken = math.inf
    for k in range(3):
        folder, log = base / f"whole-{k}", base / "log"
        folder.mkdir()
        process = Process(victim, folder)
        start = time.perf_counter()
        if k or not tracing:
            process.go()
        else:
            with traced(process, log, "trace=%file,%desc"):
                process.go()
            found = re.findall(r"^\d+\s+(\w+)\(", log.read_text(errors="replace"), re.MULTILINE)
            calls = collections.Counter(name for name in found if name in CALLS)
        assert process.wait() == 0
        taken = min(taken, time.perf_counter() - start)
    return victim.kept(base / "whole-0"), taken, calls


def lost(victim: Victim, whole: list[Any], folder: Path, processes: list[Process]) -> str:
    """Say what is wrong after an attack; empty if nothing is."""
    ends = [process.wait() for process in processes]
    if any(end not in (0, 1, -signal.SIGKILL) for end in ends):
        return f"ended with {ends}: {' '.join(process.said for process in processes)}"
    try:
        kept = victim.kept(folder)
    except ActcompareError as error:
        if "no results yet" not in str(error):
            return f"cannot be read: {error}"
        kept = []
    acked = max(process.acked for process in processes)
    if len(kept) < acked:
        return f"{acked} were reported as kept, and {len(kept)} are there"
    if len(processes) == 1 and not is_part(kept, whole):
        return "what is kept differs"
    again = Process(victim, folder)
    again.go()
    if end := again.wait():
        return f"the next start ended with {end}: {again.said}"
    return "" if victim.kept(folder) == whole else "in the end, something else is kept"


def is_part(kept: list[Any], whole: list[Any]) -> bool:
    """Return whether results are the first ones; the last has a hash of the state then."""
    return [each[:3] if isinstance(each, tuple) else each for each in kept] == [
        each[:3] if isinstance(each, tuple) else each for each in whole[: len(kept)]
    ]


def attack_all(count: int, seed: int) -> int:
    """Attack, print the counts of each kind, and return the number of failures."""
    dice, failures, tracing = random.Random(seed), 0, can_trace()
    kinds = [RANDOM, PAIR, *(HOW if tracing else ())]
    done: collections.Counter[tuple[str, str]] = collections.Counter()
    messages: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as temporary:
        base = Path(temporary)
        known = {}
        for name, victim in VICTIMS.items():
            (base / name).mkdir()
            victim.work(base / name, lambda _: None)  # imports what is imported late
            known[name] = undisturbed(victim, base / name, tracing)
        for k in range(count):
            name, kind = dice.choice(sorted(VICTIMS)), dice.choice(kinds)
            victim, (whole, taken, calls) = VICTIMS[name], known[name]
            folder, log = base / f"{k}", base / "log"
            folder.mkdir()
            processes = [Process(victim, folder) for _ in range(1 + (kind == PAIR))]
            if kind == PAIR:
                for process in processes:
                    process.go()
                    time.sleep(dice.choice((0, 0, taken * dice.random())))
                how = ""
            elif kind == RANDOM:
                how = at_a_random_time(processes[0], taken, dice)
            else:
                how = at_a_call(processes[0], log, calls, HOW[kind], dice)
            wrong = lost(victim, whole, folder, processes)
            done[name, kind] += 1
            messages[re.sub(r"/\S*/", "", processes[0].said)] += 1
            if wrong:
                failures += 1
                print(f"FAILED {k}: {name}, {kind} {how}: {wrong}", flush=True)
                print("   ", sorted(each.name for each in folder.rglob("*")))
            shutil.rmtree(folder)
    for (name, kind), times in sorted(done.items()):
        print(f"{name:8}{kind:16}{times:6}")
    for message, times in messages.most_common():
        print(f"{times:6}  {message or '(no error)'}")
    print(f"{count} attacks, {failures} failures")
    return failures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    sys.exit(attack_all(asked.count, asked.seed) > 0)
