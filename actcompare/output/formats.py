"""The formats of a result."""

from enum import StrEnum
from pathlib import Path


class Format(StrEnum):
    """How results are written."""

    table = "table"
    csv = "csv"
    json = "json"
    markdown = "markdown"


MACHINE = (Format.csv, Format.json)


_BY_SUFFIX = {".csv": Format.csv, ".json": Format.json, ".md": Format.markdown}


def choose_format(given: Format | None, output: Path | None) -> Format:
    """The format asked for, or what the ending of the file says."""
    if given is not None:
        return given
    return _BY_SUFFIX.get(output.suffix.lower(), Format.table) if output else Format.table
