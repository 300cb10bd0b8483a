"""Columns by way of Arrow: Parquet, and long CSV at a fraction of Python's time."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from actcompare.table import Columns

_ROWS = 2**16
"""Rows of CSV that are made at a time."""


def csv_lines(columns: Columns, field: Callable[[object], str]) -> Iterable[str]:
    """Records as CSV without a header, many lines at a time.

    Args:
        columns: the records.
        field: any value as it stands in a line, which is what Arrow's own texts are made equal to.
    """
    length = len(next(iter(columns.values())))
    with ThreadPoolExecutor() as pool:
        for start in range(0, length, _ROWS):
            piece = [column[start : start + _ROWS] for column in columns.values()]
            texts = pool.map(lambda column: _texts(column, field), piece)
            ends = chain([","] * (len(piece) - 1), ["\n"])
            parts = chain.from_iterable(zip(texts, ends, strict=True))
            lines = pc.binary_join_element_wise(*parts, "")
            # The texts of the lines lie one behind the other.
            yield str(
                memoryview(lines.buffers()[2])[: pc.sum(pc.binary_length(lines)).as_py()], "utf-8"
            )


def _texts(column: Any, field: Callable[[object], str]) -> pa.Array:
    if getattr(column, "dtype", np.dtype(object)).kind == "f":
        return _float_texts(column.astype(np.float64), field)
    try:
        encoded = pa.array(column).dictionary_encode()
    except pa.ArrowException:  # values of several types
        return pa.array([field(value) for value in column])
    distinct = pa.array([field(value) for value in encoded.dictionary.to_pylist()], pa.string())
    return distinct.take(encoded.indices).fill_null(field(None))


def _float_texts(values: npt.NDArray[np.float64], field: Callable[[object], str]) -> pa.Array:
    """Arrow's texts, but where Python writes another: it has 1.0 for 1, 1e-05 for 0.00001."""
    texts, size = pc.cast(pa.array(values), pa.string()), np.abs(values)
    whole = (size < 1e15) & (values == np.trunc(values))
    other = ~(size < 1e15) | ((size < 1e-4) & (values != 0))
    if whole.any():
        texts = pc.binary_join_element_wise(texts, pc.if_else(pa.array(whole), ".0", ""), "")
    if other.any():
        replaced = pa.array([field(value) for value in values[other].tolist()])
        texts = pc.replace_with_mask(texts, pa.array(other), replaced)
    return texts
