"""Formats and destinations of results."""

import sys
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path

from actcompare.errors import MissingExtraError, UsageError
from actcompare.files.writing import check_writable


class Format(StrEnum):
    """Format of a result."""

    table = "table"
    csv = "csv"
    json = "json"
    markdown = "markdown"
    parquet = "parquet"
    html = "html"
    """A page; only `report` writes one."""


MACHINE = (Format.csv, Format.json, Format.parquet)

_BY_ENDING = {
    "": Format.table,
    ".txt": Format.table,
    ".csv": Format.csv,
    ".json": Format.json,
    ".md": Format.markdown,
    ".markdown": Format.markdown,
    ".parquet": Format.parquet,
    ".html": Format.html,
    ".htm": Format.html,
}

_STDOUT = ("-", "/dev/stdout")


@dataclass(frozen=True)
class Destination:
    """File and format of a result."""

    format: Format = Format.table
    file: Path | None = None
    """The file; None for standard output."""

    @classmethod
    def asked(
        cls, given: Format | None, output: Path | None, *, pages: bool = False
    ) -> "Destination":
        """Return the destination for --format and --output, checked before anything is computed.

        Args:
            given: --format.
            output: --output.
            pages: Whether the command can write a page.

        Raises:
            UsageError: The ending of the file is unknown, the command writes no page, or Parquet
                would go to a terminal.
            MissingExtraError: Parquet is requested and pyarrow is not installed.
            ActcompareError: The file cannot be written.
        """
        file = None if output is None or str(output) in _STDOUT else output
        chosen = given or _format_of(file, pages)
        if chosen is Format.html and not pages:
            raise UsageError("--format html: only actcompare report writes a page")
        if chosen is Format.parquet:
            if find_spec("pyarrow") is None:
                raise MissingExtraError("Parquet is written with pyarrow", "data")
            if file is None and sys.stdout is not None and sys.stdout.isatty():
                raise UsageError("Parquet is binary: write it to a file with --output FILE")
        if file is not None:
            check_writable(file)
        return cls(chosen, file)

    @property
    def for_machines(self) -> bool:
        """Whether to write records instead of tables."""
        return self.format in MACHINE


def _format_of(file: Path | None, pages: bool) -> Format:
    special = file is None or (file.exists() and not file.is_file())  # a device or a pipe
    ending = "" if file is None or special else file.suffix.lower()
    endings = {each: kind for each, kind in _BY_ENDING.items() if pages or kind is not Format.html}
    if ending not in endings:
        known = ", ".join(filter(None, endings))
        raise UsageError(
            f"--output {file}: no format has the ending {ending}; use one of {known}, or choose one"
            " with --format"
        )
    return endings[ending]
