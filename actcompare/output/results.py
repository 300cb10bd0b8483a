"""Results out: any command's table in the format that was asked for."""

from collections.abc import Mapping
from pathlib import Path

from actcompare import __version__
from actcompare.files.writing import open_output
from actcompare.output import render
from actcompare.output.formats import Format
from actcompare.output.render import Grid
from actcompare.table import Columns


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
    columns: Columns,
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
