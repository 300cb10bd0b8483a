"""What can be wrong with any file that is read."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from actcompare.errors import ActcompareError


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """While a file is opened and read.

    Raises:
        ActcompareError: It is empty, or the system refuses to open or read it.
    """
    try:
        if path.is_file() and path.stat().st_size == 0:
            raise ActcompareError(f"{path} is empty")
        yield
    except OSError as error:
        raise ActcompareError(f"cannot read {path}: {error.strerror or error}") from error
