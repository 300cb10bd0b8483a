"""What every part of a report is given."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from actcompare.activations.spec import Activation
from actcompare.data.datasets import Dataset, Source
from actcompare.data.splits import split
from actcompare.errors import ActcompareError
from actcompare.reporting.evidence import ReportConfig
from actcompare.studies.plan import Plan, make_plan
from actcompare.studies.store import Store
from actcompare.studies.study import Work
from actcompare.text import duration

Clock = Callable[[], float]

FEW_SAMPLES = 100
"""Fewer samples may be too few for three sets."""

BATCH = 32
"""Samples per step of the study."""


class NoTimeError(ActcompareError):
    """A part does not fit into the time that is left."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"it takes about {duration(seconds)}, more than was left of the budget")


@dataclass(frozen=True)
class Job:
    """What every part is given."""

    config: ReportConfig
    activations: tuple[Activation, ...]
    source: Source
    """The data, as the user gave them."""
    dataset: Dataset = field(repr=False)
    clock: Clock

    def training(self) -> dict[str, Any]:
        """Return the settings of training that the user chose, with batches that can be filled."""
        config, samples = self.config, len(self.dataset.X)
        names = ("target", "task", "scale", "device", "margin", "seed")
        chosen = {name: getattr(config, name) for name in names}
        return chosen | {"batch_size": max(1, min(BATCH, samples // 2))}

    def plan(self, seeds: int, **changed: Any) -> Plan:
        """Return the plan of the study, or of one with other settings; raise as `make_plan`."""
        return make_plan(self.activations, self.source, seeds=seeds, **self.training() | changed)

    def check(self) -> None:
        """Check the study and its store, before anything is measured.

        Raises:
            ActcompareError: A setting is wrong, the data are too few, or the store cannot be used.
        """
        plan = self.plan(1)
        if len(self.dataset.X) < FEW_SAMPLES:
            split(self.dataset, self.config.seed, torch.float32, torch.device("cpu"))
        if self.config.store is None:
            Work(plan)
            return
        with Store(self.config.store) as kept:
            Work(plan, kept)
