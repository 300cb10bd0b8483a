"""The config of a study, and the results of its runs."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from actcompare.training.records import Score, TrainConfig
from actcompare.units.statistics import VERDICTS


@dataclass(frozen=True, order=True)
class Cell:
    """One run of a study."""

    activation: str
    depth: int
    hidden: int
    lr: float
    seed: int


@dataclass(frozen=True)
class StudyConfig:
    """What to compare, and how."""

    activations: tuple[str, ...]
    """Labels; the first is the baseline."""
    seeds: int
    lrs: tuple[float, ...]
    depths: tuple[int, ...]
    hiddens: tuple[int, ...]
    margin: float
    """Differences of the test metric within this margin do not matter."""
    training: TrainConfig
    """All other settings; activation, depth, hidden, lr and seed are the first cell's."""
    fingerprint: str
    """Fingerprint of the data."""

    @property
    def all_seeds(self) -> range:
        """Seeds in ascending order."""
        return range(self.training.seed, self.training.seed + self.seeds)

    @property
    def total(self) -> int:
        """Number of cells."""
        axes = (self.activations, self.depths, self.hiddens, self.lrs)
        return math.prod(map(len, axes)) * self.seeds

    def run(self, cell: Cell) -> TrainConfig:
        """Return the config with which `train` repeats this cell alone."""
        return replace(self.training, **asdict(cell))

    def cells(self) -> Iterator[Cell]:
        """Yield every cell."""
        axes = (self.activations, self.depths, self.hiddens, self.lrs, self.all_seeds)
        return itertools.starmap(Cell, itertools.product(*axes))

    def as_dict(self) -> dict[str, Any]:
        """Return the config as plain data, without what differs between cells."""
        training = asdict(self.training)
        for name in asdict(next(self.cells())):
            del training[name]
        plain = asdict(self) | {"seed": self.training.seed} | training
        del plain["training"], plain["track_on"]
        return plain


@dataclass(frozen=True)
class CellResult:
    """Result of a finished cell."""

    cell: Cell
    train: Score
    validation: Score
    test: Score
    """All three scores describe the state after the last epoch with a finite loss."""
    diverged_epoch: int | None
    """Epoch in which the loss stopped being finite."""
    units: int
    """Hidden units of all layers."""
    verdicts: dict[str, int]
    """Number of units per verdict of VERDICTS, on the training set."""
    step_s: float | None
    """Seconds per step: the group's time divided by its cells; None without a step."""
    curve: tuple[float, ...]
    """Validation metric after each epoch, from epoch 0 (initialisation)."""
    waited_share: float | None = None
    """Seconds for which threads waited for a core, per second of training steps; None if unknown,
    as for runs that an earlier version stored."""

    def row(self) -> dict[str, Any]:
        """Return the tidy record, without the curve."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        scores = {
            f"{part}_{name}": value
            for part, score in parts.items()
            for name, value in (("loss", score.loss), ("metric", score.metric))
        }
        more = {"diverged_epoch": self.diverged_epoch, "units": self.units}
        speed = {"step_s": self.step_s, "waited_share": self.waited_share}
        return vars(self.cell) | scores | more | self.verdicts | speed

    @classmethod
    def of_row(cls, row: dict[str, Any], curve: Sequence[float]) -> "CellResult":
        """Rebuild a result from its record."""
        scores = {
            part: Score(row[f"{part}_loss"], row[f"{part}_metric"])
            for part in ("train", "validation", "test")
        }
        return cls(
            cell=Cell(**{name: row[name] for name in Cell.__dataclass_fields__}),
            **scores,
            diverged_epoch=row["diverged_epoch"],
            units=row["units"],
            verdicts={verdict: row[verdict] for verdict in VERDICTS},
            step_s=row["step_s"],
            curve=tuple(curve),
            waited_share=row["waited_share"],
        )


@dataclass(frozen=True)
class Failure:
    """A cell that failed, and why."""

    cell: Cell
    error: str


Outcome = CellResult | Failure
