"""A training run in progress, and its result."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from actcompare.activations.user_code import describe, users_code, users_error
from actcompare.data.splits import Split, split, split_rows
from actcompare.errors import ActcompareError, UsageError
from actcompare.machine.devices import resolve_device, resolve_dtype
from actcompare.machine.environment import Environment, describe_environment
from actcompare.machine.generators import batch_order, seeded
from actcompare.machine.memory import is_shortage
from actcompare.machine.processors import torch_threads
from actcompare.machine.waiting import waiting_time
from actcompare.table import Table, Tabular
from actcompare.text import listed
from actcompare.training.checkpoints import Checkpoint
from actcompare.training.explain import describe_training
from actcompare.training.learning.learners import make_learner
from actcompare.training.learning.nets import check_run
from actcompare.training.learning.optimizers import check_state
from actcompare.training.records import (
    DataSummary,
    Divergence,
    Epoch,
    Example,
    LayerUnits,
    Score,
    TrainConfig,
)
from actcompare.training.settings import Recipe
from actcompare.units.statistics import VERDICTS, UnitStatistics

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Training(Tabular):
    """The result of a training run."""

    config: TrainConfig
    environment: Environment
    data: DataSummary
    history: tuple[Epoch, ...] = field(repr=False)
    """All epochs, starting with epoch 0 (the initialisation)."""
    test: Score
    """Score on the test set after the last epoch of the history."""
    diverged: Divergence | None
    """Where the run diverged; None if it did not."""
    net: nn.Module = field(repr=False)
    examples: tuple[Example, ...] = field(repr=False, default=())
    """Some samples of the test set, as many as were asked for."""
    negative_share: float | None = None
    """Share of the predictions for the test set that are negative; None unless no target is."""

    @property
    def metric(self) -> str:
        """The name of the metric."""
        return "accuracy" if self.data.classes else "R^2"

    @property
    def weights(self) -> "dict[str, Tensor]":
        """The net's state dict."""
        return self.net.state_dict()

    @cached_property
    def table(self) -> Table:
        """The tidy records, one per hidden layer, after the last epoch."""
        return Table.of([layer.row() for layer in self.history[-1].layers])

    def metrics(self) -> dict[str, Any]:
        """Return the final loss and metric on each split, and the training speed."""
        last = self.history[-1]
        parts = {"train": last.train, "validation": last.validation, "test": self.test}
        scores = {
            f"{part}_{name}": value
            for part, score in parts.items()
            for name, value in (("loss", score.loss), ("metric", score.metric))
        }
        seconds = sum(epoch.seconds for epoch in self.history)
        learned = self.data.samples[0] * last.epoch
        return {
            "metric": self.metric,
            **scores,
            "negative_share": self.negative_share,
            "epochs": last.epoch,
            "seconds": seconds,
            "samples_per_s": learned / seconds if seconds else None,
            "diverged": int(self.diverged is not None),
            "diverged_epoch": self.diverged and self.diverged.epoch,
        }

    @property
    def waited_share(self) -> float | None:
        """Seconds for which threads waited for a core, per second of training steps."""
        known = [epoch for epoch in self.history if epoch.waited_s is not None]
        seconds = sum(epoch.seconds for epoch in known)
        return sum(epoch.waited_s or 0.0 for epoch in known) / seconds if seconds else None

    def history_rows(self) -> list[dict[str, Any]]:
        """Return one record per epoch: its scores, and the counts and changes of each layer.

        A unit dies when it becomes zero-dead or gradient-dead, and revives when it no longer is.
        """
        rows = []
        before: Sequence[LayerUnits] = self.history[0].layers
        for epoch in self.history:
            layers = [
                layer.row()
                | {"died": sorted(layer.dead - old.dead), "revived": sorted(old.dead - layer.dead)}
                for old, layer in zip(before, epoch.layers, strict=True)
            ]
            rows.append(epoch.row() | {"layers": layers})
            before = epoch.layers
        return rows

    def course(self) -> Table:
        """Return one record per epoch, with unit counts summed over the layers."""
        records = []
        for row in self.history_rows():
            layers = row.pop("layers")
            if layers:
                row |= {name: sum(layer[name] for layer in layers) for name in ("units", *VERDICTS)}
                row |= {name: sum(len(layer[name]) for layer in layers) for name in _CHANGES}
            records.append(row)
        return Table.of(records)

    def data_in_words(self) -> str:
        """Describe the data and their preparation on one line."""
        data, config = self.data, self.config
        train, validation, test = data.samples
        what = (
            f"into {len(data.classes)} classes"
            if data.classes
            else f"with {config.output_size} output{'s' * (config.output_size > 1)}"
        )
        scaled = {
            "standard": "each input scaled to mean 0 and standard deviation 1 on the training set",
            "unit": "inputs divided by the largest absolute value in the training set",
            "none": "inputs not scaled",
        }[config.scale]
        constant = data.constant and f" ({len(data.constant)} constant: {listed(data.constant, 5)})"
        return (
            f"{config.data}; {config.input_size} inputs{constant or ''}; {config.task} {what}"
            f" ({data.why}); {train:,} training, {validation:,} validation and {test:,} test"
            f" samples, split by seed{' within each class' * data.stratified}; {scaled}."
        )

    def reading(self) -> str:
        """Describe the test score, the dead units, and what to try next."""
        return describe_training(
            self.config, self.data, self.history, self.test, self.diverged, self.negative_share
        )


_CHANGES = ("died", "revived")


def _as_lists(array: npt.NDArray[Any]) -> list[Any]:
    found: list[Any] = array.tolist()
    return found


def _largest_share(classes: torch.Tensor) -> float:
    return int(classes.bincount().max()) / len(classes)


class Run:
    """A run in progress: `epochs` trains it, `report` returns its result so far.

    Each epoch depends only on the seed, the epoch's number and the state after the previous epoch.
    """

    def __init__(
        self,
        recipe: Recipe,
        clock: Callable[[], float] = time.perf_counter,
        waited: Callable[[], float] | None = None,
        show: int = 0,
    ) -> None:
        """Split the data and make a net with initial weights.

        Args:
            recipe: What to train.
            clock: Times the training steps.
            waited: Seconds so far for which threads waited for a core; by default the kernel's.
            show: Samples of the test set that the report shows.

        Raises:
            ActcompareError: There are too few samples, the net is too large for memory, or an
                activation fails.
        """
        if show < 0:
            raise UsageError(f"show must be 0 or more, not {show}")
        self.config, self._clock = recipe.config, clock
        self._waited = waited or waiting_time()
        config, dataset = self.config, recipe.dataset
        device, dtype = resolve_device(config.device), resolve_dtype(config.dtype)[1]
        classes = dataset.y if dataset.classes else None
        shown = split_rows(classes, len(dataset.X), config.seed)[2][:show]
        self._shown = shown, dataset.X[shown], dataset.y[shown]
        self._parts = split(
            dataset,
            config.seed,
            dtype,
            device,
            scale=config.scale,
            centred_targets=recipe.output_activation is None,
        )
        sizes = len(self._parts.train), len(self._parts.validation), len(self._parts.test)
        check_run(config, sizes[0])
        self._labels = " or ".join(a.label for a in recipe.users_own())
        with users_code("the model fails") if recipe.model else contextlib.nullcontext():
            self.config, self._learner = make_learner(recipe, self._parts.train, dtype, device)
        self.environment = replace(describe_environment(device), threads=config.threads)
        self.data = DataSummary(
            samples=sizes,
            stratified=self._parts.stratified,
            why=dataset.why,
            classes=dataset.classes,
            constant=self._parts.constant,
            notes=dataset.notes,
            fingerprint=dataset.fingerprint(),
            largest_class=_largest_share(self._parts.train.y) if dataset.classes else None,
            least_target=None if dataset.classes else float(dataset.y.min()),
        )
        self.history: list[Epoch] = []
        self.diverged: Divergence | None = None
        self._good = self._learner.weights()

    @property
    def net(self) -> nn.Module:
        """The net being trained."""
        return self._learner.net

    def epochs(self) -> Iterator[Epoch]:
        """Train, and yield each epoch once it is done, including epoch 0 of a new run.

        If the loss is not finite, the last good epoch is yielded once more, `diverged` is set, and
        the run ends.

        Raises:
            ActcompareError: The activation fails.
        """
        while self.diverged is None and len(self.history) <= self.config.epochs:
            with self._conditions(len(self.history)):
                self._train_one()
            yield self.history[-1]

    def _train_one(self) -> None:
        number, train, seconds = len(self.history), self._parts.train, 0.0
        losses, waited_s = torch.zeros(1), None
        if number:
            order = batch_order(len(train), self.config.seed, number, train.X.device)
            waited = self._waited and self._waited()
            start = self._clock()
            losses = self._learner.learn(train, order, self.config.batch_size).cpu()
            seconds = self._clock() - start
            if self._waited and waited is not None:
                waited_s = self._waited() - waited
        watched = self.config.track_on
        score, units = self._learner.score(train, watch=watched == "train")
        validation, more = self._learner.score(
            self._parts.validation, watch=watched == "validation"
        )
        last = losses[-1] * 0 + score.loss + validation.loss  # not finite if the last step diverged
        broken = (~torch.cat([losses[:-1], last.view(1)]).isfinite()).nonzero()
        if not len(broken):
            layers = self._describe_units([*units, *more], with_gradients=number == 0)
            self.history.append(Epoch(number, score, validation, seconds, layers, waited_s))
            self._good = self._learner.weights()
            return
        if number == 0:
            raise ActcompareError(
                f"the net with {self.config.activation} has a loss of {score.loss} at"
                " initialisation: check the activation and the scale of the data"
            )
        step = int(broken[0])
        self.diverged = Divergence(number, step + 1, float(losses[step]))
        self._learner.restore(self._good)

    def _describe_units(
        self, seen: list[UnitStatistics], *, with_gradients: bool
    ) -> tuple[LayerUnits, ...]:
        if not seen:
            return ()
        norms: Sequence[float | None] = [None] * len(seen)
        if with_gradients:
            norms = self._learner.gradient_norms(self._parts.train)
        return tuple(
            LayerUnits(
                name,
                len(units.mean),
                units.samples,
                units.sparsity,
                {
                    verdict: tuple(holds.nonzero().flatten().tolist())
                    for verdict, holds in units.verdicts().items()
                },
                norm,
            )
            for name, units, norm in zip(self._learner.layers, seen, norms, strict=True)
        )

    @contextlib.contextmanager
    def _conditions(self, epoch: int) -> Iterator[None]:
        """Set torch's threads and random state for an epoch, and restore them afterwards."""
        device = resolve_device(self.config.device)
        try:
            with torch_threads(self.config.threads), seeded(self.config.seed, epoch, device):
                yield
        except (ActcompareError, MemoryError):
            raise
        except (Exception, SystemExit) as error:  # a user's activation
            if is_shortage(error):
                raise MemoryError from error
            if self.config.model:
                raise users_error("the model fails", error) from error
            if not self._labels:
                raise
            raise ActcompareError(f"{self._labels} failed: {describe(error)}") from error

    def checkpoint(self) -> Checkpoint:
        """Return everything needed to continue from here."""
        return Checkpoint(
            self.config,
            self.environment,
            self.data,
            tuple(self.history),
            self.diverged,
            self._good,
            self._learner.optimizer.state,
        )

    def resume_from(self, checkpoint: Checkpoint) -> None:
        """Load the state of a saved run.

        Raises:
            ActcompareError: The weights or the data do not fit this net.
        """
        try:
            self._learner.restore(checkpoint.weights)
        except RuntimeError as error:
            raise ActcompareError(f"the saved weights do not fit: {describe(error)}") from error
        trained = sum(p.numel() for p in self.net.parameters() if p.requires_grad)
        try:
            check_state(self._learner.optimizer, checkpoint.optimizer, trained)
        except ValueError as error:
            raise ActcompareError(f"the saved optimizer state does not fit: {error}") from error
        same = ("samples", "classes", "fingerprint")
        if any(getattr(self.data, name) != getattr(checkpoint.data, name) for name in same):
            raise ActcompareError("the saved run was trained on other samples: start a new run")
        device = next(self.net.parameters()).device
        self._learner.optimizer.state = {
            name: tensor if name == "steps" else tensor.to(device)
            for name, tensor in checkpoint.optimizer.items()
        }
        self.data, self.diverged = checkpoint.data, checkpoint.diverged
        self.history = list(checkpoint.history)
        self._good = self._learner.weights()

    def report(self) -> Training:
        """Return the result after the last complete epoch, scored on the test set."""
        self._learner.restore(self._good)
        with self._conditions(len(self.history)):
            test, _ = self._learner.score(self._parts.test, watch=False)
            last = self.history[-1]
            if last.layers:
                norms = self._learner.gradient_norms(self._parts.train) or [None] * len(last.layers)
                layers = tuple(
                    replace(layer, gradient_norm=norm)
                    for layer, norm in zip(last.layers, norms, strict=True)
                )
                last = replace(last, layers=layers)
        self.net.eval()
        return Training(
            self.config,
            self.environment,
            self.data,
            (*self.history[:-1], last),
            test,
            self.diverged,
            self.net,
            self._examples(),
            self._negative_share(),
        )

    def units(self) -> list[UnitStatistics]:
        """Return the statistics of the units of each layer on the training set, as they are now."""
        with self._conditions(len(self.history)):
            return self._learner.score(self._parts.train, watch=True)[1]

    def sample_scores(self) -> "Tensor":
        """Return what each sample of the test set contributes to the metric, shape (sample,)."""
        with self._conditions(len(self.history)):
            return self._learner.sample_scores(self._parts.test)

    @property
    def parts(self) -> Split:
        """The training, validation and test sets."""
        return self._parts

    def _negative_share(self) -> float | None:
        least = self.data.least_target
        if least is None or least < 0:
            return None
        outputs = self._outputs(len(self._parts.test))
        return float((outputs < 0).mean())

    def _outputs(self, samples: int) -> npt.NDArray[Any]:
        """Return predictions for the first samples of the test set, in the units of the targets."""
        with torch.no_grad():
            output = self._learner.output(self._parts.test.X[:samples]).double().cpu().numpy()
        return np.asarray(output * self._parts.unit + self._parts.offset)

    def _examples(self) -> tuple[Example, ...]:
        """Return the first samples of the test set, with the net's outputs in the data's units."""
        (rows, X, y), classes = self._shown, self.data.classes
        outputs = self._outputs(len(rows))
        if classes:
            outputs = torch.from_numpy(outputs).softmax(1).numpy()
        found = []
        for row, x, target, values in zip(*map(_as_lists, (rows, X, y, outputs)), strict=True):
            found.append(
                Example(
                    sample=row,
                    input=tuple(None if number != number else number for number in x),
                    target=classes[target] if classes else tuple(target),
                    output=tuple(values),
                    predicted=classes[values.index(max(values))] if classes else None,
                )
            )
        return tuple(found)
