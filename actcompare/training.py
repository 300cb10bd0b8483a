"""`train`: one SimpleNet, one activation, one data set, and what becomes of its units."""

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from actcompare.activations import Activation, Specs
from actcompare.checkpoints import Checkpoint, Folder
from actcompare.data import Source
from actcompare.derivatives import Function, build_elementwise, differentiate
from actcompare.environment import (
    describe_environment,
    resolve_device,
    resolve_dtype,
    torch_threads,
)
from actcompare.errors import ActcompareError, UsageError
from actcompare.learner import Learner
from actcompare.memory import free_memory, is_shortage
from actcompare.nets import SimpleNet, initialise
from actcompare.neurons import UnitStatistics
from actcompare.optimizers import make_optimizer
from actcompare.recipes import Recipe, make_recipe
from actcompare.runs import DataSummary, Divergence, Epoch, LayerUnits, TrainConfig, Training
from actcompare.seeding import batch_order, seeded
from actcompare.splits import split
from actcompare.units import in_bytes
from actcompare.users import describe

Listener = Callable[["Run"], None]


def train(
    activation: Specs = "relu",
    data: Source = "digits",
    *,
    save: str | Path | None = None,
    listen: Listener | None = None,
    **settings: Any,
) -> Training:
    """Train a SimpleNet with an activation, and report how it did and which units are dead.

    Args:
        activation: a SPEC, a function or a module; one.
        data: `digits`, `sklearn:NAME`, `random`, a file's path, or arrays X and y.
        save: a folder to keep the run in, from which `resume` goes on.
        listen: called after each epoch, from 0 (the initialisation) on, with the run as it stands.
        settings: hidden, depth, epochs, lr, seed ...: what `actcompare.recipes.make_recipe` takes.

    Raises:
        UsageError: a setting is wrong.
        ActcompareError: the data cannot be used, the folder cannot be written, or holds a run.
    """
    run = Run(make_recipe(activation, data, **settings))
    with Folder.create(save) if save is not None else contextlib.nullcontext() as folder:
        return carry_on(run, folder, listen)


def resume(
    folder: str | Path,
    *,
    epochs: int | None = None,
    activation: Specs | None = None,
    data: Source | None = None,
    listen: Listener | None = None,
) -> Training:
    """Go on with a saved run; it ends with the bits that an unbroken run ends with.

    Args:
        folder: where it was saved.
        epochs: train up to so many; by default as many as were asked for at first.
        activation: the activation again, where it was given as a function and not as a SPEC.
        data: the data again, where they were given as arrays.
        listen: called after each further epoch.

    Raises:
        ActcompareError: there is no run, it is damaged, or its data have changed.
    """
    with Folder.open(folder) as kept:
        run = restore(kept.load(), epochs=epochs, activation=activation, data=data)
        return carry_on(run, kept, listen)


def carry_on(run: "Run", folder: Folder | None, listen: Listener | None) -> Training:
    """Train to the end, each epoch kept in the folder."""
    for _ in run.epochs():
        if folder is not None:
            folder.save(run.checkpoint())
        if listen is not None:
            listen(run)
    return run.report()


def restore(
    checkpoint: Checkpoint,
    *,
    epochs: int | None = None,
    activation: Specs | None = None,
    data: Source | None = None,
) -> "Run":
    """A run as it stood when it was saved.

    Raises:
        UsageError: fewer epochs are asked for than there were, or something is not given again.
        ActcompareError: the data have changed, or cannot be read.
    """
    config, done = checkpoint.config, len(checkpoint.history) - 1
    if epochs is not None and epochs < done:
        raise UsageError(f"the run has {done} epochs already: --epochs {epochs} would be fewer")
    if data is None and config.data == "arrays":
        raise UsageError("the run was given its data as arrays: give them again")
    settings = asdict(config) | {"epochs": config.epochs if epochs is None else epochs}
    if config.data != "random":
        del settings["input_size"], settings["output_size"]
    del settings["activation"], settings["data"]
    recipe = make_recipe(
        config.activation if activation is None else activation,
        config.data if data is None else data,
        **settings,
    )
    if recipe.dataset.fingerprint() != checkpoint.data.fingerprint:
        raise ActcompareError(f"{config.data} has changed since the run was saved: train anew")
    run = Run(recipe)
    run.resume_from(checkpoint)
    return run


class Run:
    """A run under way: `epochs` carries it on, `report` says where it stands.

    Only the seed, the number of the epoch and the state after the last one decide about the next.
    """

    def __init__(self, recipe: Recipe, clock: Callable[[], float] = time.perf_counter) -> None:
        """A net with fresh weights, ready to learn.

        Raises:
            ActcompareError: the data are too few, the net is too large, an activation fails.
        """
        self.config, self._clock = recipe.config, clock
        config, dataset = self.config, recipe.dataset
        device, dtype = resolve_device(config.device), resolve_dtype(config.dtype)[1]
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
        self._learner = Learner(
            make_net(recipe, dtype, device),
            config.task,
            make_optimizer(config.optimizer, config.lr, config.momentum, config.weight_decay),
        )
        self.environment = replace(describe_environment(device), threads=config.threads)
        self.data = DataSummary(
            samples=sizes,
            stratified=self._parts.stratified,
            why=dataset.why,
            classes=dataset.classes,
            constant=self._parts.constant,
            notes=dataset.notes,
            fingerprint=dataset.fingerprint(),
        )
        self.history: list[Epoch] = []
        self.diverged: Divergence | None = None
        self._good = self._learner.weights()

    @property
    def net(self) -> SimpleNet:
        """The net that learns."""
        return self._learner.net

    def epochs(self) -> Iterator[Epoch]:
        """Train, and yield each epoch when it is done: first the initialisation, if it is not yet.

        Where the loss is no finite number the last epoch is yielded once more, with `diverged` set,
        and the run ends.

        Raises:
            ActcompareError: the activation fails.
        """
        while self.diverged is None and len(self.history) <= self.config.epochs:
            with self._conditions(len(self.history)):
                self._train_one()
            yield self.history[-1]

    def _train_one(self) -> None:
        number, train, seconds = len(self.history), self._parts.train, 0.0
        losses = torch.zeros(1)
        if number:
            order = batch_order(len(train), self.config.seed, number, train.X.device)
            start = self._clock()
            losses = self._learner.learn(train, order, self.config.batch_size).cpu()
            seconds = self._clock() - start
        watched = self.config.track_on
        score, units = self._learner.score(train, watch=watched == "train")
        validation, more = self._learner.score(
            self._parts.validation, watch=watched == "validation"
        )
        last = losses[-1] * 0 + score.loss + validation.loss  # shows what the last step broke
        broken = (~torch.cat([losses[:-1], last.view(1)]).isfinite()).nonzero()
        if not len(broken):
            layers = self._describe_units([*units, *more], with_gradients=number == 0)
            self.history.append(Epoch(number, score, validation, seconds, layers))
            self._good = self._learner.weights()
            return
        if number == 0:
            raise ActcompareError(
                f"the net with {self.config.activation} gives a loss of {score.loss} before any"
                " training"
            )
        step = int(broken[0])
        self.diverged = Divergence(number, step + 1, float(losses[step]))
        self._learner.restore(self._good)

    def _describe_units(
        self, seen: list[UnitStatistics], *, with_gradients: bool
    ) -> tuple[LayerUnits, ...]:
        if not seen:
            return ()
        norms: list[float] | list[None] = [None] * len(seen)
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
            for (name, _, _), units, norm in zip(self.net.hidden_layers(), seen, norms, strict=True)
        )

    @contextlib.contextmanager
    def _conditions(self, epoch: int) -> Iterator[None]:
        """Threads and torch's random numbers as this run wants them, and as they were after it."""
        device = next(self.net.parameters()).device
        try:
            with torch_threads(self.config.threads), seeded(self.config.seed, epoch, device):
                yield
        except (ActcompareError, MemoryError):
            raise
        except (Exception, SystemExit) as error:
            if is_shortage(error):
                raise MemoryError from error
            if not self._labels:
                raise
            raise ActcompareError(f"{self._labels} fails: {describe(error)}") from error

    def checkpoint(self) -> Checkpoint:
        """All that is needed to go on from here."""
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
        """Take up the state of another process.

        Raises:
            ActcompareError: it is not a state of this net.
        """
        try:
            self._learner.restore(checkpoint.weights)
        except RuntimeError as error:
            raise ActcompareError(f"the saved weights do not fit: {describe(error)}") from error
        device = next(self.net.parameters()).device
        self._learner.optimizer.state = {
            name: tensor if name == "steps" else tensor.to(device)
            for name, tensor in checkpoint.optimizer.items()
        }
        self.data, self.diverged = checkpoint.data, checkpoint.diverged
        self.history = list(checkpoint.history)
        self._good = self._learner.weights()

    def report(self) -> Training:
        """The run as it stands after its last whole epoch, judged on the test part."""
        self._learner.restore(self._good)
        with self._conditions(len(self.history)):
            test, _ = self._learner.score(self._parts.test, watch=False)
            last = self.history[-1]
            if last.layers:
                norms = self._learner.gradient_norms(self._parts.train)
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
        )


def make_net(recipe: Recipe, dtype: torch.dtype, device: torch.device) -> SimpleNet:
    """The net with the weights of its seed, which do not depend on activation, dtype or device."""
    config, outer = recipe.config, recipe.output_activation
    function = _build(recipe.activation, dtype, device)
    out = _build(outer, dtype, device) if outer else None
    with seeded(config.seed, 0, device), torch.device("cpu"):
        net = SimpleNet(
            config.input_size,
            config.hidden,
            config.output_size,
            function,
            depth=config.depth,
            output_activation=out,
        )
        initialise(net, config.init)
    return net.to(device, dtype)


def _build(activation: Activation, dtype: torch.dtype, device: torch.device) -> Function:
    """The function, once it is known to work and to have a derivative."""
    function = build_elementwise(activation, dtype, device)
    some = torch.linspace(-3, 3, 64, dtype=dtype, device=device)
    differentiate(function, some, activation.label, 1)
    return function


def check_run(config: TrainConfig, samples: int) -> None:
    """Check that a training part of so many samples fills a batch, and memory holds the net.

    Raises:
        ActcompareError: it does not.
    """
    if config.batch_size > samples:
        raise ActcompareError(
            f"batch-size {config.batch_size:,} is more than the {samples:,} samples of the"
            f" training part: {samples:,} is the most"
        )
    free, need = free_memory(resolve_device(config.device)), memory_needed(config)
    if need > 0.9 * free:
        raise ActcompareError(
            f"a net of hidden {config.hidden} and depth {config.depth} needs about {in_bytes(need)}"
            f" on {config.device}, where {in_bytes(free)} are free: choose a smaller --hidden or"
            " --depth"
        )


def memory_needed(config: TrainConfig) -> int:
    """Bytes that a net takes while it learns, roughly."""
    sizes = [config.input_size, *[config.hidden] * config.depth, config.output_size]
    weights = sum((a + 1) * b for a, b in itertools.pairwise(sizes))
    activations = config.batch_size * config.hidden * config.depth
    # Weights, gradient, two of the optimizer's, a good copy and two passing ones.
    return resolve_dtype(config.dtype)[1].itemsize * (7 * weights + 4 * activations)
