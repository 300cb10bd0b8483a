"""Lock files and folders so that only one process writes to them."""

from contextlib import suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from actcompare.errors import ActcompareError


def locked(path: Path, shown: Path, who: str, what: str) -> BaseFileLock:
    """Acquire a lock that is held until `unlock` or the end of the process.

    The operating system holds the lock, so an empty lock file that is left behind locks nothing.
    The file is not removed on release, since another process may be about to lock it.

    Args:
        path: The lock file.
        shown: The path to name in error messages.
        who: What else may be writing, such as "run".
        what: What the user can choose instead, such as "folder".

    Raises:
        ActcompareError: Another process holds the lock, or the lock file cannot be written.
    """
    lock = FileLock(path, thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise ActcompareError(
            f"another {who} is writing to {shown}: wait for it, or choose another {what}"
        ) from None
    except OSError as error:
        raise ActcompareError(f"cannot write {shown}: {error.strerror or error}") from error
    return lock


def unlock(lock: BaseFileLock) -> None:
    """Release a lock; one that the system does not release now ends with the process."""
    with suppress(OSError):
        lock.release()
