"""The command line: declarations, short bodies, and the only place that exits."""

import contextlib
import difflib
import itertools
import math
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer
from typer.core import TyperGroup

from actcompare import __version__, render
from actcompare.errors import ActcompareError, ReaderGoneError, UsageError
from actcompare.render import open_output

if TYPE_CHECKING:
    from actcompare.evaluation import Evaluation
    from actcompare.inputs import Chunk
    from actcompare.render import Grid
    from actcompare.streaming import Seen


class Format(StrEnum):
    """How results are written."""

    table = "table"
    csv = "csv"
    json = "json"
    markdown = "markdown"


_MACHINE = (Format.csv, Format.json)
_BY_SUFFIX = {".csv": Format.csv, ".json": Format.json, ".md": Format.markdown}


def _stop(*_: object) -> None:
    """End by way of every clean-up, so that SIGTERM too leaves no half-written file."""
    sys.exit(128 + signal.SIGTERM)


class _ErrorLines(TyperGroup):
    """Turns every failure into one line on stderr and the right exit code."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        debug = os.environ.get("ACTCOMPARE_DEBUG") == "1"
        with contextlib.suppress(ValueError):  # only the main thread may say what a signal does
            signal.signal(signal.SIGTERM, _stop)
        try:
            code = super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
            code = code if isinstance(code, int) else 0
            if code == 130:
                typer.echo("interrupted", err=True)
        except ReaderGoneError as error:
            code = error.exit_code
        except typer.TyperException as error:
            if error.format_message():  # empty where the help was shown instead
                typer.echo(f"error: {error.format_message()}", err=True)
            code = error.exit_code
        except ActcompareError as error:
            if debug:
                raise
            typer.echo(f"error: {error}", err=True)
            code = error.exit_code
        except OSError as error:
            if debug:
                raise
            typer.echo(f"error: {error.strerror or error}", err=True)
            code = 1
        except MemoryError:
            typer.echo("error: not enough memory for this; try fewer points at a time", err=True)
            code = 1
        except Exception as error:
            if debug:
                raise
            typer.echo(
                f"error: {type(error).__name__}: {error}; this is a defect of actcompare"
                " (ACTCOMPARE_DEBUG=1 shows where)",
                err=True,
            )
            code = 1
        if standalone_mode:
            sys.exit(code)
        return code


app = typer.Typer(
    name="actcompare",
    cls=_ErrorLines,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Measure softplus, ReLU and any other PyTorch activation on your own inputs.",
)


def _complete_spec(incomplete: str) -> list[str]:
    from actcompare.activations import CATALOGUE

    return [entry.spec for entry in CATALOGUE if entry.spec.startswith(incomplete)]


Acts = Annotated[
    list[str],
    typer.Option(
        "--act",
        metavar="SPEC",
        autocompletion=_complete_spec,
        help="An activation: relu, softplus:beta=2, your own as module:Name or file.py:Name"
        " (importing it runs its code), or all. Repeatable; the first is the baseline.",
    ),
]
Dtype = Annotated[
    str,
    typer.Option(
        metavar="float32|float64|bfloat16|float16",
        autocompletion=lambda: ["float32", "float64", "bfloat16", "float16"],
        help="Number format.",
    ),
]
Device = Annotated[str, typer.Option(metavar="cpu|cuda|cuda:N|mps", help="Where to compute.")]
OutputFormat = Annotated[
    Format | None,
    typer.Option("--format", help="How to write the result.  [default: table, or as FILE ends]"),
]
Output = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write to FILE, whole or not at all, instead of stdout."),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress and no warnings on stderr.")]
_BOTH = ["relu", "softplus"]


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="With --version: torch's version and devices too.")
    ] = False,
) -> None:
    if version:
        typer.echo(f"actcompare {__version__}")
        if verbose:
            import torch

            from actcompare.environment import available_devices

            typer.echo(f"torch {torch.__version__}, Python {sys.version.split()[0]}")
            for device in available_devices():
                typer.echo(f"device {device}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        raise UsageError("no command: try actcompare --help")


@app.command("eval", context_settings={"ignore_unknown_options": True})
def evaluate_command(
    context: typer.Context,
    x: Annotated[
        list[str] | None,
        typer.Argument(metavar="[X]...", help="Points, such as -2 0 5 inf; - reads them on stdin."),
    ] = None,
    act: Acts = _BOTH,
    order: Annotated[int, typer.Option(min=0, max=2, help="How many derivatives.")] = 1,
    error: Annotated[
        bool, typer.Option("--error", help="Add the exact result and the error in ULP.")
    ] = False,
    range_: Annotated[
        tuple[float, float, int] | None,
        typer.Option("--range", metavar="START STOP COUNT", help="Evenly spaced points."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Points from a .csv, .tsv, .npy, .npz or .parquet."),
    ] = None,
    column: Annotated[str | None, typer.Option(help="The column of a table in --file.")] = None,
    key: Annotated[str | None, typer.Option(help="The array of an .npz in --file.")] = None,
    dtype: Dtype = "float32",
    device: Device = "cpu",
    output_format: OutputFormat = None,
    output: Output = None,
    plot: Annotated[bool, typer.Option("--plot", help="Draw the curves in the terminal.")] = False,
    plot_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the curves: .svg, .png or .pdf.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Value and derivatives at given points, and how exact they are."""
    chunks = _points(context, x or [], range_, file, column, key)
    output_format = _choose_format(output_format, output)
    aside = sys.stderr if output_format in _MACHINE else sys.stdout
    _check_plots(plot_file, aside if plot else None)
    from actcompare.activations import parse_all
    from actcompare.evaluation import evaluate

    with _prints_aside():
        activations = [activation.loaded() for activation in parse_all(act)]

    def evaluate_chunk(points: Any, **options: Any) -> "Evaluation":
        with _prints_aside():
            return evaluate(points, activations, dtype=dtype, device=device, **options)

    evaluate_chunk([0.0], order=0)  # a wrong request fails here, before anything is read
    from actcompare.streaming import Seen

    seen = Seen()
    shown = not (quiet or (output is None and output_format in _MACHINE and sys.stdout.isatty()))
    stream = (
        seen.add(evaluate_chunk(chunk, order=order, error=error))
        for chunk in _with_progress(chunks, shown)
    )
    first = next(stream)
    with open_output(output) as out:
        _write_evaluations(first, stream, seen, output_format, out)
    if plot or plot_file:
        curves = evaluate_chunk(seen.plotted_range(), order=max(order, 1)).columns()
        marked = seen.few if len(seen.few) <= seen.MOST_MARKED else [math.nan]
        points = evaluate_chunk(marked, order=max(order, 1)).columns()
        if plot_file:
            from actcompare.plots import write_curves

            write_curves(curves, points, plot_file)
        if plot and aside is sys.stdout:
            with open_output(None) as out:
                _draw_in_terminal(curves, out)
        elif plot:
            _draw_in_terminal(curves, aside)
    if not quiet:
        for message in seen.messages():
            typer.echo(f"warning: {message}", err=True)


@app.command("table")
def table_command(
    act: Acts = _BOTH,
    dtype: Dtype = "float32",
    device: Device = "cpu",
    output_format: OutputFormat = None,
    output: Output = None,
) -> None:
    """The comparison table: every property probed from the function itself."""
    from actcompare.layouts import comparison_grids
    from actcompare.properties import compare

    with _prints_aside():
        comparison = compare(act, dtype=dtype, device=device)
    columns, reading = comparison.columns(), comparison.reading()
    _write(
        _head("table", asdict(comparison.config), comparison.environment.as_dict()),
        columns,
        comparison_grids(columns),
        reading,
        _choose_format(output_format, output),
        output,
    )


@app.command("list")
def list_command(output_format: OutputFormat = None, output: Output = None) -> None:
    """The catalogue: every activation known by name, its formula and parameters."""
    from actcompare.activations import CATALOGUE
    from actcompare.layouts import catalogue_columns, catalogue_grid

    output_format = _choose_format(output_format, output)
    environment = {}
    if output_format is Format.json:
        import torch

        from actcompare.environment import describe_environment

        environment = describe_environment(torch.device("cpu")).as_dict()
    columns = catalogue_columns(CATALOGUE)
    head = _head("list", {}, environment)
    _write(head, columns, [catalogue_grid(columns)], "", output_format, output)


def _prints_aside() -> contextlib.AbstractContextManager[object]:
    """While a user's own code runs: what it prints is talk, and goes to stderr."""
    return contextlib.redirect_stdout(sys.stderr)


# --- points in -----------------------------------------------------------------------------------


def _points(
    context: typer.Context,
    x: list[str],
    range_: tuple[float, float, int] | None,
    file: Path | None,
    column: str | None,
    key: str | None,
) -> "Iterator[Chunk]":
    for text in x:
        if text.startswith("-") and text[1:2].isalpha() | text.startswith("--"):
            _refuse_unknown_option(context, text)
    if (bool(x) + (range_ is not None) + (file is not None)) != 1:
        given = "no points" if not x and range_ is None and file is None else "points given twice"
        raise UsageError(
            f"{given}: write them (actcompare eval -- -2 0 5), or --range START STOP COUNT,"
            " or --file FILE, or - for standard input"
        )
    if file is None and (column or key):
        raise UsageError("--column and --key go with --file")
    from actcompare import inputs

    if range_ is not None:
        return inputs.from_range(*range_)
    if file is not None:
        return inputs.from_file(file, column, key)
    if "-" in x:
        if len(x) > 1:
            raise UsageError("- reads standard input: give it alone")
        return inputs.from_text(sys.stdin, "standard input")
    return inputs.from_arguments(x)


def _refuse_unknown_option(context: typer.Context, text: str) -> None:
    """Options that nobody knows arrive among the points, since negative numbers must."""
    if text.lower().lstrip("-") in ("inf", "infinity", "nan") and not text.startswith("--"):
        return
    known = [
        name for parameter in context.command.params for name in parameter.opts if "--" in name
    ]
    near = difflib.get_close_matches(text.partition("=")[0], known, n=1)
    hint = f": did you mean {near[0]}?" if near else ""
    raise UsageError(f"No such option: {text}{hint}")


def _with_progress(chunks: "Iterator[Chunk]", shown: bool) -> "Iterator[Chunk]":
    """The same chunks, with a count of points on stderr from the second one on."""
    if not (shown and sys.stderr.isatty()):
        yield from chunks
        return
    yield (first := next(chunks))
    second = next(chunks, None)
    if second is None:
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.completed:,.0f} points"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None, completed=len(first))
        for chunk in itertools.chain([second], chunks):
            yield chunk
            progress.advance(task, len(chunk))


# --- results out ---------------------------------------------------------------------------------


def _choose_format(given: Format | None, output: Path | None) -> Format:
    if given is not None:
        return given
    return _BY_SUFFIX.get(output.suffix.lower(), Format.table) if output else Format.table


def _head(command: str, config: object, environment: object) -> dict[str, object]:
    return {
        "command": command,
        "version": __version__,
        "config": config,
        "environment": environment,
    }


def _write_evaluations(
    first: "Evaluation",
    rest: "Iterator[Evaluation]",
    seen: "Seen",
    output_format: Format,
    out: TextIO,
) -> None:
    columns = (evaluation.columns() for evaluation in itertools.chain([first], rest))
    if output_format is Format.csv:
        render.write_csv(columns, out)
        return
    if output_format is Format.json:
        head = _head("eval", asdict(first.config), first.environment.as_dict())
        render.write_json(head, columns, out, lambda: {"warnings": seen.messages()})
        return
    from actcompare.layouts import evaluation_grid, keep_ends

    labels, dtype = first.config.activations, first.config.dtype
    if output_format is Format.markdown:
        for i, chunk in enumerate(columns):
            render.write_markdown(evaluation_grid(chunk, labels, dtype), out, header=i == 0)
    else:
        kept, total = keep_ends(columns, len(labels))
        render.write_table(evaluation_grid(kept, labels, dtype, total), out)


def _write(
    head: dict[str, object],
    columns: render.Columns,
    grids: "list[Grid]",
    reading: str,
    output_format: Format,
    output: Path | None,
) -> None:
    with open_output(output) as out:
        if output_format is Format.csv:
            render.write_csv([columns], out)
        elif output_format is Format.json:
            tail = {"reading": reading} if reading else {}
            render.write_json(head, [columns], out, lambda: tail)
        else:
            for i, grid in enumerate(grids):
                out.write("\n" if i else "")
                if output_format is Format.markdown:
                    render.write_markdown(grid, out)
                else:
                    render.write_table(grid, out)
            if reading and output_format is Format.markdown:
                out.write("\n" + reading.replace("\n", "\n\n") + "\n")
            elif reading:
                out.write("\n")
                render.write_prose(reading, out)


def _check_plots(plot_file: Path | None, terminal: TextIO | None) -> None:
    if plot_file or terminal:
        from actcompare.plots import check_figure, check_terminal

        if plot_file:
            check_figure(plot_file)
        if terminal:
            check_terminal(terminal.encoding)


def _draw_in_terminal(curves: render.Columns, out: TextIO) -> None:
    from actcompare.plots import terminal_curves

    colour = out.isatty() and not os.environ.get("NO_COLOR")
    typer.echo(
        "\n" + terminal_curves(curves, shutil.get_terminal_size().columns, colour=colour), file=out
    )
