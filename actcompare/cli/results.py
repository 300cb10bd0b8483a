"""Results out: any command's columns in the format that was asked for."""

import contextlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from actcompare import __version__, render
from actcompare.cli.options import Format
from actcompare.errors import ActcompareError
from actcompare.render import Grid, open_output


def prints_aside() -> contextlib.AbstractContextManager[object]:
    """While a user's own code runs: what it prints is talk, and goes to stderr."""
    return contextlib.redirect_stdout(sys.stderr)


def heading(command: str, config: object, environment: object) -> dict[str, object]:
    """What a JSON result begins with."""
    return {
        "command": command,
        "version": __version__,
        "config": config,
        "environment": environment,
    }


def write(
    head: dict[str, object],
    columns: render.Columns,
    grids: "list[Grid]",
    reading: str,
    output_format: Format,
    output: Path | None,
    *,
    intro: str = "",
    more: Mapping[str, object] | None = None,
) -> None:
    """Write records for machines, or grids and a reading for people.

    Args:
        head: what JSON begins with.
        columns: the tidy records.
        grids: the tables for people.
        reading: the result in words.
        output_format: which of them.
        output: the file; None for stdout.
        intro: for people, before the tables, as it is.
        more: for JSON, behind the rows.
    """
    with open_output(output) as out:
        if output_format is Format.csv:
            render.write_csv([columns], out)
        elif output_format is Format.json:
            tail = dict(more or {}) | ({"reading": reading} if reading else {})
            render.write_json(head, [columns], out, lambda: tail)
        else:
            if intro and output_format is Format.markdown:
                out.write(f"```\n{intro}```\n\n")
            elif intro:
                render.write_prose(intro, out)
                out.write("\n")
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


def check_plots(plot_file: Path | None, terminal: TextIO | None) -> None:
    """Check, before anything is computed, that what is to be drawn can be."""
    if plot_file or terminal:
        from actcompare.plots import check_figure, check_terminal

        if plot_file:
            check_figure(plot_file)
        if terminal:
            check_terminal(terminal.encoding)


def check_output(output: Path | None) -> None:
    """Check, before anything is computed, that --output can be written.

    Raises:
        ActcompareError: it cannot.
    """
    special = output is not None and output.exists() and not (output.is_file() or output.is_dir())
    if output is not None and str(output) != "-" and not special:
        check_writable(output)


def check_writable(path: Path) -> None:
    """Check, before anything is computed, that a file can be written there.

    Raises:
        ActcompareError: it cannot.
    """
    if path.is_dir():
        raise ActcompareError(f"cannot write {path}: it is a folder")
    if not path.parent.is_dir():
        raise ActcompareError(f"cannot write {path}: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise ActcompareError(f"cannot write {path}: no permission to write in {path.parent}")
