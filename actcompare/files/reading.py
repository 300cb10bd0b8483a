"""Report the errors that any file can have when it is read."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from actcompare.errors import ActcompareError


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn failures to open or read a file into errors for the user.

    Raises:
        ActcompareError: The file is empty, or cannot be opened or read.
    """
    try:
        if path.is_file() and path.stat().st_size == 0:
            raise ActcompareError(f"{path} is empty")
        yield
    except OSError as error:
        raise ActcompareError(f"cannot read {path}: {error.strerror or error}") from error
