"""Files of samples: tables (CSV, TSV, Parquet) and .npz, read whole once they are known to fit."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from actcompare.data.datasets import COPIES, Dataset, check_memory, from_arrays
from actcompare.errors import ActcompareError, UsageError
from actcompare.files.arrays import REAL, open_arrays
from actcompare.files.tabular import first_rows, read_frame
from actcompare.text import listed

MOST_TEXTS = 50
"""A text column with more distinct texts than this is left out."""


def read_table(path: Path) -> pd.DataFrame:
    """A table with a header line.

    Raises:
        ActcompareError: It cannot be read, is no table, or would not fit into memory.
    """
    if path.is_file():
        rows, some = first_rows(path)
        check_memory(path, rows * _bytes_per_row(some))
    return read_frame(path)


def _bytes_per_row(some: pd.DataFrame) -> float:
    """What a row holds; texts are held once, numbers in all the copies that are reckoned with."""
    held = some.memory_usage(deep=True, index=False)
    is_number = [dtype.kind in "fiub" for dtype in some.dtypes]
    numbers = float(held[is_number].sum())
    return (numbers + (float(held.sum()) - numbers) / COPIES) / max(1, len(some))


def from_frame(
    name: str, frame: pd.DataFrame, target: str | None, task: str | None = None
) -> Dataset:
    """A data set of a table: numbers as they are, truth values as 0 and 1, texts one-hot.

    Raises:
        UsageError: No such target.
        ActcompareError: There is nothing to learn from.
    """
    columns = list(map(str, frame.columns))
    frame = frame.set_axis(columns, axis=1)
    if target is None:
        raise UsageError(
            f"{name} has the columns {listed(columns)}: choose what to learn with --target"
        )
    if target not in columns:
        raise UsageError(f"{name} has no column {target!r}: it has {listed(columns)}")
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
    """The arrays X and y of an .npz file; y may be texts.

    Raises:
        ActcompareError: It cannot be read, lacks one of them, or would not fit into memory.
    """
    with open_arrays(path, REAL + "US") as arrays:
        if not {"X", "y"} <= arrays.keys():
            raise ActcompareError(
                f"{path} has the arrays {listed(list(arrays))}: save it as"
                " numpy.savez(FILE, X=inputs, y=targets)"
            )
        X, y = arrays["X"](), arrays["y"]()
        check_memory(path, sum(max(8.0 * each.size, each.nbytes) for each in (X, y)))
        return X.whole(), y.whole()
