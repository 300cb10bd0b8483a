"""Files that one process at a time writes."""

from pathlib import Path
from typing import IO

from actcompare.errors import ActcompareError

try:
    import fcntl
except ImportError:  # Windows: two processes are not noticed there
    fcntl = None  # type: ignore[assignment]


def locked(path: Path, mode: str, shown: Path, who: str, what: str) -> IO[bytes]:
    """A file opened, and locked until it is closed.

    Args:
        path: of the file.
        mode: to open it in.
        shown: what is named where it fails.
        who: writes to it elsewhere, such as a run.
        what: to choose another one of, such as a folder.

    Raises:
        ActcompareError: another process has locked it, or it cannot be opened.
    """
    try:
        stream: IO[bytes] = path.open(mode)
    except OSError as error:
        raise ActcompareError(f"cannot write {shown}: {error.strerror or error}") from error
    try:
        if fcntl is not None:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        stream.close()
        raise ActcompareError(
            f"another {who} is writing to {shown}: wait for it, or choose another {what}"
        ) from None
    except OSError as error:
        stream.close()
        raise ActcompareError(f"cannot write {shown}: {error.strerror or error}") from error
    return stream
