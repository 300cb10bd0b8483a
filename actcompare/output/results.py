"""Write the result of any command in the requested format."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from actcompare import __version__
from actcompare.files.writing import open_binary, open_output
from actcompare.output import render
from actcompare.output.formats import Destination, Format
from actcompare.output.render import Grid
from actcompare.table import Columns
from actcompare.text import prose


def heading(command: str, config: object, environment: object) -> dict[str, object]:
    """Return the first entries of a JSON result."""
    return {
        "command": command,
        "version": __version__,
        "config": config,
        "environment": environment,
    }


def write(
    destination: Destination,
    head: Mapping[str, object],
    columns: Columns,
    grids: list[Grid],
    reading: str,
    *,
    intro: str = "",
    lead: str = "",
    more: Mapping[str, object] | None = None,
) -> None:
    """Write records for programs, or grids and a reading for people.

    Args:
        destination: File and format.
        head: The first entries of JSON.
        columns: The tidy records.
        grids: The tables for people.
        reading: The result in words.
        intro: Text for people before the tables, such as a printed net.
        lead: Paragraphs for people before the tables.
        more: Entries of JSON after the rows.
    """
    if destination.for_machines:
        tail = dict(more or {}) | ({"reading": reading} if reading else {})
        write_records(destination, head, [columns], lambda: tail)
        return
    markdown = destination.format is Format.markdown
    with open_output(destination.file) as out:
        if intro and markdown:
            out.write("```\n" + "\n".join(prose(intro)) + "\n```\n\n")
        elif intro:
            render.write_prose(intro, out)
            out.write("\n")
        if lead and markdown:
            out.write("\n\n".join(prose(lead)) + "\n\n")
        elif lead:
            render.write_prose(lead, out)
            out.write("\n")
        for i, grid in enumerate(grids):
            out.write("\n" if i else "")
            (render.write_markdown if markdown else render.write_table)(grid, out)
        if reading and markdown:
            out.write("\n" + "\n\n".join(prose(reading)) + "\n")
        elif reading:
            out.write("\n")
            render.write_prose(reading, out)


def write_records(
    destination: Destination,
    head: Mapping[str, object],
    chunks: Iterable[Columns],
    tail: Callable[[], Mapping[str, Any]],
) -> None:
    """Write records as CSV, JSON or Parquet, as they arrive.

    Args:
        destination: File and format.
        head: The first entries of JSON.
        chunks: The tidy records, all with the same columns.
        tail: Called once all records are written; returns the entries of JSON after the rows.
    """
    if destination.format is Format.parquet:
        from actcompare.output.arrow import write_parquet

        with open_binary(destination.file) as raw:
            write_parquet(chunks, raw, render.csv_field)
        return
    with open_output(destination.file) as out:
        if destination.format is Format.csv:
            render.write_csv(chunks, out)
        else:
            render.write_json(head, chunks, out, tail)
