"""Files of samples: tables (CSV, TSV, Parquet) and .npz, read whole once they are known to fit."""

import lzma
import math
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from actcompare.data.datasets import COPIES, Dataset, check_memory, from_arrays
from actcompare.errors import ActcompareError, MissingExtraError, UsageError
from actcompare.text import listed

MOST_TEXTS = 50
"""A text column with more distinct texts than this is left out."""

_SAMPLE_ROWS = 1000


def read_table(path: Path) -> pd.DataFrame:
    """A table with a header line.

    Raises:
        ActcompareError: it cannot be read, is no table, or would not fit into memory.
    """
    try:
        if path.is_file() and path.stat().st_size == 0:
            raise ActcompareError(f"{path} is empty")
        frame = _read_parquet(path) if path.suffix.lower() == ".parquet" else _read_csv(path)
    except OSError as error:
        raise ActcompareError(f"cannot read {path}: {error.strerror or error}") from error
    if len(frame) == 0:
        raise ActcompareError(f"{path} has a header but no rows")
    return frame


def _read_csv(path: Path) -> pd.DataFrame:
    how: dict[str, Any] = {
        "sep": "\t" if path.suffix.lower() == ".tsv" else ",",
        "encoding": "utf-8-sig",
        "skipinitialspace": True,
    }
    try:
        if path.is_file():
            some = pd.read_csv(path, nrows=_SAMPLE_ROWS, **how)
            text_bytes = len(some.to_csv(index=False)) + 1
            rows = path.stat().st_size / text_bytes * max(1, len(some))
            check_memory(path, rows * _bytes_per_row(some))
        # low_memory would read a column in pieces, of types that differ from piece to piece.
        frame: pd.DataFrame = pd.read_csv(path, low_memory=False, **how)
        return frame
    except pd.errors.EmptyDataError:
        raise ActcompareError(f"{path} holds no table") from None
    except pd.errors.ParserError as error:
        what = str(error).removeprefix("Error tokenizing data. C error: ").strip().splitlines()[0]
        raise ActcompareError(f"{path} is not a table: {what}") from None
    except UnicodeDecodeError:
        raise ActcompareError(f"{path} is not UTF-8 text") from None


def _bytes_per_row(some: pd.DataFrame) -> float:
    """What a row holds; texts are held once, numbers in all the copies that are reckoned with."""
    held = some.memory_usage(deep=True, index=False)
    is_number = [dtype.kind in "fiub" for dtype in some.dtypes]
    numbers = float(held[is_number].sum())
    return (numbers + (float(held.sum()) - numbers) / COPIES) / max(1, len(some))


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        import pyarrow.parquet
    except ImportError:
        raise MissingExtraError(f"{path} needs pyarrow", "data") from None
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            rows, columns = file.metadata.num_rows, file.metadata.num_columns
            check_memory(path, 8.0 * rows * columns)
            return file.read().to_pandas()  # type: ignore[no-any-return]
    except (pyarrow.ArrowException, ValueError) as error:
        raise ActcompareError(f"{path} is not a Parquet file, or is damaged") from error


def from_frame(
    name: str, frame: pd.DataFrame, target: str | None, task: str | None = None
) -> Dataset:
    """A data set of a table: numbers as they are, truth values as 0 and 1, texts one-hot.

    Raises:
        UsageError: no such target.
        ActcompareError: there is nothing to learn from.
    """
    columns = list(map(str, frame.columns))
    frame = frame.set_axis(columns, axis=1)
    if target is None:
        raise UsageError(
            f"{name} has the columns {listed(columns)}: choose what to learn with --target"
        )
    twice = sorted({column for column in columns if columns.count(column) > 1} - {target})
    if twice:
        raise ActcompareError(f"{name} has several columns named {twice[0]!r}: rename them")
    if columns.count(target) != 1:
        has = "has no column" if target not in columns else "has several columns named"
        raise UsageError(f"{name} {has} {target!r}: it has {listed(columns)}")
    notes: list[str] = []
    inputs: list[str] = []
    arrays: list[npt.NDArray[Any]] = []
    for column in frame.columns.drop(target):
        series = frame[column]
        if _counts_rows(str(column), series):
            notes.append(f"column {column!r} numbers the rows, and is left out")
        elif pd.api.types.is_bool_dtype(series.dtype) or pd.api.types.is_numeric_dtype(
            series.dtype
        ):
            if series.dtype.kind == "c":
                raise ActcompareError(f"{name}: column {column!r} holds complex numbers")
            inputs.append(str(column))
            arrays.append(series.to_numpy(dtype=np.float64, na_value=np.nan))
        elif pd.api.types.is_datetime64_any_dtype(series.dtype):
            notes.append(f"column {column!r} holds dates, and is left out")
        else:
            _add_one_hot(str(column), series, inputs, arrays, notes)
    if not inputs:
        raise ActcompareError(f"{name}: no column is left to learn {target!r} from")
    y = frame[target]
    if not pd.api.types.is_numeric_dtype(y.dtype):
        values: npt.NDArray[Any] = _texts(y)
    elif isinstance(y.dtype, np.dtype):
        values = y.to_numpy()
    else:  # pandas' own numbers, which may be missing
        values = y.to_numpy(dtype=np.float64, na_value=np.nan)
    return from_arrays(name, np.column_stack(arrays), values, task, inputs, notes)


def _counts_rows(column: str, series: "pd.Series[Any]") -> bool:
    """Whether it is the index that pandas writes as a column without a name."""
    if column and not column.startswith("Unnamed: "):
        return False
    return series.dtype.kind in "iu" and bool((series.diff().iloc[1:] == 1).all())


def _add_one_hot(
    column: str,
    series: "pd.Series[Any]",
    inputs: list[str],
    arrays: list[npt.NDArray[Any]],
    notes: list[str],
) -> None:
    texts = _texts(series)
    levels = sorted({text for text in texts if text is not None})
    if len(levels) > MOST_TEXTS:
        notes.append(f"text column {column!r} has {len(levels):,} distinct texts, and is left out")
        return
    if not levels:
        notes.append(f"column {column!r} holds no value at all, and is left out")
        return
    for level in levels:
        inputs.append(f"{column}={level}")
        arrays.append((texts == level).astype(np.float64))
    missing = int(series.isna().sum())
    beside = f"; {missing:,} without a text are 0 in all of them" if missing else ""
    notes.append(f"text column {column!r} becomes {len(levels)} one-hot inputs{beside}")


def _texts(series: "pd.Series[Any]") -> npt.NDArray[np.object_]:
    """Each value as text, None where it is missing."""
    values = zip(series.tolist(), series.isna().tolist(), strict=True)
    return np.array([None if missing else str(value) for value, missing in values], dtype=object)


def read_npz(path: Path) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """The arrays X and y of an .npz file; Python objects in it are never unpickled.

    Raises:
        ActcompareError: it cannot be read, lacks one of them, or would not fit into memory.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name.removesuffix(".npy"): name for name in archive.namelist()}
            if not {"X", "y"} <= members.keys():
                raise ActcompareError(
                    f"{path} has the arrays {listed(list(members))}: save it as"
                    " numpy.savez(FILE, X=inputs, y=targets)"
                )
            check_memory(path, 8.0 * sum(_count(archive, members[name]) for name in ("X", "y")))
        with np.load(path, allow_pickle=False) as arrays:
            return arrays["X"], arrays["y"]
    except OSError as error:
        raise ActcompareError(f"cannot read {path}: {error.strerror or error}") from error
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        tokenize.TokenError,
        EOFError,
        RuntimeError,
        SyntaxError,
        ValueError,
    ) as error:
        what = "holds Python objects" if "allow_pickle" in str(error) else "is damaged"
        raise ActcompareError(f"{path} is not an .npz file of numbers, or {what}") from error


def _count(archive: zipfile.ZipFile, member: str) -> int:
    """How many numbers an .npy array announces."""
    with archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        old = version == (1, 0)
        read = np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
        shape, _, _ = read(stream)
    return math.prod(shape)
