"""`actcompare eval`."""

import difflib
import itertools
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from actcompare.cli.options import (
    BOTH,
    Acts,
    Device,
    Drawn,
    Dtype,
    NumberFormat,
    Threads,
    grouped,
    option,
)
from actcompare.cli.streams import prints_aside
from actcompare.errors import UsageError
from actcompare.files.writing import open_output
from actcompare.output import render
from actcompare.output.formats import Destination, Format
from actcompare.output.messages import say
from actcompare.output.results import heading, write_records
from actcompare.text import read_finite, read_whole

if TYPE_CHECKING:
    from actcompare.evaluation.evaluate import Evaluation
    from actcompare.evaluation.points import Chunk
    from actcompare.evaluation.stream import Seen


@dataclass(frozen=True)
class PointOptions:
    """Where the points come from: one of x, a range and a file."""

    x: Annotated[
        list[str] | None,
        typer.Argument(metavar="[X]...", help="Points, such as -2 0 5 inf; - reads them on stdin."),
    ] = None
    range_: Annotated[
        tuple[str, str, str] | None,
        option("Evenly spaced points.", "START STOP COUNT", names=("--range",)),
    ] = None
    file: Annotated[
        Path | None, option("Points from a .csv, .tsv, .npy, .npz or .parquet.", "FILE")
    ] = None
    column: Annotated[str | None, option("Column of a table in --file.")] = None
    key: Annotated[str | None, option("Array of an .npz in --file.")] = None


@grouped
def evaluate_command(
    context: typer.Context,
    *,
    act: Acts = BOTH,
    order: Annotated[int, typer.Option(min=0, max=2, help="Number of derivatives.")] = 1,
    error: Annotated[
        bool, option("Add the exact result and the error in ULP.", names=("--error",))
    ] = False,
    points: PointOptions,
    dtype: Dtype = NumberFormat.float32,
    device: Device = "cpu",
    threads: Threads = None,
    drawn: Drawn,
) -> None:
    """Value and derivatives at given points, and how exact they are.

    Example: actcompare eval -- -2 0 5
    """
    chunks = _chunks(context, points)
    destination = drawn.destination()
    drawing = drawn.drawing(destination)
    from actcompare.activations.spec import parse_all
    from actcompare.evaluation.evaluate import evaluate
    from actcompare.evaluation.stream import Seen
    from actcompare.machine.processors import check_threads, torch_threads

    check_threads(threads)
    with prints_aside():
        activations = [activation.loaded() for activation in parse_all(act)]

    def evaluate_chunk(points: Any, **options: Any) -> "Evaluation":
        # Reading and writing points takes longer than computing them: one thread is enough.
        with prints_aside(), torch_threads(threads or 1):
            return evaluate(points, activations, dtype=dtype.value, device=device, **options)

    evaluate_chunk([0.0], order=0)  # an invalid request fails before anything is read
    seen = Seen()
    to_terminal = destination.file is None and destination.for_machines and sys.stdout.isatty()
    stream = (
        seen.add(evaluate_chunk(chunk, order=order, error=error))
        for chunk in _with_progress(chunks, not (drawn.quiet or to_terminal))
    )
    _write(next(stream), stream, seen, destination)
    if drawing:
        from actcompare.evaluation.plots import curve_picture

        curves = evaluate_chunk(seen.plotted_range(), order=max(order, 1))
        few = len(seen.few) <= seen.MOST_MARKED
        marked = evaluate_chunk(seen.few, order=max(order, 1)) if few else None
        drawing.show(curve_picture(curves, marked))
    if not drawn.quiet:
        for message in seen.messages():
            say(f"warning: {message}")


# --- points in -----------------------------------------------------------------------------------


def _chunks(context: typer.Context, points: PointOptions) -> "Iterator[Chunk]":
    x, range_, file = [text.strip() for text in points.x or []], points.range_, points.file
    for text in x:
        if text.startswith("-") and text[1:2].isalpha() | text.startswith("--"):
            _refuse_unknown_option(context, text)
    if (bool(x) + (range_ is not None) + (file is not None)) != 1:
        given = "no points" if not x and range_ is None and file is None else "points given twice"
        raise UsageError(
            f"{given}: list them (actcompare eval -- -2 0 5), or use --range START STOP COUNT,"
            " --file FILE, or - for standard input"
        )
    if file is None and (points.column or points.key):
        raise UsageError("--column and --key need --file")
    from actcompare.evaluation import points as inputs
    from actcompare.files import tabular

    if range_ is not None:
        return inputs.from_range(*_read_range(*range_))
    if file is not None:
        return inputs.from_file(file, points.column, points.key)
    if "-" in x:
        if len(x) > 1:
            raise UsageError("- reads standard input: omit the other points")
        name = "standard input"
        return inputs.from_text(tabular.bounded_lines(sys.stdin, name), name)
    return inputs.from_arguments(x)


def _read_range(start: str, stop: str, count: str) -> tuple[float, float, int]:
    try:
        return read_finite(start), read_finite(stop), read_whole(count)
    except ValueError as error:
        raise UsageError(f"--range: {error}") from None


def _refuse_unknown_option(context: typer.Context, text: str) -> None:
    """Refuse an unknown option, which the parser passes on as a point, like a negative number."""
    if text.lower().lstrip("-") in ("inf", "infinity", "nan") and not text.startswith("--"):
        return
    known = [
        name for parameter in context.command.params for name in parameter.opts if "--" in name
    ]
    near = difflib.get_close_matches(text.partition("=")[0], known, n=1)
    hint = f": did you mean {near[0]}?" if near else ""
    raise UsageError(f"No such option: {text}{hint}")


def _with_progress(chunks: "Iterator[Chunk]", shown: bool) -> "Iterator[Chunk]":
    """Yield the chunks unchanged; from the second one on, show the count of points on stderr."""
    from actcompare.cli.progress import progress_line

    yield (first := next(chunks))
    second = next(chunks, None)
    if second is None:
        return
    done = len(first)
    with progress_line(not shown) as update:
        for chunk in itertools.chain([second], chunks):
            yield chunk
            done += len(chunk)
            if update is not None:
                update(description=f"{done:,} points")


def _write(
    first: "Evaluation", rest: "Iterator[Evaluation]", seen: "Seen", destination: Destination
) -> None:
    columns = (evaluation.columns() for evaluation in itertools.chain([first], rest))
    if destination.for_machines:
        head = heading("eval", asdict(first.config), first.environment.as_dict())
        write_records(destination, head, columns, lambda: {"warnings": seen.messages()})
        return
    from actcompare.evaluation.tables import evaluation_grid, keep_ends

    labels, dtype = first.config.activations, first.config.dtype
    with open_output(destination.file) as out:
        if destination.format is Format.markdown:
            for i, chunk in enumerate(columns):
                render.write_markdown(evaluation_grid(chunk, labels, dtype), out, header=i == 0)
        else:
            kept, total = keep_ends(columns, len(labels))
            render.write_table(evaluation_grid(kept, labels, dtype, total), out)
