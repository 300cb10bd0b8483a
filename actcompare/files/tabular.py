"""Read .csv, .tsv and .parquet tables: columns of numbers in parts, or whole data frames."""

import codecs
import csv
import io
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TextIO

import numpy as np
import numpy.typing as npt
import torch

from actcompare.errors import ActcompareError, MissingExtraError, UsageError
from actcompare.files.reading import reading
from actcompare.machine.memory import free_memory
from actcompare.text import listed, read_number

if TYPE_CHECKING:
    import pandas as pd

ENDINGS = (".csv", ".tsv", ".parquet")

Numbers = npt.NDArray[np.float64]
"""Shape (row, column)."""

Choose = Callable[[list[str]], Sequence[str]]
"""Takes the names of all columns of a table, and returns the names of the columns to read."""

SAMPLE_ROWS = 1000

_LONGEST_LINE = 2**26
"""Most characters of a line."""

_COPIES_OF_TEXT = 8
"""Memory that a table from a pipe may take, relative to its text."""

_READ_OTHERWISE = '"\0\x1c\x1d\x1e\x1f'
"""Characters that csv or float interpret differently from numpy."""


def is_number(text: str) -> bool:
    """Return whether a text is a number."""
    try:
        read_number(text)
    except ValueError:
        return False
    return True


# --- columns of numbers --------------------------------------------------------------------------


def read_numbers(path: Path, choose: Choose, rows: int) -> Iterator[Numbers]:
    """Yield the chosen columns of a table in blocks of rows.

    If every field of the first line is a number, the table has no header, and its columns are
    named 1, 2 and so on. Every row must have a field for every column.

    Args:
        path: The file.
        choose: Chooses the columns to read.
        rows: Rows per block.

    Raises:
        UsageError: A chosen column does not exist.
        ActcompareError: The file cannot be read, or a field is not a number; names the row.
    """
    with _reading(path):
        if _is_parquet(path):
            yield from _numbers_of_parquet(path, choose, rows)
            return
        with path.open("rb") as stream, _as_csv(path):
            yield from _numbers_of_csv(stream, path, choose, rows)


def _numbers_of_csv(stream: IO[bytes], path: Path, choose: Choose, rows: int) -> Iterator[Numbers]:
    delimiter, lines = _delimiter(path), _lines(stream, path)
    reader = csv.reader(lines, delimiter=delimiter)
    names = [field.strip() for field in next(filter(None, reader), [])]
    if not names:
        raise ActcompareError(f"{path} is empty")
    line = reader.line_num
    if all(map(is_number, names)):
        lines, line = itertools.chain([delimiter.join(names)], lines), line - 1
        names = [str(i + 1) for i in range(len(names))]
    chosen = _chosen(names, choose, path)
    empty = True
    while block := list(itertools.islice(lines, rows)):
        numbers = _plain_numbers(block, delimiter, len(names), chosen)
        if numbers is None:
            break
        empty = False
        yield numbers
        line += len(block)
    # The first block with quotes, blank lines or errors, and everything after it.
    rest = csv.reader(itertools.chain(block, lines), delimiter=delimiter)
    numbered = ((line + rest.line_num, row) for row in rest if row)
    while batch := list(itertools.islice(numbered, rows)):
        empty = False
        yield np.array([_checked(row, names, chosen, f"{path}, row {i}") for i, row in batch])
    if empty:
        raise ActcompareError(f"{path} has a header but no rows")


def _chosen(names: list[str], choose: Choose, path: Path) -> list[int]:
    """Return the indices of the chosen columns."""
    wanted = choose(names)
    for name in wanted:
        if name not in names:
            raise UsageError(f"{path} has no column {name!r}: it has {listed(names)}")
    _refuse_twins(names, wanted, path)
    return [names.index(name) for name in wanted]


def _plain_numbers(
    lines: list[str], delimiter: str, width: int, chosen: Sequence[int]
) -> Numbers | None:
    """Parse the chosen columns with numpy; return None unless every line is plainly one row.

    numpy rounds decimals as Python does, in a fifth of the time.
    """
    text = "".join(lines)
    delimiters = set(map(str.count, lines, itertools.repeat(delimiter)))
    doubtful = any(mark in text for mark in _READ_OTHERWISE) or not lines[0].strip()
    if doubtful or delimiters != {width - 1}:
        return None
    try:
        numbers = np.loadtxt(lines, delimiter=delimiter, usecols=chosen, comments=None, ndmin=2)
    except ValueError:
        return None
    return numbers if len(numbers) == len(lines) and not np.isinf(numbers).any() else None


def _checked(row: list[str], names: list[str], chosen: Sequence[int], place: str) -> list[float]:
    """Parse the chosen fields of a row one by one."""
    _check_width(row, names, place)
    numbers = []
    for i in chosen:
        try:
            numbers.append(read_number(row[i]))
        except ValueError as error:
            raise ActcompareError(f"{place}, column {names[i]!r}: {error}") from None
    return numbers


def _check_width(row: list[str], names: Sequence[str], place: str) -> None:
    if len(row) != len(names):
        raise ActcompareError(f"{place}: {len(row)} fields, but {len(names)} columns")


def _numbers_of_parquet(path: Path, choose: Choose, rows: int) -> Iterator[Numbers]:
    with _open_parquet(path) as file:
        import pyarrow as pa

        schema = file.schema_arrow
        names = [schema.names[i] for i in _chosen(schema.names, choose, path)]
        for name in names:
            kind = schema.field(name).type
            if not (
                pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)
            ):
                raise ActcompareError(
                    f"{path}: column {name!r} contains {kind}, which is not a number"
                )
        if not file.metadata.num_rows:
            raise ActcompareError(f"{path} has no rows")
        for batch in file.iter_batches(batch_size=rows, columns=names):
            columns = [batch[name].cast(pa.float64(), safe=False) for name in names]
            yield np.column_stack([c.to_numpy(zero_copy_only=False) for c in columns])


# --- whole tables --------------------------------------------------------------------------------


def first_rows(path: Path) -> tuple[float, "pd.DataFrame"]:
    """Return the approximate number of rows of a table in a regular file, and its first rows.

    Raises:
        ActcompareError: The file cannot be read or is not a table.
    """
    with _reading(path):
        if _is_parquet(path):
            with _open_parquet(path) as file:
                some = file.schema_arrow.empty_table()
                for batch in itertools.islice(file.iter_batches(batch_size=SAMPLE_ROWS), 1):
                    some = batch
                return file.metadata.num_rows, some.to_pandas()
        with path.open("rb") as stream:
            frame = _frame_of_csv(stream, path, nrows=SAMPLE_ROWS)
        text_bytes = len(frame.to_csv(index=False)) + 1
        return path.stat().st_size / text_bytes * max(1, len(frame)), frame


def read_frame(path: Path) -> "pd.DataFrame":
    """Read a whole table with a header line.

    Raises:
        ActcompareError: The file cannot be read or is not a table, or has two columns of one name.
    """
    with _reading(path):
        if _is_parquet(path):
            with _open_parquet(path) as file:
                frame: pd.DataFrame = file.read().to_pandas()
        elif path.is_file():
            with path.open("rb") as stream:
                frame = _frame_of_csv(stream, path)
        else:
            frame = _frame_of_csv(_whole_stream(path), path)
    if len(frame) == 0:
        raise ActcompareError(f"{path} has a header but no rows")
    names = list(map(str, frame.columns))
    _refuse_twins(names, names, path)
    return frame


def _whole_stream(path: Path) -> IO[bytes]:
    """Return what a pipe gives, since it can be read only once."""
    free = free_memory(torch.device("cpu"))
    with path.open("rb") as stream, _as_csv(path):
        first = stream.read(_LONGEST_LINE)
        codecs.getincrementaldecoder("utf-8")().decode(first)
        if len(first) == _LONGEST_LINE and b"\n" not in first and b"\r" not in first:
            raise _line_too_long(str(path))
        content = io.BytesIO(first + stream.read(free // _COPIES_OF_TEXT))
    if content.getbuffer().nbytes > free // _COPIES_OF_TEXT:
        raise ActcompareError(f"{path} does not end before memory is short: use fewer rows")
    return content


def _frame_of_csv(stream: IO[bytes], path: Path, nrows: int | None = None) -> "pd.DataFrame":
    """Read a table from a stream that can be rewound."""
    import pandas as pd

    with _as_csv(path):
        header = _header(stream, path)
        _refuse_twins(header, filter(None, header), path)  # pandas numbers those without a name
        stream.seek(0)
        try:
            # low_memory=True may infer different types for parts of one column.
            frame = pd.read_csv(
                stream,
                sep=_delimiter(path),
                nrows=nrows,
                encoding="utf-8-sig",
                skipinitialspace=True,
                low_memory=False,
            )
        except pd.errors.EmptyDataError:
            raise ActcompareError(f"{path} is empty") from None
        except pd.errors.ParserError as error:
            _check_widths(stream, path)
            raise ActcompareError(f"{path} is not a table: {error}") from None
        # pandas pads short rows with missing values, and reads an index from a long first row.
        doubtful = not isinstance(frame.index, pd.RangeIndex) or frame.iloc[:, -1].isna().any()
        if nrows is None and doubtful:
            _check_widths(stream, path)
    return frame.rename(columns=str.strip)


def _header(stream: IO[bytes], path: Path) -> list[str]:
    """Return the names in the first line, after checking the length of the first lines."""
    lines = list(itertools.islice(_lines(stream, path), SAMPLE_ROWS))
    reader = csv.reader(lines, delimiter=_delimiter(path), skipinitialspace=True)
    return [field.strip() for field in next(filter(None, reader), [])]


def _check_widths(stream: IO[bytes], path: Path) -> None:
    """Check that every row has a field for every column."""
    stream.seek(0)
    reader = csv.reader(_lines(stream, path), delimiter=_delimiter(path))
    rows = filter(None, reader)
    names = next(rows)
    for row in rows:
        _check_width(row, names, f"{path}, row {reader.line_num}")


# --- both ----------------------------------------------------------------------------------------


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() == ".parquet"


def _delimiter(path: Path) -> str:
    return "\t" if path.suffix.lower() == ".tsv" else ","


def _reading(path: Path) -> AbstractContextManager[None]:
    return reading(path, streams=not _is_parquet(path))


def _lines(stream: IO[bytes], path: Path) -> Iterator[str]:
    """Yield the lines of a table, each with its end."""
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
    try:
        yield from bounded_lines(text, str(path))
    finally:
        with suppress(ValueError):  # the stream may be closed already
            text.detach()  # otherwise it would close the stream


def bounded_lines(text: TextIO, name: str) -> Iterator[str]:
    """Yield the lines of a text, each with its end; a device may give a line without end.

    Raises:
        ActcompareError: A line is too long to hold numbers.
    """
    for line in iter(partial(text.readline, _LONGEST_LINE), ""):
        if len(line) == _LONGEST_LINE:
            raise _line_too_long(name)
        yield line


def _line_too_long(name: str) -> ActcompareError:
    return ActcompareError(
        f"{name} has a line of {_LONGEST_LINE:,} characters or more: write shorter lines"
    )


def _refuse_twins(names: Sequence[str], wanted: Iterable[str], path: Path) -> None:
    """Refuse wanted columns whose name others have too."""
    for name in wanted:
        if names.count(name) > 1:
            raise ActcompareError(
                f"{path} has {names.count(name)} columns named {name!r}: rename or remove all but"
                " one"
            )


@contextmanager
def _as_csv(path: Path) -> Iterator[None]:
    """Turn decoding and CSV errors into errors for the user."""
    try:
        yield
    except UnicodeDecodeError:
        raise ActcompareError(f"{path} is not UTF-8 text") from None
    except csv.Error as error:
        raise ActcompareError(f"{path} is not a table: {error}") from None


@contextmanager
def _open_parquet(path: Path) -> Iterator[Any]:
    """Open a Parquet file, after checking that its columns hold single values."""
    try:
        import pyarrow.parquet
    except ImportError:
        raise MissingExtraError(f"{path} needs pyarrow", "data") from None
    try:
        with path.open("rb") as stream, pyarrow.parquet.ParquetFile(stream) as file:
            for field in file.schema_arrow:
                if pyarrow.types.is_nested(field.type):
                    raise ActcompareError(
                        f"{path}: column {field.name!r} contains {field.type}, not single values:"
                        " remove it, or save one column per value"
                    )
            yield file
    except (ActcompareError, MemoryError):
        raise
    except Exception as error:  # damaged files fail in pyarrow or in to_pandas, in any way
        if isinstance(error, OSError) and error.errno:
            raise
        if "encrypted" in str(error).lower() or "decryption" in str(error).lower():
            raise ActcompareError(f"{path} is encrypted: save it without encryption") from error
        raise ActcompareError(f"{path} is not a Parquet file or is damaged") from error
