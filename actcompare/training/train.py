"""Train one SimpleNet with one activation on one data set, and resume a saved run."""

import contextlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from actcompare.activations.spec import Specs
from actcompare.data.datasets import Source
from actcompare.errors import ActcompareError, UsageError
from actcompare.training.checkpoints import Checkpoint, Folder
from actcompare.training.run import Run, Training
from actcompare.training.settings import make_recipe

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
        save: A folder to keep the run in, from which `resume` goes on.
        listen: Called after each epoch, from 0 (the initialisation) on, with the run as it stands.
        settings: Hidden, depth, epochs, lr, seed ...: the fields of
            `actcompare.training.settings.Settings`.

    Raises:
        UsageError: A setting is wrong.
        ActcompareError: The data cannot be used, the folder cannot be written, or holds a run.
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
    """Continue a saved run; the result is bitwise equal to that of an uninterrupted run.

    Args:
        folder: Folder of the saved run.
        epochs: Total number of epochs; by default the number of the saved run.
        activation: The activation, if it was given as a function and not as a SPEC.
        data: The data, if they were given as arrays.
        listen: Called with the run after each further epoch.

    Raises:
        ActcompareError: There is no run, it is damaged, or its data have changed.
    """
    with Folder.open(folder) as kept:
        run = restore(kept.load(), epochs=epochs, activation=activation, data=data)
        return carry_on(run, kept, listen)


def carry_on(run: "Run", folder: Folder | None, listen: Listener | None) -> Training:
    """Train to the end, saving each epoch in the folder."""
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
    """Return a run in the state in which it was saved.

    Raises:
        UsageError: `epochs` is less than the number of epochs done, or an activation or data that
            cannot be saved is missing.
        ActcompareError: The data have changed or cannot be read.
    """
    config, done = checkpoint.config, len(checkpoint.history) - 1
    if epochs is not None and epochs < done:
        raise UsageError(f"the run already has {done} epochs: --epochs {epochs} is too few")
    if data is None and config.data == "arrays":
        raise UsageError("the data of this run were arrays, which are not saved: pass them again")
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
        raise ActcompareError(f"{config.data} has changed since the run was saved: start a new run")
    run = Run(recipe)
    run.resume_from(checkpoint)
    return run
