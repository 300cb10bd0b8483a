"""`actcompare train`."""

import contextlib
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from actcompare.cli.options import (
    GATE_TRIPPED,
    MODEL,
    Device,
    Drawn,
    Dtype,
    Modelled,
    NumberFormat,
    Threads,
    complete_spec,
    gate_option,
    given_on_command_line,
    grouped,
    option,
    settings_of,
    shape_of,
)
from actcompare.cli.streams import prints_aside
from actcompare.errors import ActcompareError, Terminated, UsageError
from actcompare.output.formats import Destination
from actcompare.output.messages import say
from actcompare.output.results import heading, write

if TYPE_CHECKING:
    from actcompare.output.gates import Gate
    from actcompare.training.run import Run, Training

Tracked = StrEnum("Tracked", ["train", "validation"])


@dataclass(frozen=True)
class TrainOptions(Modelled):
    """Settings of `actcompare.train` on the command line."""

    activation: Annotated[
        list[str],
        option(
            "Activation of the hidden layers; `actcompare list` shows them.",
            "SPEC",
            names=("--act", "-a"),
            complete=complete_spec,
        ),
    ] = field(default_factory=lambda: ["relu"])
    hidden: Annotated[int, option("Units in a hidden layer.", "N")] = 64
    depth: Annotated[int, option("Hidden layers.", "N")] = 1
    lr: Annotated[
        float | None,
        option("Learning rate.", default="0.1 with sgd, 0.01 for a regression; else 0.003"),
    ] = None
    seed: Annotated[int, option("Seed of split, weights and batch order.")] = 0
    device: Device = "cpu"
    dtype: Dtype = NumberFormat.float32
    threads: Threads = None
    track_on: Annotated[Tracked, option("The set on which units are watched.")] = Tracked.train
    replace: Annotated[
        str,
        option(
            "Activation of --model that --act replaces.",
            "SPEC",
            panel=MODEL,
            default="the one that it calls most often",
        ),
    ] = "as-is"


@grouped
def train_command(
    context: typer.Context,
    *,
    options: TrainOptions,
    no_track: Annotated[bool, option("Do not watch units.", names=("--no-track",))] = False,
    save: Annotated[Path | None, option("Save the run to DIR, epoch by epoch.", "DIR")] = None,
    resume: Annotated[
        Path | None, option("Continue the run in DIR, or show it if it is complete.", "DIR")
    ] = None,
    log_dir: Annotated[Path | None, option("Write TensorBoard events to DIR.", "DIR")] = None,
    show: Annotated[
        int, option("Show input, target and output of so many samples of the test set.", "N")
    ] = 0,
    fail_on: Annotated[list[str] | None, gate_option("zero_dead_share>10%")] = None,
    drawn: Drawn,
) -> None:
    """Train a SimpleNet with an activation; how it does, and which of its units are dead.

    Example: actcompare train --act softplus
    """
    destination = drawn.destination()
    drawing = drawn.drawing(destination)
    from actcompare.machine.waiting import waiting_caution
    from actcompare.output.gates import parse_gates
    from actcompare.training.records import LAYER_NUMBERS, RUN_NUMBERS

    known = [*RUN_NUMBERS, *([] if no_track else LAYER_NUMBERS)]
    gates = parse_gates(fail_on, known)
    settings = settings_of(options)
    settings["input_shape"] = shape_of("--input-shape", options.input_shape)
    if options.model and "activation" not in given_on_command_line(context):
        settings["activation"] = "as-is"
    if no_track:
        settings["track_on"] = None
    if resume is not None and save is not None:
        raise UsageError("--resume DIR continues saving to DIR: omit --save")
    with contextlib.ExitStack() as kept:
        if resume is None:
            training, stopped = _start(kept, settings, save, log_dir, show, drawn.quiet)
        else:
            named = given_on_command_line(context) | ({"track_on"} if no_track else set())
            given = {name: value for name, value in settings.items() if name in named}
            training, stopped = _resume(kept, resume, given, log_dir, show, drawn.quiet)
    _show(training, destination)
    if drawing:
        from actcompare.training.plots import course_picture

        drawing.show(course_picture(training))
    caution = waiting_caution(training.waited_share, "training steps")
    if caution and not drawn.quiet:
        say(f"warning: {caution}")
    if stopped is not None:
        where = resume or save
        if where is not None and not isinstance(stopped, ActcompareError):
            from actcompare.training.train import own_code

            own = [word for pair in own_code(training.config).items() for word in pair]
            say("to continue: " + shlex.join(["actcompare", "train", "--resume", str(where), *own]))
        raise stopped
    if _trips(gates, training):
        raise typer.Exit(GATE_TRIPPED)


def _start(
    kept: contextlib.ExitStack,
    settings: dict[str, Any],
    save: Path | None,
    log_dir: Path | None,
    show: int,
    quiet: bool,
) -> "tuple[Training, BaseException | None]":
    from actcompare.training.checkpoints import Folder
    from actcompare.training.run import Run
    from actcompare.training.settings import make_recipe

    with prints_aside():
        recipe = make_recipe(settings.pop("activation"), settings.pop("data"), **settings)
        run = Run(recipe, show=show)
    folder = kept.enter_context(Folder.create(save)) if save is not None else None
    return _carry_on(run, folder, log_dir, quiet)


def _resume(
    kept: contextlib.ExitStack,
    path: Path,
    given: Mapping[str, Any],
    log_dir: Path | None,
    show: int,
    quiet: bool,
) -> "tuple[Training, BaseException | None]":
    from actcompare.machine.environment import what_differs
    from actcompare.training.checkpoints import Folder
    from actcompare.training.train import restore

    folder = kept.enter_context(Folder.open(path))
    checkpoint = folder.load()
    old, new = asdict(checkpoint.config), dict(given)
    epochs = new.pop("epochs", None)
    own = {name: new.pop(name, None) for name in ("activation", "output_activation", "model")}
    if "replace" in new:
        new["replaced"] = new.pop("replace")
    differ = [name for name, value in new.items() if value != old[name]]
    if differ:
        was = ", ".join(f"{name} {old[name]}" for name in differ)
        now = ", ".join(f"{name} {new[name]}" for name in differ)
        raise ActcompareError(
            f"the run in {path} uses {was}, not {now}: omit these options, or start a new run with"
            " --save"
        )
    with prints_aside():
        run = restore(checkpoint, epochs=epochs, show=show, **own)
    changed = what_differs(checkpoint.environment, run.environment)
    if changed and not quiet:
        say(f"warning: the last bits may differ from an uninterrupted run, since {changed}")
    return _carry_on(run, folder, log_dir, quiet)


def _carry_on(
    run: "Run", folder: Any, log_dir: Path | None, quiet: bool
) -> "tuple[Training, BaseException | None]":
    """Train to the end; return the result so far, and any interrupt or error."""
    from actcompare.training.train import carry_on

    if not quiet:
        for note in run.data.notes:
            say(f"warning: {note}")
    with contextlib.ExitStack() as kept:
        listeners = [kept.enter_context(_bar(run, quiet))]
        if log_dir is not None:
            from actcompare.training.tensorboard import EventLog

            listeners.append(kept.enter_context(EventLog(log_dir, len(run.history))).add)

        def listen(run: "Run") -> None:
            for each in listeners:
                each(run)

        try:
            with prints_aside():
                return carry_on(run, folder, listen), None
        except (KeyboardInterrupt, Terminated, ActcompareError) as error:
            if not run.history:
                raise
            return run.report(), error


@contextlib.contextmanager
def _bar(run: "Run", quiet: bool) -> "Iterator[Callable[[Run], None]]":
    """Show a progress line: epoch, loss, validation metric, dead units and time left."""
    from actcompare.cli.progress import progress_line

    total, done = run.config.epochs, max(0, len(run.history) - 1)
    with progress_line(quiet, total=total, completed=done, time_left=True) as update:

        def tell(run: "Run") -> None:
            if update is None:
                return
            epoch = run.history[-1]
            dead = sum(len(layer.dead) for layer in epoch.layers)
            units = sum(layer.units for layer in epoch.layers)
            said = (
                f"epoch {epoch.epoch}/{total}: loss {epoch.train.loss:.4f},"
                f" validation {epoch.validation.metric:.4f}"
            )
            said += f", {dead}/{units} dead" if units else ""
            update(completed=epoch.epoch, description=said)

        yield tell


def _show(training: "Training", destination: Destination) -> None:
    from actcompare.table import Table
    from actcompare.training.tables import course_grid, example_grid, score_grid, unit_grid

    columns, metrics = training.columns(), training.metrics()
    grids = [score_grid(metrics, training.data.samples)]
    if columns:
        first = Table.of([layer.row() for layer in training.history[0].layers])
        grids.append(unit_grid(first, columns))
    grids.append(course_grid(training.course(), training.metric))
    if training.examples:
        grids.append(example_grid(training.examples))
    config = training.config
    parameters = sum(p.numel() for p in training.net.parameters())
    how = f", with {config.activation} in place of {config.replaced}"
    named = f"{config.model}{how if config.activation != 'as-is' else ', as it is'}"
    net = named if config.model else training.net
    model = f"{net}\nParameters: {parameters:,}\nData: {training.data_in_words()}\n"
    write(
        destination,
        heading("train", config.as_dict(), training.environment.as_dict()),
        columns,
        grids,
        training.reading(),
        intro=model,
        more={
            "metrics": metrics,
            "history": training.history_rows(),
            "data": asdict(training.data),
            "parameters": parameters,
            "examples": [asdict(each) for each in training.examples],
        },
    )


def _trips(gates: "list[Gate]", training: "Training") -> bool:
    """Return whether a gate trips; report each one that does on stderr with its value."""
    from actcompare.output.gates import report_tripped
    from actcompare.training.records import RUN_NUMBERS
    from actcompare.units.statistics import with_shares
    from actcompare.units.wording import layer_value

    metrics, layers = training.metrics(), with_shares(training.columns())
    of_layers = [gate for gate in gates if gate.column not in RUN_NUMBERS]
    if of_layers and not layers:
        raise UsageError(f"--fail-on {of_layers[0].text!r}: the units of this run were not watched")
    once = {name: [metrics[name]] for name in RUN_NUMBERS}
    of_run = [gate for gate in gates if gate not in of_layers]
    tripped = [
        report_tripped(of_run, once, lambda column, _: f"it is {metrics[column]:.6g}"),
        report_tripped(of_layers, layers, lambda column, i: layer_value(layers, column, i)),
    ]
    return any(tripped)
