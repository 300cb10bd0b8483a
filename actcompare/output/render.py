"""Write columns as a rich table, CSV, JSON or Markdown.

Programs get columns of records (tidy, at full precision), people a Grid of formatted cells.
"""

import json
import math
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, TextIO

from actcompare.table import Columns
from actcompare.text import CELL, escaped, prose, shown

PROSE_WIDTH = 100

LONG = 10_000
"""Fewest records for which loading Arrow pays off."""


@dataclass(frozen=True)
class Grid:
    """A table for people."""

    titles: Sequence[str]
    rows: Sequence[Sequence[str]]
    keys: int = 1
    """Number of leading columns that name the row; every part of a split table repeats them."""
    group: int = 1
    """Number of the other columns that stay together if the table is split."""
    caption: str = ""
    align: str = "right"
    """Alignment of the columns that are not keys."""
    fold: Sequence[int] = ()
    """Relative widths of the columns, if long cells are to be wrapped so that the table is no wider
    than prose."""


def cell(value: object, digits: int) -> str:
    """Format a value for people, numbers to `digits` significant digits."""
    if value is None:
        return "n/a"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        whole = value.is_integer() and abs(value) < 1e15
        return f"{value:.0f}" if whole else f"{value:.{digits}g}"
    return str(value)


# --- for people ----------------------------------------------------------------------------------


def write_table(grid: Grid, out: TextIO) -> None:
    """Write a grid as a rich table, split to fit a terminal, plain and whole elsewhere."""
    from rich.console import Console

    console = Console(file=out, highlight=False, markup=False)
    if not console.is_terminal:
        console = Console(file=out, highlight=False, markup=False, width=10_000, no_color=True)
    if grid.fold:
        with console.capture() as drawn:
            table = _rich_table(grid, range(grid.keys, len(grid.titles)))
            table.expand = True
            for column, ratio in zip(table.columns, grid.fold, strict=True):
                column.ratio = ratio
            console.print(table, width=min(PROSE_WIDTH, console.width))
        out.write(drawn.get())
        if grid.caption:
            write_prose(grid.caption, out)
        return
    unbounded = console.options.update(max_width=10_000)
    columns = list(range(grid.keys, len(grid.titles)))

    def fits(some: Sequence[int]) -> bool:
        natural = console.measure(_rich_table(grid, some), options=unbounded).maximum
        return natural <= console.width

    while columns:
        step = grid.group if fits(columns[: grid.group]) else 1
        piece = columns[:step]
        while len(piece) < len(columns) and fits(columns[: len(piece) + step]):
            piece = columns[: len(piece) + step]
        columns = columns[len(piece) :]
        with console.capture() as drawn:  # rich would exit on a closed pipe
            console.print(_rich_table(grid, piece))
        out.write(drawn.get())
    if grid.caption:
        write_prose(grid.caption, out)


def _rich_table(grid: Grid, columns: Sequence[int]) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.ROUNDED, header_style="bold cyan")
    keys = range(grid.keys)
    both = [*keys, *columns]
    for i in both:
        justify: Any = grid.align if i >= grid.keys else "left" if grid.align == "left" else "right"
        table.add_column(Text(shown(grid.titles[i], CELL)), justify=justify, overflow="fold")
    for row in grid.rows:
        table.add_row(*(Text(shown(row[i], CELL)) for i in both))
    return table


def write_markdown(grid: Grid, out: TextIO, *, header: bool = True) -> None:
    """Write a grid as a Markdown table, or without a header as further rows of one."""
    mark = "---" if grid.align == "left" else "---:"

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(shown(c, CELL).replace("|", "\\|") for c in cells) + " |\n"

    if header:
        out.write(line(grid.titles))
        out.write("|" + "|".join([mark] * len(grid.titles)) + "|\n")
    out.writelines(line(row) for row in grid.rows)


def write_prose(text: str, out: TextIO) -> None:
    """Write paragraphs, wrapped to the terminal or to a readable width."""
    import shutil

    width = min(PROSE_WIDTH, shutil.get_terminal_size().columns) if out.isatty() else PROSE_WIDTH
    for paragraph in prose(text):
        kept_together = paragraph.replace(" %", "\N{NO-BREAK SPACE}%")
        filled = textwrap.fill(kept_together, width, subsequent_indent="  ", break_on_hyphens=False)
        out.write(filled.replace("\N{NO-BREAK SPACE}%", " %") + "\n")


# --- for machines --------------------------------------------------------------------------------


class _Escaping:
    """Writes to a terminal, which would obey the control characters in a text."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def write(self, text: str) -> None:
        self._out.write("\n".join(map(escaped, text.split("\n"))))

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)


def write_csv(chunks: Iterable[Columns], to: TextIO) -> None:
    """Write records as CSV with a header, as they arrive; a file holds every character as it is."""
    out = _Escaping(to) if to.isatty() else to
    for i, columns in enumerate(chunks):
        if i == 0:
            out.write(",".join(map(csv_field, columns)) + "\n")
        if len(next(iter(columns.values()), ())) >= LONG and find_spec("pyarrow"):
            from actcompare.output.arrow import csv_lines

            out.writelines(csv_lines(columns, csv_field))
        else:
            records = zip(*map(_csv_fields, columns.values()), strict=True)
            out.writelines(map("{}\n".format, map(",".join, records)))


def _csv_fields(column: Any) -> list[str]:
    values = _as_list(column)
    kinds = set(map(type, values))
    if kinds == {float} and all(map(math.isfinite, values)):
        return list(map(repr, values))
    if kinds == {str}:
        return list(map(_quoted, values))
    return list(map(csv_field, values))


def csv_field(value: object) -> str:
    """Format a value as a field of CSV."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and math.isfinite(value):
        return repr(value)
    return _quoted(str(_plain(value)))


@lru_cache(maxsize=256)
def _quoted(text: str) -> str:
    if any(mark in text for mark in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text


def write_json(
    head: Mapping[str, Any],
    chunks: Iterable[Columns],
    out: TextIO,
    tail: Callable[[], Mapping[str, Any]],
) -> None:
    """Write one object: the entries of `head`, `rows` as they arrive, the entries of `tail()`."""
    out.write("{\n")
    for key, value in head.items():
        out.write(f"{json.dumps(key)}: {_dumps(value)},\n")
    out.write('"rows": [')
    separator = "\n"
    for columns in chunks:
        names = list(columns)
        for record in zip(*map(_as_list, columns.values()), strict=True):
            row = {name: _plain(v) for name, v in zip(names, record, strict=True)}
            out.write(separator + json.dumps(row, allow_nan=False))
            separator = ",\n"
    out.write("\n]")
    for key, value in tail().items():
        out.write(f",\n{json.dumps(key)}: {_dumps(value)}")
    out.write("\n}\n")


def _dumps(value: object) -> str:
    return json.dumps(_plain(value), allow_nan=False)


def _plain(value: object) -> object:
    """Replace infinities and NaN, which JSON does not have, with strings."""
    if isinstance(value, float):
        if math.isnan(value):
            return "NaN"
        if math.isinf(value):
            return "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value


def _as_list(column: Sequence[Any]) -> list[Any]:
    values = column.tolist() if hasattr(column, "tolist") else column
    return list(values)
