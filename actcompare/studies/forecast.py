"""What a study will take: an estimate from a short calibration on this machine."""

import heapq
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from actcompare.errors import ActcompareError
from actcompare.machine.devices import resolve_device
from actcompare.machine.environment import Environment
from actcompare.studies.cells import Clock, run_group
from actcompare.studies.engines.workers import Group
from actcompare.studies.plan import Plan
from actcompare.studies.records import Failure
from actcompare.table import Table


@dataclass(frozen=True)
class Forecast:
    """What is left of a study, and what it will take."""

    plan: Plan
    environment: Environment
    groups: tuple[Group, ...]
    """What is left, in the order in which it will be done."""
    seconds: tuple[float, ...]
    """Of each group, estimated."""
    peak_bytes: int
    """What this process held at most while it trained one group of each kind."""

    @property
    def cells(self) -> int:
        """How many runs are left."""
        return sum(map(len, self.groups))

    def seconds_on(self, workers: int) -> float:
        """How long that many workers take, each taking the next group when it has done one."""
        ends = [0.0] * workers
        for seconds in self.seconds:
            heapq.heapreplace(ends, ends[0] + seconds)
        return max(ends)

    def columns(self) -> Table:
        """Tidy columns: one record per activation, depth and width."""
        found: dict[tuple[str, int, int], dict[str, Any]] = {}
        for group, seconds in zip(self.groups, self.seconds, strict=True):
            first = group[0]
            named = {"activation": first.activation, "depth": first.depth, "hidden": first.hidden}
            none = named | {"cells": 0, "groups": 0, "seconds": 0.0}
            row = found.setdefault((first.activation, first.depth, first.hidden), none)
            row["cells"] += len(group)
            row["groups"] += 1
            row["seconds"] += seconds
        return Table.of(list(found.values()))


def forecast(
    plan: Plan, groups: Sequence[Group], environment: Environment, clock: Clock = time.perf_counter
) -> Forecast:
    """Train a group of each activation, depth and width for one epoch and for two, and reckon.

    Raises:
        ActcompareError: A group fails.
    """
    per_cell: dict[tuple[str, int, int], float] = {}
    _reset_peak(plan)
    for group in groups:
        setting = group[0].activation, group[0].depth, group[0].hidden
        if setting not in per_cell:
            per_cell[setting] = _calibrate(plan, group, clock) / len(group)
    seconds = [
        len(group) * per_cell[group[0].activation, group[0].depth, group[0].hidden]
        for group in groups
    ]
    return Forecast(plan, environment, tuple(groups), tuple(seconds), _peak(plan))


def _calibrate(plan: Plan, group: Group, clock: Clock) -> float:
    """Seconds of a group, from what its first epoch takes with all that goes with it."""
    epochs = plan.config.training.epochs
    taken = []
    for few in (1, 1, 2):  # the first of all warms up
        training = replace(plan.config.training, epochs=min(few, epochs))
        short = replace(plan, config=replace(plan.config, training=training))
        start = clock()
        for outcome in run_group(short, group):
            if isinstance(outcome, Failure):
                raise ActcompareError(outcome.error)
        taken.append(clock() - start)
    _, one, two = taken
    return one if epochs < 2 else one + (epochs - 1) * max(two - one, 0.0)


def _reset_peak(plan: Plan) -> None:
    device = resolve_device(plan.config.training.device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _peak(plan: Plan) -> int:
    """Bytes on a GPU, or of this process."""
    device = resolve_device(plan.config.training.device)
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) * (1 if sys.platform == "darwin" else 1024)


def sensible_workers(cells: int, cores: int) -> list[int]:
    """Numbers of workers to say the time for: 1, this machine's cores, and powers of 2 beyond."""
    wider = {2**k for k in range(1, 8) if 2**k > cores}
    return sorted(n for n in {1, cores, *sorted(wider)[:3]} if n <= max(1, math.ceil(cells)))
