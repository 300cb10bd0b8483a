"""Write columns with Arrow: as Parquet, or as CSV, for which Arrow is much faster than Python."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from actcompare.table import Columns

_ROWS = 2**16
"""Rows of CSV formatted at a time."""


def csv_lines(columns: Columns, field: Callable[[object], str]) -> Iterable[str]:
    """Yield records as lines of CSV, many at a time.

    Args:
        columns: The records.
        field: Formats a value; the result matches it exactly, even where Arrow does the formatting.
    """
    length = len(next(iter(columns.values())))
    with ThreadPoolExecutor() as pool:
        for start in range(0, length, _ROWS):
            piece = [column[start : start + _ROWS] for column in columns.values()]
            texts = pool.map(lambda column: _texts(column, field), piece)
            ends = chain([","] * (len(piece) - 1), ["\n"])
            parts = chain.from_iterable(zip(texts, ends, strict=True))
            lines = pc.binary_join_element_wise(*parts, "")
            # In an Arrow array the texts of all lines are contiguous.
            length_bytes = pc.sum(pc.binary_length(lines)).as_py()
            yield str(memoryview(lines.buffers()[2])[:length_bytes], "utf-8")


def write_parquet(
    chunks: Iterable[Columns], out: BinaryIO, text_of: Callable[[object], str]
) -> None:
    """Write records to Parquet as they arrive, one row group per chunk.

    Args:
        chunks: The records, all with the same columns.
        out: A binary stream.
        text_of: Converts a value to text, for columns of mixed types.
    """
    writer = None
    for columns in chunks:
        batch = pa.table({name: _array(values, text_of) for name, values in columns.items()})
        if writer is None:
            writer = pyarrow.parquet.ParquetWriter(out, batch.schema)
        writer.write_table(batch.cast(writer.schema))
    if writer is not None:
        writer.close()


def _array(values: Any, text_of: Callable[[object], str]) -> pa.Array:
    try:
        return pa.array(values)
    except pa.ArrowException:
        return pa.array([None if value is None else text_of(value) for value in values])


def _texts(column: Any, field: Callable[[object], str]) -> pa.Array:
    if getattr(column, "dtype", np.dtype(object)).kind == "f":
        return _float_texts(column.astype(np.float64), field)
    try:
        encoded = pa.array(column).dictionary_encode()
    except pa.ArrowException:  # mixed types
        return pa.array([field(value) for value in column])
    distinct = pa.array([field(value) for value in encoded.dictionary.to_pylist()], pa.string())
    return distinct.take(encoded.indices).fill_null(field(None))


def _float_texts(values: npt.NDArray[np.float64], field: Callable[[object], str]) -> pa.Array:
    """Format floats as Python does; Arrow differs (1 for 1.0, 0.00001 for 1e-05)."""
    texts, size = pc.cast(pa.array(values), pa.string()), np.abs(values)
    whole = (size < 1e10) & (values == np.trunc(values))
    other = ~(size < 1e10) | ((size < 1e-4) & (values != 0))
    if whole.any():
        texts = pc.binary_join_element_wise(texts, pc.if_else(pa.array(whole), ".0", ""), "")
    if other.any():
        replaced = pa.array([field(value) for value in values[other].tolist()])
        texts = pc.replace_with_mask(texts, pa.array(other), replaced)
    return texts
