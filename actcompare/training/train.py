"""Train one SimpleNet with one activation on one data set, and resume a saved run."""

import contextlib
import shlex
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from actcompare.activations.spec import Specs, parse, parse_all
from actcompare.data.datasets import Source
from actcompare.errors import ActcompareError, Terminated, UsageError
from actcompare.models.named import is_named
from actcompare.models.uses import AS_IS
from actcompare.training.checkpoints import Checkpoint, Folder
from actcompare.training.learning.module import Model
from actcompare.training.records import TrainConfig
from actcompare.training.run import Run, Training
from actcompare.training.settings import make_recipe

Listener = Callable[["Run"], None]


def train(
    activation: Specs = "relu",
    data: Source = "digits",
    *,
    save: str | Path | None = None,
    show: int = 0,
    listen: Listener | None = None,
    **settings: Any,
) -> Training:
    """Train a SimpleNet with an activation, and report how it did and which units are dead.

    Args:
        activation: a SPEC, a function or a module; one.
        data: `digits`, `sklearn:NAME`, `random`, a file's path, or arrays X and y.
        save: A folder to keep the run in, from which `resume` goes on.
        show: Samples of the test set whose outputs the result holds as `examples`.
        listen: Called after each epoch, from 0 (the initialisation) on, with the run as it stands.
        settings: Hidden, depth, epochs, lr, seed ...: the fields of
            `actcompare.training.settings.Settings`.

    Raises:
        UsageError: A setting is wrong.
        ActcompareError: The data cannot be used, the folder cannot be written, or holds a run.
    """
    run = Run(make_recipe(activation, data, **settings), show=show)
    with Folder.create(save) if save is not None else contextlib.nullcontext() as folder:
        return carry_on(run, folder, listen)


def resume(
    folder: str | Path,
    *,
    epochs: int | None = None,
    activation: Specs | None = None,
    output_activation: Specs | None = None,
    data: Source | None = None,
    model: Model | None = None,
    show: int = 0,
    listen: Listener | None = None,
) -> Training:
    """Continue a saved run; the result is bitwise equal to that of an uninterrupted run.

    A saved run does not decide which code runs: functions of your own are named again.

    Args:
        folder: Folder of the saved run.
        epochs: Total number of epochs; by default the number of the saved run.
        activation: The activation, if it is not one of the catalogue.
        output_activation: The activation of the outputs, likewise.
        data: The data, if they were given as arrays.
        model: The model, if it is one of your own.
        show: Samples of the test set, as in `train`.
        listen: Called with the run after each further epoch.

    Raises:
        ActcompareError: There is no run, it is damaged, or its data have changed.
    """
    with Folder.open(folder) as kept:
        run = restore(
            kept.load(),
            epochs=epochs,
            activation=activation,
            output_activation=output_activation,
            data=data,
            model=model,
            show=show,
        )
        return carry_on(run, kept, listen)


def carry_on(run: "Run", folder: Folder | None, listen: Listener | None) -> Training:
    """Train to the end, saving each epoch in the folder."""
    for _ in run.epochs():
        if folder is not None:
            _save(run, folder)
        if listen is not None:
            listen(run)
    return run.report()


def _save(run: "Run", folder: Folder) -> None:
    """Save the state; if that is interrupted, once more, so that what is reported is kept."""
    try:
        folder.save(run.checkpoint())
    except (KeyboardInterrupt, Terminated):
        with contextlib.suppress(ActcompareError):  # it is there already
            folder.save(run.checkpoint())
        raise


def restore(
    checkpoint: Checkpoint,
    *,
    epochs: int | None = None,
    activation: Specs | None = None,
    output_activation: Specs | None = None,
    data: Source | None = None,
    model: Model | None = None,
    show: int = 0,
) -> "Run":
    """Return a run in the state in which it was saved; the arguments are as in `resume`, `train`.

    Raises:
        UsageError: `epochs` is less than the number of epochs done, or an activation or data that
            cannot be saved is missing.
        ActcompareError: The data have changed or cannot be read, or an activation is another one.
    """
    config, done = checkpoint.config, len(checkpoint.history) - 1
    if epochs is not None and epochs < done:
        raise UsageError(f"the run already has {done} epochs: --epochs {epochs} is too few")
    if data is None and config.data == "arrays":
        raise UsageError("the data of this run were arrays, which are not saved: pass them again")
    settings = asdict(config) | {"epochs": config.epochs if epochs is None else epochs}
    if config.data != "random":
        del settings["input_size"], settings["output_size"]
    del settings["data"]
    settings["replace"] = settings.pop("replaced") or AS_IS
    settings["model"] = _model_again(config, model)
    if config.model:
        del settings["hidden"], settings["depth"], settings["init"]
    for name, given in (("activation", activation), ("output_activation", output_activation)):
        settings[name] = _named_again(name, settings[name], given)
    recipe = make_recipe(data=config.data if data is None else data, **settings)
    if recipe.dataset.fingerprint() != checkpoint.data.fingerprint:
        raise ActcompareError(f"{config.data} has changed since the run was saved: start a new run")
    run = Run(recipe, show=show)
    run.resume_from(checkpoint)
    return run


def own_code(config: TrainConfig) -> dict[str, str]:
    """Return the SPECs of a run that name code of the user's, by their options."""
    specs = {"--act": config.activation, "--output-act": config.output_activation}
    own = {name: spec for name, spec in specs.items() if spec and _is_own(spec)}
    return own | ({"--model": config.model} if config.model and not is_named(config.model) else {})


def _is_own(spec: str) -> bool:
    return spec != AS_IS and parse(spec).entry is None


def _model_again(config: TrainConfig, given: Model | None) -> Model | None:
    """Return the model of a saved run; code of the user's runs only if it is named again."""
    if given is None and config.model is not None and not is_named(config.model):
        raise UsageError(
            f"the saved run uses code that it only names, {config.model}, and does not decide"
            f" whether it runs: if you trust it, add --model {shlex.quote(config.model)}"
        )
    if given is None:
        return config.model
    if isinstance(given, str) and given != config.model:
        raise ActcompareError(f"the run was saved with model {config.model}, not {given}")
    return given


def _named_again(name: str, saved: str | None, given: Specs | None) -> Specs | None:
    """Return an activation of a saved run; code of the user's runs only if it is named again."""
    if given is not None:
        labels = ", ".join(activation.label for activation in parse_all(given))
        if labels != saved:
            raise ActcompareError(f"the run was saved with {name} {saved}, not {labels}")
        return given
    if saved is not None and _is_own(saved):
        option = {"activation": "--act", "output_activation": "--output-act"}[name]
        raise UsageError(
            f"the saved run uses code that it only names, {saved}, and does not decide whether it"
            f" runs: if you trust it, add {option} {shlex.quote(saved)}"
        )
    return saved
