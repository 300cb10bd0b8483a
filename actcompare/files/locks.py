"""Files and folders that one process at a time writes."""

from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from actcompare.errors import ActcompareError


def locked(path: Path, shown: Path, who: str, what: str) -> BaseFileLock:
    """A lock that is held until its release() or the end of the process.

    The system holds it, not the file's presence: an empty file that stays behind locks nothing. It
    is not removed on release, since another process may be about to lock it.

    Args:
        path: Of the lock's own file.
        shown: What is named where it fails.
        who: Writes to it elsewhere, such as a run.
        what: To choose another one of, such as a folder.

    Raises:
        ActcompareError: Another process holds it, or its file cannot be written.
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
