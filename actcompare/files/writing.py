"""Write results to standard output, or to a file that is replaced atomically."""

import contextlib
import errno
import io
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TextIO

from actcompare.errors import ActcompareError, ReaderGoneError

# --- output ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def open_output(path: Path | None) -> Iterator[TextIO]:
    """Open standard output, or a file that is replaced atomically, for text.

    Raises:
        ReaderGoneError: The reader of standard output has closed it.
        ActcompareError: The file or standard output cannot be written.
    """
    if path is None:
        with _stdout() as out:
            yield out
        return
    with open_binary(path) as raw:
        text = io.TextIOWrapper(raw, encoding="utf-8", newline="")
        yield text
        text.detach()  # flushes it


@contextlib.contextmanager
def open_binary(path: Path | None) -> Iterator[BinaryIO]:
    """Open standard output, or a file that is replaced atomically, for bytes.

    Raises:
        ReaderGoneError: The reader of standard output has closed it.
        ActcompareError: The file or standard output cannot be written.
    """
    if path is None:
        with _stdout() as standard:
            yield standard.buffer
        return
    try:
        if (number := _descriptor(path)) is not None:
            with os.fdopen(os.dup(number), "wb") as out:
                yield out
            return
        if path.exists() and not path.is_file():  # a device or a pipe cannot be replaced
            with path.open("wb") as out:
                yield out
            return
        path = Path(os.path.realpath(path))
        partial = path.with_name(f".actcompare-{os.urandom(8).hex()}.part")
        try:
            with partial.open("xb") as out:
                yield out
                flush_to_disk(out)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        flush_folder(path.parent)
    except OSError as error:
        raise ActcompareError(f"cannot write {path}: {error.strerror or error}") from error


def _descriptor(path: Path) -> int | None:
    """Return the number of an open file that a path such as /dev/fd/3 stands for.

    It is written to where it is: the file behind it may be a log that others append to.
    """
    if str(path) == "/dev/stderr":
        return 2
    found = re.fullmatch(r"/(?:dev|proc/self)/fd/([0-9]+)", str(path))
    return int(found[1]) if found else None


def flush_to_disk(out: BinaryIO) -> None:
    """Wait until all that was written to a file is on the disk, so that it survives a crash."""
    out.flush()
    os.fsync(out.fileno())


def flush_folder(path: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    if sys.platform == "win32":  # which cannot open folders
        return
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some file systems cannot
            raise
    finally:
        os.close(folder)


@contextlib.contextmanager
def _stdout() -> Iterator[TextIO]:
    if sys.stdout is None:
        raise ActcompareError("standard output is closed: use --output FILE")
    try:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        yield sys.stdout
        sys.stdout.flush()
    except OSError as error:
        _abandon_stdout()
        if isinstance(error, BrokenPipeError):
            raise ReaderGoneError from error
        why = "it is closed" if error.errno == errno.EBADF else error.strerror
        raise ActcompareError(f"cannot write to standard output: {why}") from error


def _abandon_stdout() -> None:
    """Discard buffered output, so that the interpreter's final flush cannot fail."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def check_writable(path: Path, *, regular: bool = False) -> None:
    """Check that a file can be written, before anything is computed.

    Args:
        path: The file.
        regular: Whether devices and pipes are refused: they keep nothing to continue from.

    Raises:
        ActcompareError: The file cannot be written.
    """
    if _descriptor(path) is not None and not regular:
        return
    if path.is_dir():
        raise ActcompareError(f"cannot write {path}: it is a folder")
    if path.exists() and not path.is_file():  # a device or a pipe
        if regular:
            raise ActcompareError(f"cannot write {path}: it is a device or a pipe, not a file")
        return
    folder = path.parent if not path.is_symlink() else Path(os.path.realpath(path)).parent
    if not folder.is_dir():
        raise ActcompareError(f"cannot write {path}: there is no folder {folder}")
    if not os.access(folder, os.W_OK):
        raise ActcompareError(f"cannot write {path}: no permission to write in {folder}")
