"""`actcompare inspect`."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from actcompare.cli.options import GATE_TRIPPED, Output, OutputFormat, Quiet
from actcompare.cli.streams import prints_aside
from actcompare.errors import UsageError
from actcompare.files.writing import check_output, check_writable
from actcompare.output.formats import Format, choose_format
from actcompare.output.results import heading, write

if TYPE_CHECKING:
    from torch import nn

    from actcompare.inspection.inspect import Inspection
    from actcompare.output.gates import Gate

_RANDOM_SAMPLES = 512


def inspect_command(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="module:attr or file.py:attr, a torch.nn.Module or a function that gives one."
            " Importing it runs its code.",
        ),
    ],
    data: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|module:attr",
            help="Input: .npz, .npy, .csv, .tsv or .pt, or batches as your code gives them"
            " (importing it runs its code).",
        ),
    ] = None,
    random: Annotated[
        str | None,
        typer.Option(
            metavar="SHAPE",
            help="Random numbers instead, as samples of a shape such as 3x224x224.",
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Weights, as torch.save wrote a state dict."),
    ] = None,
    input_index: Annotated[
        list[int] | None,
        typer.Option(metavar="N", help="Which part of a tuple goes in, from 0. Repeatable."),
    ] = None,
    input_key: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Which array of a file, column of a table, or part of a dict goes in. Repeatable.",
        ),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Largest number of samples.", show_default="all; 512 of --random"
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(metavar="N", help="Samples per batch.")] = 64,
    watch: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SPEC",
            help="An elementwise function or module of your own to watch too: module:Name or"
            " file.py:Name. Repeatable.",
        ),
    ] = None,
    unit_dim: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Axis of the units.",
            show_default="channels of convolutions, else the last",
        ),
    ] = None,
    eps: Annotated[float, typer.Option(help="Largest |f'| that counts as flat.")] = 1e-3,
    swap: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OLD=NEW",
            help="What if: run the model with other activations too, such as relu=softplus."
            " Repeatable.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed for --random.")] = 0,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="cpu|cuda|cuda:N|mps", help="Device to compute on.", show_default="where it is"
        ),
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            metavar="float32|float64|bfloat16|float16",
            help="Number format.",
            show_default="that of its weights",
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(metavar="N", help="Threads torch computes with.", show_default="torch's own"),
    ] = None,
    per_unit: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write what was seen of each unit as CSV."),
    ] = None,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONDITION",
            help="Exit with code 3 if COLUMN OP NUMBER holds in a layer, such as"
            " 'zero_dead_share>10%'."
            " Repeatable.",
        ),
    ] = None,
    output_format: OutputFormat = None,
    output: Output = None,
    quiet: Quiet = False,
) -> None:
    """Find dead units in a model of your own, by any activation that it calls."""
    output_format = choose_format(output_format, output)
    check_output(output)
    if per_unit is not None:
        check_writable(per_unit)
        if output is not None and per_unit.resolve() == output.resolve():
            raise UsageError("--per-unit and --output name the same file")
    if (data is None) == (random is None):
        raise UsageError("say what goes in: --data FILE, or --random SHAPE such as 3x224x224")
    from actcompare.inspection.inspect import NUMBERS, inspect_model
    from actcompare.machine.processors import check_threads
    from actcompare.models.swap import parse_swap
    from actcompare.output.gates import parse_gate

    gates = [parse_gate(text, NUMBERS) for text in fail_on or []]
    swaps: dict[str, str] = {}
    for old, new in map(parse_swap, swap or []):
        if old in swaps:
            raise UsageError(f"--swap {old} is given twice")
        swaps[old] = new
    check_threads(threads)
    if batch_size < 1 or (samples is not None and samples < 1):
        raise UsageError("--samples and --batch-size must be at least 1")
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    if random is not None and samples is None:
        samples = _RANDOM_SAMPLES
    with prints_aside():
        model = _load(target, checkpoint, quiet)
        batches = _open(data, random, samples or 0, batch_size, input_key or [], seed)
        with _bar(samples, quiet) as progress:
            inspection = inspect_model(
                model,
                batches,
                samples=samples,
                batch_size=batch_size,
                device=device,
                dtype=dtype,
                input_index=input_index or [],
                input_key=[] if _chosen_in_file(data) else input_key or [],
                own=watch or [],
                unit_dim=unit_dim,
                eps=eps,
                swap=swaps,
                floats_only=_chosen_in_file(data) and not _looks_up(model),
                names=(target, data or f"--random {random}"),
                progress=progress,
            )
    if random is not None and not quiet:
        typer.echo(
            "warning: random input says little: units that are dead on it may act on real samples,"
            " and the other way round; --data FILE gives an answer",
            err=True,
        )
    _show(inspection, output_format, output, per_unit)
    if _trips(gates, inspection):
        raise typer.Exit(GATE_TRIPPED)


def _load(target: str, checkpoint: Path | None, quiet: bool) -> "nn.Module":
    from actcompare.models.load import load_model, load_weights

    model = load_model(target)
    if checkpoint is not None:
        said = load_weights(model, checkpoint)
        if not quiet:
            typer.echo(said, err=True)
    return model


def _open(
    data: str | None, random: str | None, samples: int, batch_size: int, keys: list[str], seed: int
) -> Iterable[Any]:
    from actcompare.models.feed import open_batches, parse_shape, random_batches

    if random is not None:
        return random_batches(parse_shape(random), samples, batch_size, seed)
    return open_batches(str(data), batch_size, keys)


def _chosen_in_file(data: str | None) -> bool:
    """Whether --data is a file, of which --input-key names arrays or columns."""
    from actcompare.models.feed import FILES

    return data is not None and Path(data).suffix.lower() in FILES


def _looks_up(model: "nn.Module") -> bool:
    """Whether whole numbers may be indices, as of words."""
    from torch import nn

    return any(isinstance(m, nn.Embedding | nn.EmbeddingBag) for m in model.modules())


@contextlib.contextmanager
def _bar(samples: int | None, quiet: bool) -> "Iterator[Callable[[int], None] | None]":
    """A live line: how many samples went through."""
    from actcompare.cli.progress import progress_line

    with progress_line(quiet, total=samples) as update:
        if update is None:
            yield None
            return
        yield lambda done: update(completed=done, description=f"{done:,} samples")


def _show(
    inspection: "Inspection", output_format: Format, output: Path | None, per_unit: Path | None
) -> None:
    from actcompare.files.writing import open_output
    from actcompare.inspection.tables import inspection_grid
    from actcompare.output import render

    if per_unit is not None:
        with open_output(per_unit) as out:
            render.write_csv([inspection.unit_columns()], out)
    columns, total = inspection.columns(), inspection.total()
    what_if = inspection.what_if
    write(
        heading("inspect", asdict(inspection.config), inspection.environment.as_dict()),
        columns,
        [inspection_grid(columns, total)],
        inspection.reading(),
        output_format,
        output,
        more={
            "total": total,
            "samples": inspection.samples,
            "unseen": [asdict(each) for each in inspection.unseen],
            "never_called": list(inspection.never_called),
            "swaps": [asdict(swap) for swap in what_if.swaps] if what_if else [],
        },
    )


def _trips(gates: "list[Gate]", inspection: "Inspection") -> bool:
    """Whether a gate trips on the model as it is, each reported on stderr with what trips it."""
    from actcompare.models.records import layer_columns
    from actcompare.output.gates import report_tripped
    from actcompare.units.statistics import with_shares
    from actcompare.units.wording import layer_value

    layers = with_shares(layer_columns(inspection.layers))
    return report_tripped(gates, layers, lambda column, i: layer_value(layers, column, i))
