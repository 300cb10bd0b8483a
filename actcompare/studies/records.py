"""What `study` was asked for, and the results of its runs."""

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
    """What was asked for."""

    activations: tuple[str, ...]
    """The first is the baseline."""
    seeds: int
    lrs: tuple[float, ...]
    depths: tuple[int, ...]
    hiddens: tuple[int, ...]
    margin: float
    """Differences of the test metric within it are of no consequence."""
    training: TrainConfig
    """All else; its activation, depth, hidden and lr are those of the first cell, and its seed is
    the first of the seeds."""
    fingerprint: str
    """Of the data."""

    @property
    def all_seeds(self) -> range:
        """The seeds, one after the other."""
        return range(self.training.seed, self.training.seed + self.seeds)

    @property
    def total(self) -> int:
        """How many cells there are."""
        axes = (self.activations, self.depths, self.hiddens, self.lrs)
        return math.prod(map(len, axes)) * self.seeds

    def run(self, cell: Cell) -> TrainConfig:
        """What `train` is asked for to do the cell alone."""
        return replace(self.training, **asdict(cell))

    def cells(self) -> Iterator[Cell]:
        """All of them."""
        axes = (self.activations, self.depths, self.hiddens, self.lrs, self.all_seeds)
        return itertools.starmap(Cell, itertools.product(*axes))

    def as_dict(self) -> dict[str, Any]:
        """The record as plain data, without what differs between cells."""
        training = asdict(self.training)
        for name in asdict(next(self.cells())):
            del training[name]
        plain = asdict(self) | {"seed": self.training.seed} | training
        del plain["training"], plain["track_on"]
        return plain


@dataclass(frozen=True)
class CellResult:
    """A cell as it ended."""

    cell: Cell
    train: Score
    validation: Score
    test: Score
    """Each of the state after the last epoch that left the loss a finite number."""
    diverged_epoch: int | None
    """The epoch in which the loss stopped being a finite number."""
    units: int
    """Hidden units, of all layers."""
    verdicts: dict[str, int]
    """For each of neurons.VERDICTS how many of the units it holds for, on the training part."""
    step_s: float | None
    """Seconds of a step, the group's shared out among its members; None without a step."""
    curve: tuple[float, ...]
    """The validation metric after each epoch, from 0 (the initialisation) on."""

    def row(self) -> dict[str, Any]:
        """The tidy record, the curve aside."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        scores = {
            f"{part}_{name}": value
            for part, score in parts.items()
            for name, value in (("loss", score.loss), ("metric", score.metric))
        }
        more = {"diverged_epoch": self.diverged_epoch, "units": self.units}
        return vars(self.cell) | scores | more | self.verdicts | {"step_s": self.step_s}

    @classmethod
    def of_row(cls, row: dict[str, Any], curve: Sequence[float]) -> "CellResult":
        """The cell of a record."""
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
        )


@dataclass(frozen=True)
class Failure:
    """A cell that came to nothing, and why."""

    cell: Cell
    error: str


Outcome = CellResult | Failure
