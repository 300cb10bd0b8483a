"""Where the points come from: the command line, a range, a file, standard input. In chunks."""

import csv
import itertools
import lzma
import math
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, TypeVar

import numpy as np
import numpy.typing as npt

from actcompare.errors import ActcompareError, MissingExtraError, UsageError
from actcompare.text import listed

CHUNK = 2**16
"""Points per chunk: large enough to vectorise, small enough that memory stays flat."""

Chunk = npt.NDArray[np.float64]

T = TypeVar("T")


def read_number(text: str) -> float:
    """A number as people write it: -2, 1e-3, inf, nan.

    Raises:
        ValueError: it is not one, or it is beyond float64.
    """
    value = float(text.replace("_", "?"))  # 1_000 is Python's, not a number in a file
    if math.isinf(value) and "inf" not in text.lower():
        raise ValueError(f"{text!r} is beyond float64; write inf if you mean it")
    return value


def from_arguments(texts: Sequence[str]) -> Iterator[Chunk]:
    """Numbers given one by one.

    Raises:
        UsageError: one of them is not a number.
    """
    try:
        yield np.array([read_number(text) for text in texts])
    except ValueError:
        bad = next(text for text in texts if not _is_number(text))
        raise UsageError(f"{_not_a_number(bad)}; numbers are written -2, 1e-3, inf, nan") from None


def from_range(start: float, stop: float, count: int) -> Iterator[Chunk]:
    """`count` evenly spaced numbers from `start` to `stop`, both included.

    Raises:
        UsageError: an end is not finite, or fewer than 2 numbers are asked for.
    """
    if not (math.isfinite(start) and math.isfinite(stop)):
        raise UsageError("--range needs a finite START and STOP")
    if math.isinf(max(abs(start), abs(stop)) * count):
        raise UsageError("--range is too wide for float64")
    if count < 2:
        raise UsageError(f"--range needs a COUNT of at least 2, for both ends; not {count}")
    for first in range(0, count, CHUNK):
        i = np.arange(first, min(first + CHUNK, count), dtype=np.float64)
        # One rounding where the products are exact, as for whole numbers: 0 100 101 stays whole.
        yield (start * (count - 1 - i) + stop * i) / (count - 1)


def from_text(lines: Iterable[str], name: str) -> Iterator[Chunk]:
    """Numbers separated by white space or commas.

    Raises:
        ActcompareError: something is not a number, or there are none; the line is named.
    """
    values: list[float] = []
    found = False
    for line_number, line in _decoded(enumerate(lines, 1), name):
        place = f"{name}, line {line_number}"
        values += [
            _number_in_file(text, place) for text in line.lstrip("\ufeff").replace(",", " ").split()
        ]
        if len(values) >= CHUNK:
            found = True
            yield np.array(values)
            values = []
    if values:
        yield np.array(values)
    elif not found:
        raise ActcompareError(f"{name} holds no numbers")


def from_file(path: Path, column: str | None = None, key: str | None = None) -> Iterator[Chunk]:
    """The numbers of a .csv, .tsv, .npy, .npz or .parquet file.

    Args:
        path: the file.
        column: which column of a table; needed where there are several and none is named x.
        key: which array of an .npz; needed where there are several.

    Raises:
        UsageError: a kind of file that is not read, or an option that does not fit it.
        ActcompareError: the file cannot be read, or holds something else than numbers.
    """
    kind = path.suffix.lower()
    if kind not in (".csv", ".tsv", ".npy", ".npz", ".parquet"):
        raise UsageError(f"{path}: only .csv, .tsv, .npy, .npz and .parquet files are read")
    if column is not None and kind in (".npy", ".npz"):
        raise UsageError(f"--column is for tables; {path} is an array")
    if key is not None and kind != ".npz":
        raise UsageError(f"--key is for .npz files, not for {path}")
    try:
        if path.stat().st_size == 0 and path.is_file():
            raise ActcompareError(f"{path} is empty")
        if kind == ".npy":
            with path.open("rb") as stream:
                yield from _read_npy(stream, str(path))
        elif kind == ".npz":
            yield from _read_npz(path, key)
        elif kind == ".parquet":
            yield from _read_parquet(path, column)
        else:
            yield from _read_table(path, column, "\t" if kind == ".tsv" else ",")
    except OSError as error:
        raise ActcompareError(f"cannot read {path}: {error.strerror or error}") from error


# --- tables --------------------------------------------------------------------------------------


def _read_table(path: Path, column: str | None, delimiter: str) -> Iterator[Chunk]:
    """A table with a header line, or without one where every field of its first line is a number.

    Python's float is used rather than a CSV library's, since it alone rounds every decimal
    correctly.
    """
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, delimiter=delimiter)
        rows: Iterator[tuple[int, list[str]]] = (
            (reader.line_num, row) for row in _decoded(reader, str(path)) if row
        )
        first = next(rows, None)
        if first is None:
            raise ActcompareError(f"{path} is empty")
        _, header = first
        if all(_is_number(field) for field in header):
            rows = itertools.chain([first], rows)
            header = [str(i + 1) for i in range(len(header))]
        index = _choose(header, column, path)
        empty = True
        while batch := list(itertools.islice(rows, CHUNK)):
            empty = False
            yield _column_of(batch, index, header, path)
        if empty:
            raise ActcompareError(f"{path} has a header but no rows")


def _choose(header: Sequence[str], column: str | None, path: Path) -> int:
    names = [name.strip() for name in header]
    if column is None:
        if len(names) == 1:
            return 0
        if names.count("x") == 1:
            return names.index("x")
        raise UsageError(f"{path} has the columns {listed(names)}: choose one with --column")
    if names.count(column) > 1:
        raise ActcompareError(f"{path} has {names.count(column)} columns named {column!r}")
    if column not in names:
        raise ActcompareError(f"{path} has no column {column!r}, but {listed(names)}")
    return names.index(column)


def _column_of(
    batch: list[tuple[int, list[str]]], index: int, header: Sequence[str], path: Path
) -> Chunk:
    width = len(header)
    if all(len(row) == width for _, row in batch):
        try:
            return np.array([read_number(row[index]) for _, row in batch])
        except ValueError:
            pass
    for line, row in batch:
        if len(row) != width:
            raise ActcompareError(f"{path}, row {line}: {len(row)} fields, but {width} columns")
        _number_in_file(row[index], f"{path}, row {line}, column {header[index].strip()!r}")
    raise AssertionError("a row was refused, and none is at fault")


def _read_parquet(path: Path, column: str | None) -> Iterator[Chunk]:
    import pandas as pd

    try:
        import pyarrow.parquet
    except ImportError:
        raise MissingExtraError(f"{path} needs pyarrow", "data") from None
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            name = names[_choose(names, column, path)]
            found = False
            for batch in file.iter_batches(batch_size=CHUNK, columns=[name]):
                series = batch.to_pandas()[name]
                if not pd.api.types.is_numeric_dtype(series) or series.dtype.kind == "c":
                    raise ActcompareError(
                        f"{path}: column {name!r} holds {series.dtype}, not numbers"
                    )
                if len(series):
                    found = True
                    yield series.to_numpy(dtype=np.float64, na_value=np.nan)
    except (pyarrow.ArrowException, ValueError) as error:
        raise ActcompareError(f"{path} is not a Parquet file, or is damaged") from error
    if not found:
        raise ActcompareError(f"{path} has no rows")


# --- arrays --------------------------------------------------------------------------------------


def _read_npz(path: Path, key: str | None) -> Iterator[Chunk]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            if key is None and len(names) != 1:
                raise UsageError(f"{path} has the arrays {listed(names)}: choose one with --key")
            chosen = names[0] if key is None else key
            if chosen not in names:
                raise ActcompareError(f"{path} has no array {chosen!r}, but {listed(names)}")
            with archive.open(archive.namelist()[names.index(chosen)]) as stream:
                yield from _read_npy(stream, f"{path}, array {chosen!r}")
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError) as error:
        raise ActcompareError(f"{path} is not an .npz file, or is damaged: {error}") from error


def _read_npy(stream: IO[bytes], name: str) -> Iterator[Chunk]:
    """An array of any shape, in C order; one saved in C order is never held whole.

    Objects are refused by their dtype, before a byte of them is read: nothing is unpickled.
    """
    try:
        version = np.lib.format.read_magic(stream)
        read_header = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, fortran_order, dtype = read_header(stream)
    except (ValueError, EOFError, SyntaxError, tokenize.TokenError) as error:
        raise ActcompareError(f"{name} is not an .npy array, or is damaged") from error
    if dtype.hasobject:
        raise ActcompareError(
            f"{name} holds Python objects, which are never unpickled: save it as plain numbers"
        )
    if dtype.kind not in "fiub":
        raise ActcompareError(f"{name} holds {dtype}, not real numbers")
    count = math.prod(shape)
    if count <= 0:
        raise ActcompareError(f"{name} is an empty array, of shape {shape}")
    if fortran_order and len(shape) > 1:  # C order runs across the file: it has to be held whole
        whole = np.frombuffer(stream.read(), dtype)
        if len(whole) != count:
            raise ActcompareError(f"{name} is cut short: {count} numbers announced, fewer there")
        in_c_order = whole.reshape(shape[::-1]).T.reshape(-1).astype(np.float64)
        yield from np.array_split(in_c_order, math.ceil(count / CHUNK))
        return
    for first in range(0, count, CHUNK):
        wanted = min(CHUNK, count - first) * dtype.itemsize
        data = stream.read(wanted)
        if len(data) != wanted:
            raise ActcompareError(f"{name} is cut short: {count} numbers announced, fewer there")
        yield np.frombuffer(data, dtype).astype(np.float64)


# --- small things --------------------------------------------------------------------------------


def _is_number(text: str) -> bool:
    try:
        read_number(text)
    except ValueError:
        return False
    return True


def _not_a_number(text: str) -> str:
    try:
        float(text)
    except ValueError:
        return f"{text!r} is not a number" if text.strip() else "an empty field is not a number"
    return f"{text!r} is beyond float64"


def _number_in_file(text: str, place: str) -> float:
    try:
        return read_number(text)
    except ValueError:
        raise ActcompareError(f"{place}: {_not_a_number(text[:60])}") from None


def _decoded(items: Iterable[T], name: str) -> Iterator[T]:
    """The items of a text stream; where they are no text or no table, an error names the file."""
    try:
        yield from items
    except UnicodeDecodeError:
        raise ActcompareError(f"{name} is not UTF-8 text") from None
    except csv.Error as error:
        raise ActcompareError(f"{name} is not a table: {error}") from None
