"""Train the groups of a study in this process or in worker processes.

Each engine takes a plan and groups of cells, and yields the outcomes of each group as it finishes,
in any order. A group whose worker is lost is retried; after ATTEMPTS its cells count as failed.
"""

import contextlib
import io
import os
import pickle
import selectors
import signal
import struct
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any

from actcompare.errors import ActcompareError
from actcompare.studies.cells import run_group
from actcompare.studies.fits.call import run_fit
from actcompare.studies.fits.plan import FitPlan
from actcompare.studies.plan import Plan
from actcompare.studies.records import Cell, Failure, Outcome

Group = tuple[Cell, ...]

AnyPlan = Plan | FitPlan

Engine = Callable[[AnyPlan, Sequence[Group]], Iterator[list[Outcome]]]

ATTEMPTS = 3

_LENGTH = struct.Struct("<Q")


def run(plan: AnyPlan, group: Group) -> list[Outcome]:
    """Train a group of SimpleNets, or call a user's fit."""
    return run_fit(plan, group) if isinstance(plan, FitPlan) else run_group(plan, group)


def in_this_process(plan: AnyPlan, groups: Sequence[Group]) -> Iterator[list[Outcome]]:
    """Yield the outcomes of one group after the other."""
    for group in groups:
        yield run(plan, group)


def local(plan: AnyPlan, groups: Sequence[Group], workers: int) -> Iterator[list[Outcome]]:
    """Train in new processes on this machine; a single worker needs none.

    Raises:
        ActcompareError: The plan holds functions that cannot be sent to another process.
    """
    workers = min(workers, len(groups))
    if workers <= 1:
        yield from in_this_process(plan, groups)
        return
    packed, waiting, attempts = packed_plan(plan), deque(groups), dict.fromkeys(groups, 0)
    with contextlib.ExitStack() as started, selectors.DefaultSelector() as selector:

        def start(count: int) -> None:
            new = [Worker() for _ in range(count)]
            for worker in new:  # all are loading torch by now
                started.callback(worker.stop)
                worker.begin(packed)
                worker.send(waiting.popleft())
                selector.register(worker.results, selectors.EVENT_READ, worker)

        start(workers)
        while selector.get_map():
            for key, _ in selector.select():
                worker: Worker = key.data
                done = worker.receive()
                if done == []:  # it has loaded the plan
                    continue
                if done is not None:
                    yield done
                    if waiting:
                        worker.send(waiting.popleft())
                    else:
                        selector.unregister(worker.results)
                    continue
                selector.unregister(worker.results)  # it was killed or crashed
                attempts[worker.group] += 1
                if attempts[worker.group] < ATTEMPTS:
                    waiting.append(worker.group)
                else:
                    yield lost(worker.group, "its process was killed or crashed")
                if waiting:
                    start(1)


def lost(group: Group, why: str) -> list[Outcome]:
    """Return the failures of a group whose worker was lost too often."""
    what = f"lost {ATTEMPTS} times: {why}; the usual cause is too little memory"
    return [Failure(cell, what) for cell in group]


class Worker:
    """A process that trains the groups it receives; it ends with its parent."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        # multiprocessing would run the caller's script again in every process.
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from actcompare.studies.engines.workers import work; work()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,  # a result that waits in a buffer of ours would wake no selector
            env=os.environ
            | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            | dict(environment or {}),
            start_new_session=True,  # interrupts go to the parent, which ends its workers
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._tasks, self.results = self._process.stdin, self._process.stdout
        self.group: Group = ()

    def begin(self, plan: bytes) -> None:
        """Send the packed plan; the process answers with the empty list when it has loaded it."""
        with contextlib.suppress(BrokenPipeError):  # `receive` notices the loss
            _write(self._tasks, plan)

    def send(self, group: Group) -> None:
        """Send a group to train."""
        self.group = group
        with contextlib.suppress(BrokenPipeError):
            _write(self._tasks, pickle.dumps(group))

    def receive(self) -> list[Outcome] | None:
        """Return the outcomes of the group, or None if the process is gone."""
        message = _read(self.results)
        if message is None:
            return None
        outcomes: list[Outcome] = pickle.loads(message)
        return outcomes

    def ended(self, patience_s: float = 0) -> int | None:
        """Return the exit code of the process, or None while it lives."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(patience_s)
        return None

    def kill(self) -> None:
        """Kill the process, and those that it started."""
        with contextlib.suppress(ProcessLookupError, AttributeError):  # Windows has no killpg
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()

    def stop(self) -> None:
        """Kill the process, and those that it started, and forget it."""
        if self.results.closed:
            return
        self.kill()
        self._process.wait()
        with contextlib.suppress(BrokenPipeError):
            self._tasks.close()
        self.results.close()


def work() -> None:
    """Train incoming groups until the input closes: the main function of a worker process."""
    import queue
    import threading

    results, tasks = os.fdopen(os.dup(1), "wb"), os.fdopen(os.dup(0), "rb")
    os.dup2(2, 1)  # keep prints of user code out of the results
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # and keep it from reading tasks
    waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def listen() -> None:
        while (message := _read(tasks)) is not None:
            waiting.put(message)
        with contextlib.suppress(AttributeError):  # the parent is gone; Windows has no killpg
            os.killpg(os.getpid(), signal.SIGKILL)  # and with it goes what a fit has started
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    plan: AnyPlan = pickle.loads(waiting.get())
    outcomes: list[Outcome] = []
    with contextlib.suppress(BrokenPipeError):  # the parent is gone
        while True:
            _write(results, pickle.dumps(outcomes))
            outcomes = run(plan, pickle.loads(waiting.get()))


def _write(stream: IO[bytes], message: bytes) -> None:
    left = memoryview(_LENGTH.pack(len(message)) + message)
    while left:
        left = left[stream.write(left) :]
    stream.flush()


def _read(stream: IO[bytes]) -> bytes | None:
    head = _read_all(stream, _LENGTH.size)
    return None if head is None else _read_all(stream, *_LENGTH.unpack(head))


def _read_all(stream: IO[bytes], length: int) -> bytes | None:
    """Return so many bytes, or None where the stream ends before."""
    parts, left = list[bytes](), length
    while left:
        part = stream.read(left)
        if not part:
            return None
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def can_be_sent(plan: AnyPlan) -> bool:
    """Return whether the plan can be sent to another process; a script's functions cannot."""
    try:
        packed_plan(plan)
    except ActcompareError:
        return False
    return True


def packed_plan(plan: AnyPlan) -> bytes:
    """Return a plan as it is sent to other processes.

    Raises:
        ActcompareError: It holds functions that cannot be sent.
    """
    out = io.BytesIO()
    try:
        for function in (each.function for each in plan.users_own()):
            if getattr(function, "__module__", type(function).__module__) == "__main__":
                raise pickle.PicklingError("it belongs to a script or a notebook")
        pickle.dump(plan, out)
    except (AttributeError, TypeError, pickle.PicklingError) as error:
        names = ", ".join(each.label for each in plan.users_own())
        cure = "" if isinstance(plan, FitPlan) else ", or use one worker"
        raise ActcompareError(
            f"{names} cannot be sent to other processes ({error}): give it as module:Name{cure}"
        ) from error
    return out.getvalue()
