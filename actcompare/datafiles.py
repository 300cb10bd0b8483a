"""Files of samples: tables (CSV, TSV, Parquet) and .npz, held whole once they are known to fit."""

import lzma
import math
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from actcompare.errors import ActcompareError, MissingExtraError, listed
from actcompare.memory import free_memory
from actcompare.units import in_bytes

COPIES = 4
"""A table is held as read, as numbers, as split, and as tensors."""
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
            _check_memory(path, rows * _bytes_per_row(some))
        # low_memory would read a column in pieces, of types that differ from piece to piece.
        return pd.read_csv(path, low_memory=False, **how)
    except pd.errors.EmptyDataError:
        raise ActcompareError(f"{path} holds no table") from None
    except pd.errors.ParserError as error:
        what = str(error).removeprefix("Error tokenizing data. C error: ").strip().splitlines()[0]
        raise ActcompareError(f"{path} is not a table: {what}") from None
    except UnicodeDecodeError:
        raise ActcompareError(f"{path} is not UTF-8 text") from None


def _bytes_per_row(some: pd.DataFrame) -> float:
    held = some.memory_usage(deep=True, index=False)
    texts = [name for name, dtype in some.dtypes.items() if dtype.kind not in "fiub"]
    return float(held.sum() / max(1, len(some)) + 8 * (len(held) - len(texts)) * (COPIES - 1))


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        import pyarrow.parquet
    except ImportError:
        raise MissingExtraError(f"{path} needs pyarrow", "data") from None
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            rows, columns = file.metadata.num_rows, file.metadata.num_columns
            _check_memory(path, 8.0 * rows * columns * COPIES)
            return file.read().to_pandas()  # type: ignore[no-any-return]
    except (pyarrow.ArrowException, ValueError) as error:
        raise ActcompareError(f"{path} is not a Parquet file, or is damaged") from error


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
            with archive.open(members["X"]) as stream:
                _check_memory(path, 8.0 * _count(stream) * COPIES)
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


def _count(stream: IO[bytes]) -> int:
    """How many numbers an .npy array announces."""
    version = np.lib.format.read_magic(stream)
    old = version == (1, 0)
    read = np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
    shape, _, _ = read(stream)
    return math.prod(shape)


def _check_memory(path: Path, need: float) -> None:
    free = free_memory(torch.device("cpu"))
    if need > 0.9 * free:
        raise ActcompareError(
            f"{path} would take about {in_bytes(int(need))} in memory, where {in_bytes(free)} are"
            f" free: take a part of its rows or columns ({0.9 * free / need:.0%} would fit)"
        )
