"""Run each fit in a process apart, so that whatever it does, it fails alone.

A fit that ends its process, crashes it or takes too long is a failure of its cell; the next cell
gets a new process. Fits that return share one, so that torch is loaded once.
"""

import os
import queue
import selectors
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence

import torch

from actcompare.errors import UsageError
from actcompare.machine.cores import usable_cores
from actcompare.studies.engines.workers import Group, Worker, packed_plan
from actcompare.studies.fits.plan import FitPlan
from actcompare.studies.records import Failure, Outcome
from actcompare.text import duration

_LOOK_S = 0.2
"""Seconds between two looks at the process: a child that it forked may hold its pipe open."""

_ENDING_S = 5.0
"""Seconds that a process has to end after it has closed its pipe."""

_LOADING_S = 300.0
"""Seconds that a process has to load the fit, if there is a limit."""


class Apart:
    """Runs fits in a process apart, which it replaces when one dies."""

    def __init__(
        self, packed: bytes, limit_s: float | None, environment: Mapping[str, str]
    ) -> None:
        """Start nothing yet.

        Args:
            packed: The plan, pickled.
            limit_s: Seconds that a fit may take; None for any time.
            environment: Variables of the environment of the process.
        """
        self._packed, self._limit_s, self._environment = packed, limit_s, dict(environment)
        self._worker: Worker | None = None

    def run(self, group: Group) -> list[Outcome]:
        """Return what the fit of a cell came to."""
        worker = self._worker
        if worker is None:
            worker = self._worker = Worker(self._environment)
            worker.begin(self._packed)
            if (ended := self._wait(worker, self._limit_s and _LOADING_S)) != []:
                return self._lost(group, ended)
        worker.send(group)
        done = self._wait(worker, self._limit_s)
        return done if isinstance(done, list) else self._lost(group, done)

    def _wait(self, worker: Worker, limit_s: float | None) -> list[Outcome] | str:
        """Return the process's answer, or why there is none."""
        start = time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(worker.results, selectors.EVENT_READ)
            while True:
                left = _LOOK_S if limit_s is None else start + limit_s - time.monotonic()
                if selector.select(max(0.0, min(_LOOK_S, left))):
                    done = worker.receive()
                    return _how_it_ended(worker) if done is None else done
                if worker.ended() is not None:
                    return _how_it_ended(worker)
                if left <= 0:
                    return f"it took longer than the limit of {duration(limit_s or 0)}"

    def _lost(self, group: Group, why: list[Outcome] | str) -> list[Outcome]:
        self.stop()
        return [Failure(cell, str(why)) for cell in group]

    def kill(self) -> None:
        """Kill the process, on which `run` may be waiting in another thread."""
        if self._worker is not None:
            self._worker.kill()

    def stop(self) -> None:
        """Kill the process and forget it."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.stop()


def _how_it_ended(worker: Worker) -> str:
    code = worker.ended(_ENDING_S)
    if code is None:
        return "it closed the files of its process"
    if code >= 0:
        return f"it ended its process (exit code {code}) before it returned"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    cause = "; the usual cause is too little memory" if name == "SIGKILL" else ""
    return f"its process was killed by {name}{cause}"


def fits_apart(
    plan: FitPlan, groups: Sequence[Group], environments: Sequence[Mapping[str, str]]
) -> Iterator[list[Outcome]]:
    """Yield the outcome of each cell, from processes on this machine.

    Args:
        plan: Plan of the study.
        groups: Groups of one cell.
        environments: Variables of the environment of each process.

    Raises:
        ActcompareError: The fit cannot be sent to another process.
    """
    packed = packed_plan(plan)
    waiting: queue.SimpleQueue[Group] = queue.SimpleQueue()
    for group in groups:
        waiting.put(group)
    results: queue.SimpleQueue[list[Outcome] | BaseException] = queue.SimpleQueue()
    hands = [Apart(packed, plan.time_limit_s, each) for each in environments[: len(groups)]]
    ending = threading.Event()

    def work(hand: Apart) -> None:
        try:
            while not ending.is_set():
                results.put(hand.run(waiting.get_nowait()))
        except queue.Empty:  # nothing is left to do
            pass
        except BaseException as error:  # raised again where the results are awaited
            results.put(error)
        finally:
            hand.stop()

    threads = [threading.Thread(target=work, args=(hand,), daemon=True) for hand in hands]
    for thread in threads:
        thread.start()
    try:
        for _ in groups:
            done = results.get()
            if isinstance(done, BaseException):
                raise done
            yield done
    finally:
        ending.set()
        while any(thread.is_alive() for thread in threads):
            for thread, hand in zip(threads, hands, strict=True):
                hand.kill()  # again and again: it may just have started a new process
                thread.join(_LOOK_S)


def environments_of(
    plan: FitPlan, gpus_per_task: float, workers: int | None
) -> list[dict[str, str]]:
    """Return the variables of the environment of each worker on this machine.

    Args:
        plan: Plan of the study.
        gpus_per_task: GPUs for each worker: a whole number, or a share such as 0.5; 0 for none.
        workers: Number of workers; by default one per core for its threads, or as many as the GPUs
            allow.

    Raises:
        UsageError: There are fewer GPUs.
    """
    common = plan.environment()
    if not gpus_per_task:
        return [common] * (workers or max(1, usable_cores() // plan.config.training.threads))
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = seen.split(",") if seen else list(map(str, range(torch.cuda.device_count())))
    size, sharing = max(1, int(gpus_per_task)), max(1, int(1 / gpus_per_task))
    slots = [gpus[k : k + size] for k in range(0, len(gpus) - size + 1, size)] * sharing
    if len(slots) < (workers or 1):
        raise UsageError(
            f"{workers or 1} worker{'s' * (workers not in (None, 1))} with gpus-per-task"
            f" {gpus_per_task:g} need more than the {len(gpus)} GPUs of this machine"
        )
    chosen = slots[: workers or len(slots)]
    return [common | {"CUDA_VISIBLE_DEVICES": ",".join(slot)} for slot in chosen]


_kept: dict[str, Apart] = {}
"""The process of the study that this worker of a cluster works for."""


def fit_apart(
    packed: bytes,
    key: str,
    group: Group,
    limit_s: float | None,
    environment: Mapping[str, str],
    path: str,
) -> list[Outcome]:
    """Run a fit beside this process, which is a worker of a cluster: its task.

    Args:
        packed: The plan, pickled.
        key: What tells one study from another.
        group: A group of one cell.
        limit_s: Seconds that it may take.
        environment: Variables of the environment of its process.
        path: Further folders for the Python path.
    """
    key += os.environ.get("CUDA_VISIBLE_DEVICES", "")  # a later task may get another GPU
    if key not in _kept:
        while _kept:
            _kept.popitem()[1].stop()
        folders = os.pathsep.join([*filter(None, sys.path), path])
        _kept[key] = Apart(packed, limit_s, {**environment, "PYTHONPATH": folders})
    return _kept[key].run(group)
