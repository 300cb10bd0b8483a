"""Arrays in .npy and .npz files, read part by part; nothing in them is ever unpickled."""

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
"""Real numbers and truth values, as numpy's letters for kinds of dtypes."""


class Array:
    """An array in an open file: its header is read and checked, its numbers come part by part."""

    def __init__(self, stream: IO[bytes], name: str, kinds: str) -> None:
        """Read the header.

        Args:
            stream: At the beginning of an .npy file.
            name: Of the array, for messages.
            kinds: Which kinds of dtypes are taken.

        Raises:
            ActcompareError: It is damaged, empty, or of another kind.
        """
        try:
            npy = np.lib.format
            old = npy.read_magic(stream) == (1, 0)
            read_header = npy.read_array_header_1_0 if old else npy.read_array_header_2_0
            self.shape, in_columns, self._stored = read_header(stream)
        except (ValueError, EOFError, SyntaxError, tokenize.TokenError) as error:
            raise ActcompareError(f"{name} is not an .npy array, or is damaged") from error
        self.size = math.prod(self.shape)
        """How many numbers it holds."""
        if self._stored.hasobject:
            raise ActcompareError(
                f"{name} holds Python objects, which are never unpickled: save it as plain numbers"
            )
        if self._stored.kind not in kinds or self._stored.itemsize == 0:
            raise ActcompareError(f"{name} holds {self._stored}, not real numbers")
        if self.size <= 0:
            raise ActcompareError(f"{name} is an empty array, of shape {self.shape}")
        self._stream, self._name = stream, name
        self._in_columns = in_columns and len(self.shape) > 1
        beyond_float64 = self._stored.kind == "f" and self._stored.itemsize > 8
        self._dtype = np.dtype("f8") if beyond_float64 else self._stored.newbyteorder("=")

    def take(self, count: int) -> npt.NDArray[Any]:
        """The next so many numbers, in C order.

        Raises:
            ActcompareError: The file ends before.
        """
        if self._in_columns:
            self._turn()
        return self._read(count).astype(self._dtype)

    def whole(self) -> npt.NDArray[Any]:
        """All of it, in its shape."""
        return self.take(self.size).reshape(self.shape)

    def _read(self, count: int) -> npt.NDArray[Any]:
        data = self._stream.read(count * self._stored.itemsize)
        if len(data) != count * self._stored.itemsize:
            raise ActcompareError(
                f"{self._name} is cut short: {self.size} numbers announced, fewer there"
            )
        return np.frombuffer(data, self._stored)

    def _turn(self) -> None:
        """Hold it in C order, which runs across a file written column by column."""
        if 3 * self.size * self._stored.itemsize > 0.9 * free_memory(torch.device("cpu")):
            raise ActcompareError(
                f"{self._name} is written column by column, and is too large to be turned in"
                " memory: save numpy.ascontiguousarray(x)"
            )
        columns = self._read(self.size).reshape(self.shape[::-1])
        self._stream, self._in_columns = io.BytesIO(columns.T.tobytes()), False


@contextmanager
def open_arrays(path: Path, kinds: str = REAL) -> Iterator[Mapping[str, Callable[[], Array]]]:
    """The arrays of a file by name, each opened where it is called; an .npy has one, named "".

    Raises:
        ActcompareError: The file cannot be read, or is damaged.
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

            members = {member.removesuffix(".npy"): member for member in archive.namelist()}
            yield {name: partial(opened, member, name) for name, member in members.items()}
        except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError) as error:
            raise ActcompareError(f"{path} is not an .npz file, or is damaged: {error}") from error
