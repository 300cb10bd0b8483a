"""`train`: one SimpleNet, one activation, one data set, and what becomes of its units."""

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
        save: a folder to keep the run in, from which `resume` goes on.
        listen: called after each epoch, from 0 (the initialisation) on, with the run as it stands.
        settings: hidden, depth, epochs, lr, seed ...: the fields of
            `actcompare.training.settings.Settings`.

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
