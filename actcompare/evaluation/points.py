"""Read points in chunks from the command line, a range, a file or standard input."""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from actcompare.errors import ActcompareError, UsageError
from actcompare.files import tabular
from actcompare.files.arrays import open_arrays
from actcompare.text import listed, read_number

CHUNK = 2**17
"""Points per chunk: enough to vectorise, few enough to keep memory constant."""

Chunk = npt.NDArray[np.float64]

FILES = (*tabular.ENDINGS, ".npy", ".npz")


def from_arguments(texts: Sequence[str]) -> Iterator[Chunk]:
    """Yield the numbers given as arguments.

    Raises:
        UsageError: An argument is not a number.
    """
    try:
        yield np.array([read_number(text) for text in texts])
    except ValueError as error:
        raise UsageError(
            f"{error}; write numbers as -2, 1e-3, inf or nan, and activations with --act"
        ) from None


def from_range(start: float, stop: float, count: int) -> Iterator[Chunk]:
    """Yield `count` evenly spaced numbers from `start` to `stop`, both included.

    Raises:
        UsageError: An end is not finite, the range is too wide, or `count` is below 2.
    """
    if not (math.isfinite(start) and math.isfinite(stop)):
        raise UsageError("--range needs a finite START and STOP")
    if math.isinf(max(abs(start), abs(stop)) * count):
        raise UsageError("--range is too wide for float64")
    if count < 2:
        raise UsageError(f"--range needs a COUNT of at least 2 (both ends), not {count}")
    for first in range(0, count, CHUNK):
        i = np.arange(first, min(first + CHUNK, count), dtype=np.float64)
        # For whole numbers only the division rounds, so that 0 100 101 yields whole numbers.
        yield (start * (count - 1 - i) + stop * i) / (count - 1)


def from_text(lines: Iterable[str], name: str) -> Iterator[Chunk]:
    """Yield numbers separated by white space or commas.

    Raises:
        ActcompareError: A field is not a number (names the line), or there are no numbers.
    """
    values: list[float] = []
    found = False
    try:
        for line_number, line in enumerate(lines, 1):
            try:
                values += map(read_number, line.lstrip("\ufeff").replace(",", " ").split())
            except ValueError as error:
                raise ActcompareError(f"{name}, line {line_number}: {error}") from None
            if len(values) >= CHUNK:
                found = True
                yield np.array(values)
                values = []
    except UnicodeDecodeError:
        raise ActcompareError(f"{name} is not UTF-8 text") from None
    if values:
        yield np.array(values)
    elif not found:
        raise ActcompareError(f"{name} contains no numbers")


def from_file(path: Path, column: str | None = None, key: str | None = None) -> Iterator[Chunk]:
    """Yield the numbers of a .csv, .tsv, .npy, .npz or .parquet file.

    Args:
        path: The file.
        column: Column of a table; required if it has several and none is named x.
        key: Array of an .npz file; required if it has several.

    Raises:
        UsageError: The kind of file is not supported, or an option does not apply to it.
        ActcompareError: The file cannot be read, or a value is not a number.
    """
    kind = path.suffix.lower()
    if kind not in FILES:
        raise UsageError(f"{path}: use a {', '.join(FILES[:-1])} or {FILES[-1]} file")
    if column is not None and kind not in tabular.ENDINGS:
        raise UsageError(f"--column applies only to tables, not to {path}")
    if key is not None and kind != ".npz":
        raise UsageError(f"--key applies only to .npz files, not to {path}")
    if kind in tabular.ENDINGS:
        named = None if column is None else [column]
        columns = tabular.read_numbers(path, lambda names: named or _only_or_x(names, path), CHUNK)
        yield from (numbers[:, 0] for numbers in columns)
        return
    with open_arrays(path) as arrays:
        names = list(arrays)
        if key is None and len(names) != 1:
            raise UsageError(f"{path} has the arrays {listed(names)}: choose one with --key")
        if key is not None and key not in names:
            raise UsageError(f"{path} has no array {key!r}: it has {listed(names)}")
        array = arrays[names[0] if key is None else key]()
        for first in range(0, array.size, CHUNK):
            yield array.take(min(CHUNK, array.size - first)).astype(np.float64)


def _only_or_x(names: list[str], path: Path) -> list[str]:
    if len(names) == 1:
        return names
    if names.count("x") == 1:
        return ["x"]
    raise UsageError(f"{path} has the columns {listed(names)}: choose one with --column")
