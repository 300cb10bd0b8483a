"""Report the errors that any file can have when it is opened and read."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from actcompare.errors import ActcompareError


@contextmanager
def reading(path: Path, *, streams: bool = False) -> Iterator[None]:
    """Turn failures to open or read a file into errors for the user.

    Args:
        path: The file.
        streams: Whether it may be a pipe or a device, which is read once from beginning to end.

    Raises:
        ActcompareError: The file is empty, of a kind that is not accepted, or cannot be opened or
            read.
    """
    try:
        state = path.stat()
        if stat.S_ISDIR(state.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if stat.S_ISREG(state.st_mode):
            if state.st_size == 0:
                raise ActcompareError(f"{path} is empty")
        elif not streams:
            raise ActcompareError(
                f"{path} is a pipe or a device, which cannot be read here: copy it to a file first"
            )
        yield
    except OSError as error:
        raise ActcompareError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        if "null" not in str(error):  # a path with a null byte, which no file has
            raise
        raise ActcompareError(f"cannot read {str(path)!r}: {error}") from error
