"""Read arrays from .npy and .npz files in parts, without ever unpickling."""

import io
import lzma
import math
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import torch

from actcompare.errors import ActcompareError
from actcompare.files.reading import reading
from actcompare.machine.memory import free_memory

REAL = "fiub"
"""numpy's kind codes of real numbers and booleans."""


class Array:
    """An array in an open file: the header is checked at once, the numbers are read in parts."""

    def __init__(self, stream: IO[bytes], name: str, kinds: str) -> None:
        """Read the header.

        Args:
            stream: An .npy file, positioned at its beginning.
            name: Name of the array in messages.
            kinds: Accepted kinds of dtypes.

        Raises:
            ActcompareError: The array is damaged, empty, or of another kind.
        """
        try:
            npy = np.lib.format
            old = npy.read_magic(stream) == (1, 0)
            read_header = npy.read_array_header_1_0 if old else npy.read_array_header_2_0
            self.shape, in_columns, self._stored = read_header(stream)
        except (ValueError, EOFError, SyntaxError, tokenize.TokenError) as error:
            raise ActcompareError(f"{name} is not an .npy array or is damaged") from error
        self.size = math.prod(self.shape)
        """Number of elements."""
        if self._stored.hasobject:
            raise ActcompareError(
                f"{name} contains Python objects, which are not loaded: save it as plain numbers"
            )
        if self._stored.kind not in kinds or self._stored.itemsize == 0:
            raise ActcompareError(f"{name} contains {self._stored}, not real numbers")
        if self.size <= 0:
            raise ActcompareError(f"{name} is an empty array of shape {self.shape}")
        self._stream, self._name = stream, name
        self._in_columns = in_columns and len(self.shape) > 1
        beyond_float64 = self._stored.kind == "f" and self._stored.itemsize > 8
        self._dtype = np.dtype("f8") if beyond_float64 else self._stored.newbyteorder("=")

    def take(self, count: int) -> npt.NDArray[Any]:
        """Return the next `count` numbers, in C order.

        Raises:
            ActcompareError: The file is truncated.
        """
        if self._in_columns:
            self._turn()
        return self._read(count).astype(self._dtype)

    def whole(self) -> npt.NDArray[Any]:
        """Return the whole array, in its shape."""
        return self.take(self.size).reshape(self.shape)

    def _read(self, count: int) -> npt.NDArray[Any]:
        data = self._stream.read(count * self._stored.itemsize)
        if len(data) != count * self._stored.itemsize:
            raise ActcompareError(
                f"{self._name} is truncated: it has fewer than the {self.size} numbers expected"
            )
        return np.frombuffer(data, self._stored)

    def _turn(self) -> None:
        """Load an array stored in Fortran order, and transpose it to C order."""
        if 3 * self.size * self._stored.itemsize > 0.9 * free_memory(torch.device("cpu")):
            raise ActcompareError(
                f"{self._name} is stored in Fortran order and is too large to transpose in"
                " memory: save numpy.ascontiguousarray(x)"
            )
        columns = self._read(self.size).reshape(self.shape[::-1])
        self._stream, self._in_columns = io.BytesIO(columns.T.tobytes()), False


@contextmanager
def open_arrays(path: Path, kinds: str = REAL) -> Iterator[Mapping[str, Callable[[], Array]]]:
    """Yield a function per array name that opens the array; an .npy has one array, named "".

    Raises:
        ActcompareError: The file cannot be read or is damaged.
    """
    with ExitStack() as kept:
        kept.enter_context(reading(path))
        if path.suffix.lower() == ".npy":
            yield {"": partial(Array, kept.enter_context(path.open("rb")), str(path), kinds)}
            return
        try:
            archive = kept.enter_context(zipfile.ZipFile(path))

            def opened(member: str, name: str) -> Array:
                stream = kept.enter_context(archive.open(member))
                return Array(stream, f"{path}, array {name!r}", kinds)

            if not archive.namelist():
                raise ActcompareError(f"{path} contains no arrays")
            members = {member.removesuffix(".npy"): member for member in archive.namelist()}
            yield {name: partial(opened, member, name) for name, member in members.items()}
        except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError) as error:
            raise ActcompareError(f"{path} is not an .npz file or is damaged: {error}") from error
