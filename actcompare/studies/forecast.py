"""The estimated duration of a study, from a short calibration on this machine."""

import heapq
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from actcompare.errors import ActcompareError
from actcompare.machine.devices import resolve_device
from actcompare.machine.environment import Environment
from actcompare.studies.cells import Clock, run_group
from actcompare.studies.engines.workers import Group
from actcompare.studies.plan import Plan
from actcompare.studies.records import Failure
from actcompare.table import Table

FEW = 1000
"""Most samples from which the time of a run is estimated."""


@dataclass(frozen=True)
class Forecast:
    """Work left in a study, and the time and memory it will take."""

    plan: Plan
    environment: Environment
    groups: tuple[Group, ...]
    """Groups left, in the order in which they will be trained."""
    seconds: tuple[float, ...]
    """Estimated time of each group."""
    peak_bytes: int
    """Peak memory of this process while it trained one group of each kind."""

    @property
    def cells(self) -> int:
        """Number of runs left."""
        return sum(map(len, self.groups))

    def seconds_on(self, workers: int) -> float:
        """Return the time for this many workers, each taking the next group when it is free."""
        ends = [0.0] * workers
        for seconds in self.seconds:
            heapq.heapreplace(ends, ends[0] + seconds)
        return max(ends)

    def columns(self) -> Table:
        """Return tidy columns, one record per activation, depth and width."""
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
    """Estimate the time from one group per setting, trained for one epoch and for two.

    Raises:
        ActcompareError: A group failed.
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


def seconds_per_cell(plan: Plan, clock: Clock = time.perf_counter) -> dict[str, float]:
    """Estimate the time of a run of each activation, at the first depth and width.

    At most FEW samples are trained on, and the time grows with the samples. An activation that
    fails takes no time.
    """
    data, samples = plan.dataset, len(plan.dataset.X)
    rows = np.linspace(0, samples - 1, min(FEW, samples)).round().astype(int)
    short = replace(plan, dataset=replace(data, X=data.X[rows], y=data.y[rows]))
    found: dict[str, float] = {}
    for group in plan.groups():
        name = group[0].activation
        if name in found:
            continue
        try:
            found[name] = _calibrate(short, group, clock) / len(group) * samples / len(rows)
        except ActcompareError:
            found[name] = 0.0
    return found


def _calibrate(plan: Plan, group: Group, clock: Clock) -> float:
    """Return the seconds of a group: set-up and first epoch, then the cost of each further one."""
    epochs = plan.config.net.epochs
    taken = []
    for few in (1, 1, 2):  # the first is a warm-up
        training = replace(plan.config.net, epochs=min(few, epochs))
        short = replace(plan, config=replace(plan.config, training=training))
        start = clock()
        for outcome in run_group(short, group):
            if isinstance(outcome, Failure):
                raise ActcompareError(outcome.error)
        taken.append(clock() - start)
    _, one, two = taken
    return one if epochs < 2 else one + (epochs - 1) * max(two - one, 0.0)


def _reset_peak(plan: Plan) -> None:
    device = resolve_device(plan.config.net.device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _peak(plan: Plan) -> int:
    """Return the peak bytes on the GPU, or of this process."""
    device = resolve_device(plan.config.net.device)
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) * (1 if sys.platform == "darwin" else 1024)


def sensible_workers(cells: int, cores: int) -> list[int]:
    """Return worker counts worth an estimate: 1, the number of cores, and larger powers of 2."""
    wider = {2**k for k in range(1, 8) if 2**k > cores}
    return sorted(n for n in {1, cores, *sorted(wider)[:3]} if n <= max(1, math.ceil(cells)))
