"""Read arrays from .npy and .npz files in parts, without ever unpickling."""

import io
import lzma
import math
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from actcompare.errors import ActcompareError
from actcompare.files.reading import reading
from actcompare.machine.memory import check_fits
from actcompare.text import in_bytes

REAL = "fiub"
"""numpy's kind codes of real numbers and booleans."""

_LONGEST_HEADER = 10_000
"""numpy's own limit on the length of a header, in bytes."""

_ENCRYPTED = 1
"""The flag of an encrypted member of a zip archive."""


class Array:
    """An array in an open file: the header is checked at once, the numbers are read in parts."""

    def __init__(self, stream: IO[bytes], name: str, kinds: str, length: int | None) -> None:
        """Read the header.

        Args:
            stream: An .npy file, positioned at its beginning.
            name: Name of the array in messages.
            kinds: Accepted kinds of dtypes.
            length: Length of the stream in bytes; None if it is unknown.

        Raises:
            ActcompareError: The array is damaged, empty, or of another kind.
        """
        with _damage(f"{name} is not an .npy array or is damaged"):
            self.shape, in_columns, self._stored = _read_header(stream)
            if bool in map(type, self.shape):  # numpy takes True for 1
                raise ValueError(f"shape {self.shape}")
        self.size = math.prod(self.shape)
        """Number of elements."""
        if self._stored.hasobject:
            raise ActcompareError(
                f"{name} contains Python objects, which are not loaded: save it as plain numbers"
            )
        if self._stored.kind not in kinds or self._stored.itemsize == 0 or self._stored.subdtype:
            raise ActcompareError(f"{name} contains {self._stored}, not real numbers")
        if self.size <= 0:
            raise ActcompareError(f"{name} is an empty array of shape {self.shape}")
        held = None if length is None else length - stream.tell()
        if held is not None and held < self.nbytes:
            raise ActcompareError(
                f"{name} is truncated: shape {self.shape} of {self._stored} needs"
                f" {in_bytes(self.nbytes)}, but only {in_bytes(max(0, held))} follow"
            )
        self._stream, self._name = stream, name
        self._in_columns = in_columns and len(self.shape) > 1
        beyond_float64 = self._stored.kind == "f" and self._stored.itemsize > 8
        self._dtype = np.dtype("f8") if beyond_float64 else self._stored.newbyteorder("=")

    @property
    def nbytes(self) -> int:
        """Size of the numbers in the file in bytes."""
        return self.size * self._stored.itemsize

    def take(self, count: int) -> npt.NDArray[Any]:
        """Return the next `count` numbers, in C order.

        Raises:
            ActcompareError: The file is truncated or damaged, or they do not fit into memory.
        """
        if self._in_columns:
            self._turn()
        return self._read(count).astype(self._dtype)

    def whole(self) -> npt.NDArray[Any]:
        """Return the whole array, in its shape."""
        return self.take(self.size).reshape(self.shape)

    def _read(self, count: int) -> npt.NDArray[Any]:
        wanted = count * self._stored.itemsize
        # The bytes, and two copies of them.
        check_fits(self._name, 3 * wanted, "read fewer at once, such as a smaller batch")
        with _damage(f"{self._name} is damaged"):
            data = self._stream.read(wanted)
        if len(data) != wanted:
            raise ActcompareError(
                f"{self._name} is truncated: it has fewer than the {self.size} numbers expected"
            )
        return np.frombuffer(data, self._stored)

    def _turn(self) -> None:
        """Load an array stored in Fortran order, and transpose it to C order."""
        cure = "it is stored in Fortran order, so save numpy.ascontiguousarray(x)"
        check_fits(self._name, 3 * self.nbytes, cure)
        columns = self._read(self.size).reshape(self.shape[::-1])
        self._stream, self._in_columns = io.BytesIO(columns.T.tobytes()), False


def _read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read shape, order (whether Fortran's) and dtype; a header too long to be one is not read."""
    version = np.lib.format.read_magic(stream)
    size = 2 if version == (1, 0) else 4
    length = stream.read(size)
    if int.from_bytes(length, "little") > _LONGEST_HEADER:
        raise ValueError("its header is too long")
    header = io.BytesIO(length + stream.read(int.from_bytes(length, "little")))
    if size == 2:
        return np.lib.format.read_array_header_1_0(header)
    return np.lib.format.read_array_header_2_0(header)


@contextmanager
def _damage(message: str) -> Iterator[None]:
    """Turn the errors of numpy and zipfile on damaged content into an error for the user."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy's, on headers that it can still read
            yield
    except (ValueError, TypeError, LookupError, EOFError, SyntaxError, OverflowError) as error:
        raise ActcompareError(message) from error
    except (tokenize.TokenError, RecursionError, struct.error) as error:
        raise ActcompareError(message) from error
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError) as error:
        raise ActcompareError(f"{message}: {error}") from error


@contextmanager
def open_arrays(path: Path, kinds: str = REAL) -> Iterator[Mapping[str, Callable[[], Array]]]:
    """Yield a function per array name that opens the array; an .npy has one array, named "".

    Raises:
        ActcompareError: The file cannot be read or is damaged.
    """
    single = path.suffix.lower() == ".npy"
    with ExitStack() as kept:
        kept.enter_context(reading(path, streams=single))
        stream = kept.enter_context(path.open("rb"))
        if single:
            length = path.stat().st_size if path.is_file() else None
            yield {"": partial(Array, stream, str(path), kinds, length)}
            return
        with _damage(f"{path} is not an .npz file or is damaged"):
            archive = kept.enter_context(zipfile.ZipFile(stream))

        def opened(member: zipfile.ZipInfo, name: str) -> Array:
            called = f"{path}, array {name!r}"
            if member.flag_bits & _ENCRYPTED:
                raise ActcompareError(f"{called} is encrypted: save it without a password")
            with _damage(f"{called} is damaged"):
                content = kept.enter_context(archive.open(member))
            return Array(content, called, kinds, member.file_size)

        members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
        if not members:
            raise ActcompareError(f"{path} contains no arrays")
        if len(members) < len(archive.infolist()):
            raise ActcompareError(f"{path} has several arrays of one name: save it again")
        yield {name: partial(opened, member, name) for name, member in members.items()}
