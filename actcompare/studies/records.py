"""The config of a study, and the results of its runs."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt

from actcompare.bounds import Amount, AtLeastOne, Count, Label, Positive
from actcompare.studies.fits.records import VALIDATION, FitConfig
from actcompare.training.records import Score, TrainConfig

METRICS = ("accuracy", "R^2")
"""Test metrics, of a classification and of a regression."""

MOST_ACTIVATIONS = 1000

MOST_CELLS = 10**6
"""Most runs of a study; listing more would take minutes and gigabytes by itself."""


@dataclass(frozen=True, order=True)
class Cell:
    """One run of a study."""

    activation: Label
    depth: Count
    hidden: Count
    """0, as the depth, in a fit, which has a net of its own."""
    lr: Amount
    """0 in a fit that is given no learning rate."""
    seed: Count

    def named(self) -> dict[str, Any]:
        """Return the fields that this run has."""
        return {name: value for name, value in vars(self).items() if name == "seed" or value}


@dataclass(frozen=True)
class StudyConfig:
    """What to compare, and how."""

    activations: Annotated[tuple[Label, ...], AtLeastOne]
    """Labels; the first is the baseline."""
    seeds: Positive
    lrs: Annotated[tuple[Amount, ...], AtLeastOne]
    depths: Annotated[tuple[Count, ...], AtLeastOne]
    hiddens: Annotated[tuple[Count, ...], AtLeastOne]
    margin: Amount
    """Differences of the test metric within this margin do not matter."""
    training: TrainConfig | FitConfig
    """All other settings; activation, depth, hidden, lr and seed are the first cell's."""
    fingerprint: str
    """Fingerprint of the data, or of the code of a fit."""
    alone: str = ""
    """Why a user's model is trained one run at a time; empty if runs are trained together."""

    def __post_init__(self) -> None:
        for axis in (self.activations, self.lrs, self.depths, self.hiddens):
            if len(set(axis)) < len(axis):
                raise ValueError(f"a value is given twice: {', '.join(map(str, axis))}")
        sizes = {*self.depths, *self.hiddens}
        if (self.fit is None and 0 in sizes) or (self.fit is not None and sizes != {0}):
            raise ValueError("depth and hidden should be 0 in a fit, and at least 1 in SimpleNet")
        if len(self.activations) > MOST_ACTIVATIONS:
            raise ValueError(f"more than {MOST_ACTIVATIONS:,} activations")
        if self.total > MOST_CELLS:
            raise ValueError(f"{self.total:,} runs are more than the {MOST_CELLS:,} of a study")

    @property
    def fit(self) -> FitConfig | None:
        """The user's own training; None in a study of SimpleNet."""
        return self.training if isinstance(self.training, FitConfig) else None

    @property
    def is_of_simple_net(self) -> bool:
        """Whether SimpleNet is trained, which has a depth and a width."""
        return isinstance(self.training, TrainConfig) and self.training.model is None

    @property
    def given_seeds(self) -> tuple[int, ...] | None:
        """Seeds of results that were there already; None if runs are to be made."""
        return None if self.fit is None else self.fit.given_seeds

    @property
    def net(self) -> TrainConfig:
        """The settings of SimpleNet's training, in a study of it."""
        assert isinstance(self.training, TrainConfig)
        return self.training

    @property
    def sign(self) -> int:
        """1 if more of the metric is better, else -1."""
        return 1 if self.fit is None or self.fit.higher_is_better else -1

    @property
    def all_seeds(self) -> Sequence[int]:
        """Seeds in ascending order."""
        if self.given_seeds is not None:
            return self.given_seeds
        return range(self.training.seed, self.training.seed + self.seeds)

    @property
    def total(self) -> int:
        """Number of cells."""
        axes = (self.activations, self.depths, self.hiddens, self.lrs)
        return math.prod(map(len, axes)) * self.seeds

    def run(self, cell: Cell) -> TrainConfig:
        """Return the config with which `train` repeats this cell alone."""
        return replace(self.net, **asdict(cell))

    def cells(self) -> Iterator[Cell]:
        """Yield every cell."""
        axes = (self.activations, self.depths, self.hiddens, self.lrs, self.all_seeds)
        return itertools.starmap(Cell, itertools.product(*axes))

    def as_dict(self) -> dict[str, Any]:
        """Return the config as plain data, without what differs between cells."""
        seed = asdict(self.training)["seed"]
        training = asdict(self.training) if self.fit else self.net.as_dict()
        plain = asdict(self) | {"seed": seed}
        hidden = {"training", "track_on", *Cell.__dataclass_fields__} - {"seed"}
        if not self.is_of_simple_net:
            hidden |= {"depths", "hiddens"}
        if self.fit is not None:
            hidden |= {"given_seeds", *["lrs"] * (self.lrs == (0.0,))}
        plain |= training
        return {name: value for name, value in plain.items() if name not in hidden}


@dataclass(frozen=True)
class SampleOutcomes:
    """What a net makes of each test sample, packed."""

    rows: bytes
    """Rows of the data set that are in the test set: packed bits, one per row."""
    scores: bytes
    """What each test sample contributes to the test metric, which is their mean: packed bits (right
    or wrong), or little-endian float32 in a regression."""
    guess: float
    """Test metric of a constant prediction: the share of the training set's largest class, or 0."""

    def __post_init__(self) -> None:
        """Check that rows and scores belong together."""
        if not 0 <= self.guess <= 1:
            raise ValueError(f"the metric of a constant prediction is {self.guess}, not a share")
        samples = len(self.samples)
        if not samples or len(self.scores) not in (_bytes_of_bits(samples), 4 * samples):
            raise ValueError(f"{len(self.scores)} bytes of scores for {samples} test samples")

    @classmethod
    def of(
        cls, rows: npt.NDArray[np.int64], total: int, scores: npt.NDArray[Any], guess: float
    ) -> "SampleOutcomes":
        """Pack the scores of a test set.

        Args:
            rows: Rows of the data set, ascending, shape (sample,).
            total: Number of rows of the data set.
            scores: Boolean in a classification, else float, shape (sample,).
            guess: Test metric of a constant prediction.
        """
        within = np.zeros(total, dtype=np.bool_)
        within[rows] = True
        packed = np.packbits(scores) if scores.dtype == np.bool_ else scores.astype("<f4")
        return cls(np.packbits(within).tobytes(), packed.tobytes(), guess)

    @property
    def samples(self) -> npt.NDArray[np.int64]:
        """Rows of the data set, ascending, shape (sample,)."""
        return np.flatnonzero(np.unpackbits(np.frombuffer(self.rows, dtype=np.uint8)))

    @property
    def values(self) -> npt.NDArray[np.float64]:
        """Contribution of each test sample, shape (sample,)."""
        if self.is_binary:
            bits = np.unpackbits(np.frombuffer(self.scores, dtype=np.uint8))
            return bits[: len(self.samples)].astype(np.float64)
        return np.frombuffer(self.scores, dtype="<f4").astype(np.float64)

    @property
    def is_binary(self) -> bool:
        """Whether each test sample is either right or wrong."""
        return len(self.scores) == _bytes_of_bits(len(self.samples))

    @property
    def of_data(self) -> int:
        """Number of rows of the data set, up to 7 too many."""
        return 8 * len(self.rows)


def _bytes_of_bits(count: int) -> int:
    return -(-count // 8)


_UNKNOWN = Score(math.nan, math.nan)


@dataclass(frozen=True)
class CellResult:
    """Result of a finished cell; of a fit, only what the last three fields hold is known."""

    cell: Cell
    train: Score
    validation: Score
    test: Score
    """All three scores describe the state after the last epoch with a finite loss."""
    diverged_epoch: Count | None
    """Epoch in which the loss stopped being finite."""
    units: Count
    """Hidden units of all layers; 0 if they were not looked at."""
    verdicts: dict[str, Count]
    """Number of units per verdict of VERDICTS, on the training set."""
    step_s: Amount | None
    """Seconds per step: the group's time divided by its cells; None without a step."""
    curve: Annotated[tuple[float, ...], AtLeastOne]
    """Validation metric after each epoch, from epoch 0 (initialisation); of a fit, the metric of
    each report, from report 1."""
    outcomes: SampleOutcomes | None = field(default=None, repr=False)
    """Outcomes of the test samples; None if an earlier version stored the run."""
    waited_share: Amount | None = None
    """Seconds for which threads waited for a core, per second of training steps; None if unknown,
    as for runs that an earlier version stored."""
    seconds: Amount | None = None
    """Time of a fit."""
    numbers: dict[str, float] | None = None
    """What a fit returned; None for a run of SimpleNet."""

    @classmethod
    def of_fit(
        cls,
        cell: Cell,
        curve: Sequence[float],
        numbers: Mapping[str, float],
        seconds: float | None = None,
    ) -> "CellResult":
        """Return what a fit came to.

        Args:
            cell: The run.
            curve: The metric of each report; the last one is the result.
            numbers: What the fit returned, or reported last.
            seconds: Its time.
        """
        finite = [math.isfinite(value) for value in curve]
        return cls(
            cell,
            train=_UNKNOWN,
            validation=Score(math.nan, numbers.get(VALIDATION, math.nan)),
            test=Score(math.nan, curve[-1]),
            diverged_epoch=None if finite[-1] else 1 + finite.index(False),
            units=0,
            verdicts={},
            step_s=None,
            curve=tuple(curve),
            seconds=seconds,
            numbers=dict(numbers),
        )

    @property
    def validated(self) -> bool:
        """Whether there is a validation metric, be it NaN."""
        return self.numbers is None or VALIDATION in self.numbers

    def __post_init__(self) -> None:
        if (self.numbers is None) != (self.units > 0):
            raise ValueError("units should be 0 in a fit, and at least 1 in SimpleNet")
        if any(count > self.units for count in self.verdicts.values()):
            raise ValueError(f"a verdict applies to more than the {self.units} units")

    def row(self) -> dict[str, Any]:
        """Return the tidy record, without the curve and the outcomes of samples."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        scores = {
            f"{part}_{name}": value
            for part, score in parts.items()
            for name, value in (("loss", score.loss), ("metric", score.metric))
        }
        more = {"diverged_epoch": self.diverged_epoch, "units": self.units}
        speed = {"step_s": self.step_s, "waited_share": self.waited_share}
        return vars(self.cell) | scores | more | self.verdicts | speed

    def fit_row(self, metric: str) -> dict[str, Any]:
        """Return the tidy record of a fit, whose metric has this name."""
        more = {"diverged_epoch": self.diverged_epoch, "seconds": self.seconds}
        return self.cell.named() | {metric: self.test.metric} | (self.numbers or {}) | more


@dataclass(frozen=True)
class Failure:
    """A cell that failed, and why."""

    cell: Cell
    error: str


Outcome = CellResult | Failure
