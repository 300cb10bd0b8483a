"""`actcompare inspect`."""

import contextlib
import shlex
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from actcompare.cli.options import (
    DATA,
    DTYPES,
    GATE_TRIPPED,
    MACHINE_PANEL,
    RESULT,
    Fed,
    NumberFormat,
    Reported,
    Threads,
    gate_option,
    grouped,
    option,
    settings_of,
)
from actcompare.cli.streams import prints_aside
from actcompare.errors import ActcompareError, UsageError, UsersError
from actcompare.files.writing import check_writable
from actcompare.output.formats import Destination
from actcompare.output.messages import say
from actcompare.output.results import heading, write

if TYPE_CHECKING:
    from torch import nn

    from actcompare.inspection.inspect import Inspection
    from actcompare.inspection.records import Settings
    from actcompare.models.named import Described
    from actcompare.models.target import Source
    from actcompare.output.gates import Gate

_RANDOM_SAMPLES, _FEW_SAMPLES = 512, 16
"""Random samples by default: of --random, and of models whose library describes their input."""


@dataclass(frozen=True)
class InspectOptions:
    """The settings of `actcompare.inspect_model` that the command line offers."""

    samples: Annotated[
        int | None,
        option(
            "Largest number of samples.",
            "N",
            panel=DATA,
            default="all; 512 of --random; 16 of a model by name",
        ),
    ] = None
    batch_size: Annotated[int, option("Samples per batch.", "N", panel=DATA)] = 64
    input_index: Annotated[
        list[int] | None,
        option("Part of a tuple that goes in, from 0. Repeatable.", "N", panel=DATA),
    ] = None
    input_key: Annotated[
        list[str] | None,
        option(
            "Array of a file, column of a table, or part of a dict that goes in. Repeatable.",
            "NAME",
            panel=DATA,
        ),
    ] = None
    own: Annotated[
        list[str] | None,
        option(
            "An elementwise function or module of your own to watch too: module:Name"
            " or file.py:Name. Repeatable.",
            "SPEC",
            names=("--watch",),
        ),
    ] = None
    unit_dim: Annotated[
        int | None,
        option("Axis of the units.", "N", default="channels of convolutions, else the last"),
    ] = None
    eps: Annotated[float, option("Largest |f'| that counts as flat.")] = 1e-3
    every: Annotated[int, option("Measure each N-th sample or position only.", "N")] = 1
    swap: Annotated[
        list[str] | None,
        option(
            "What if: run the model with other activations too, such as relu=softplus. Repeatable.",
            "OLD=NEW",
        ),
    ] = None
    device: Annotated[
        str | None,
        option(
            "Device to compute on.",
            "cpu|cuda|cuda:N|mps",
            panel=MACHINE_PANEL,
            default="where it is",
        ),
    ] = None
    dtype: Annotated[
        NumberFormat | None,
        option(DTYPES, "DTYPE", panel=MACHINE_PANEL, default="that of its weights"),
    ] = None


@grouped
def inspect_command(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="module:attr or file.py:attr, a torch.nn.Module or a function that gives one"
            " (importing it runs its code); or timm:NAME, torchvision:NAME or hf:NAME.",
        ),
    ],
    *,
    options: InspectOptions,
    fed: Fed,
    seed: Annotated[int, option("Seed of random input.", panel=DATA)] = 0,
    threads: Threads = None,
    per_unit: Annotated[
        Path | None, option("Write what was seen of each unit as CSV.", "FILE", panel=RESULT)
    ] = None,
    fail_on: Annotated[list[str] | None, gate_option("zero_dead_share>10%")] = None,
    reported: Reported,
) -> None:
    """Find dead units in a model of your own, by any activation that it calls.

    Example: actcompare inspect mymodel.py:build --data x.npz
    """
    destination = reported.destination()
    if per_unit is not None:
        check_writable(per_unit)
    from actcompare.inspection.inspect import NUMBERS, threads_for_model
    from actcompare.inspection.records import Settings
    from actcompare.machine.processors import check_threads, torch_threads
    from actcompare.models.target import Source, load_target
    from actcompare.output.gates import parse_gates

    gates = parse_gates(fail_on, NUMBERS, of_layers=True)
    asked = {name: value for name, value in settings_of(options).items() if value is not None}
    asked["swap"] = _swaps(options.swap or [])
    check_threads(threads)
    source = Source(fed.data, fed.random, fed.random_tokens, seed)
    source.check(target)
    settings = Settings(**{"samples": _samples(source)} | asked)
    with prints_aside():
        model, takes, loaded = load_target(target, fed.checkpoint)
        if loaded and not reported.quiet:
            say(loaded)
        with torch_threads(threads or threads_for_model(model, settings.batch_size)):
            inspection = _inspect(model, target, source, takes, settings, reported.quiet)
    if fed.data is None and not reported.quiet:
        say(
            "warning: random input says little: units that are dead on it may be alive on real"
            " samples, and vice versa; use --data FILE"
        )
    _show(inspection, destination, per_unit)
    if _trips(gates, inspection):
        raise typer.Exit(GATE_TRIPPED)


def _samples(source: "Source") -> int | None:
    """Return the default of --samples."""
    if source.tokens is not None:
        return source.tokens[0]
    return _FEW_SAMPLES if source.is_described else _RANDOM_SAMPLES if source.random else None


def _swaps(texts: list[str]) -> dict[str, str]:
    from actcompare.models.swap import parse_swap

    swaps: dict[str, str] = {}
    for old, new in map(parse_swap, texts):
        if old in swaps:
            raise UsageError(f"--swap {old} is given twice")
        swaps[old] = new
    return swaps


def _inspect(
    model: "nn.Module", target: str, source: "Source", takes: "Described | None",
    settings: "Settings", quiet: bool,
) -> "Inspection":  # fmt: skip
    from actcompare.files import tabular
    from actcompare.inspection.inspect import inspect_named
    from actcompare.models.feed import FILES

    data, keys, samples = source.data, settings.input_key, settings.samples
    batches = source.batches(model, takes, samples or 0, settings.batch_size, keys)
    if data is not None and Path(data).suffix.lower() in FILES:
        settings = replace(settings, input_key=())  # it has already been applied
    with _bar(samples, quiet) as progress:
        try:
            return inspect_named(model, target, batches, str(source), settings, progress)
        except UsersError as error:
            if data is None or keys or Path(data).suffix.lower() not in tabular.ENDINGS:
                raise
            raise _too_many_columns(model, target, Path(data), error) from error


def _too_many_columns(
    model: "nn.Module", target: str, path: Path, error: UsersError
) -> ActcompareError:
    """Return an error that names the columns to leave the target out, if there is one."""
    from torch import nn

    from actcompare.files import tabular

    names: list[str] = []

    def note(found: list[str]) -> list[str]:
        names.extend(found)
        return found

    next(tabular.read_numbers(path, note, 1))
    linear = next((m for m in model.modules() if isinstance(m, nn.Linear)), None)
    if linear is None or not 1 < len(names) == linear.in_features + 1:
        return error
    likely = [name for name in names if name.lower() in ("y", "target", "label", "class")]
    left_out = (likely or names)[-1]
    line = shlex.join(part for n in names if n != left_out for part in ("--input-key", n))
    return ActcompareError(
        f"{target} takes {linear.in_features} inputs, and {path} has {len(names)} columns: to leave"
        f" out {left_out!r}, add {line}"
    )


@contextlib.contextmanager
def _bar(samples: int | None, quiet: bool) -> "Iterator[Callable[[int], None] | None]":
    """Show a live line with the number of samples so far."""
    from actcompare.cli.progress import progress_line

    with progress_line(quiet, total=samples) as update:
        if update is None:
            yield None
            return
        yield lambda done: update(completed=done, description=f"{done:,} samples")


def _show(inspection: "Inspection", destination: Destination, per_unit: Path | None) -> None:
    from actcompare.files.writing import open_output
    from actcompare.inspection.tables import inspection_grid
    from actcompare.output import render

    if per_unit is not None:
        with open_output(per_unit) as out:
            render.write_csv([inspection.unit_columns()], out)
    columns, total = inspection.columns(), inspection.total()
    what_if = inspection.what_if
    write(
        destination,
        heading("inspect", asdict(inspection.config), inspection.environment.as_dict()),
        columns,
        [inspection_grid(columns, total)],
        inspection.reading(),
        more={
            "total": total,
            "samples": inspection.samples,
            "unseen": [asdict(each) for each in inspection.unseen],
            "never_called": list(inspection.never_called),
            "swaps": [asdict(swap) for swap in what_if.swaps] if what_if else [],
        },
    )


def _trips(gates: "list[Gate]", inspection: "Inspection") -> bool:
    """Return whether any gate trips on the original model, and report each that does on stderr."""
    from actcompare.models.watching.records import layer_columns
    from actcompare.output.gates import report_tripped
    from actcompare.units.statistics import with_shares
    from actcompare.units.wording import UNIT, layer_value

    layers = with_shares(
        layer_columns([layer for layer in inspection.layers if layer.role == UNIT])
    )
    return report_tripped(gates, layers, lambda column, i: layer_value(layers, column, i))
