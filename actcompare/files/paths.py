"""Check that no file is written over another that the same command reads or writes."""

import itertools
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from actcompare.errors import UsageError

Identity = tuple[int, int, str]
"""Device and inode of a file; of its folder, with its name, if it does not exist."""


def check_apart(
    writes: Mapping[str, Path], reads: Mapping[str, Path], folders: Mapping[str, Path]
) -> None:
    """Check that each file to write is none of the other files, before anything is computed.

    Files are compared by identity, so that links and different spellings make no difference.
    Devices and pipes can be named twice.

    Args:
        writes: Files to write, by the option that names each.
        reads: Files to read, likewise.
        folders: Folders in which a run is kept, likewise; all that is in them belongs to the run.

    Raises:
        UsageError: An option names a file of another option.
    """
    known = [(name, path, _identities(path)) for name, path in [*writes.items(), *reads.items()]]
    for (one, path, mine), (other, its, theirs) in itertools.combinations(known, 2):
        if one in writes and mine & theirs:
            spelt = f"{path}" if path == its else f"{path} and {its}"
            raise UsageError(
                f"{one} and {other} name the same file ({spelt}): choose another file for {one}"
            )
    for name, path in writes.items():
        for other, folder in folders.items():
            kept = _identity(_real(folder))
            if any(_identity(each) == kept for each in (_real(path), *_real(path).parents)):
                raise UsageError(
                    f"{name} {path} is inside {other} {folder}, where the run is kept: choose a"
                    " file outside it"
                )


def _identities(path: Path) -> set[Identity]:
    """Return the identities of a file and of what SQLite and locks keep beside it."""
    if path.exists() and not path.is_file() and not path.is_dir():
        return set()
    real = _real(path)
    if not real.name:  # the root has nothing beside it
        return {_identity(real)}
    beside = [f"{real.name}{ending}" for ending in ("-wal", "-shm", "-journal")]
    names = [real.name, *beside, f".{real.name}.lock"]
    return {_identity(real.with_name(name)) for name in names}


def _identity(path: Path) -> Identity:
    try:
        found = path.stat()
        return found.st_dev, found.st_ino, ""
    except OSError:
        if path == path.parent:
            return 0, 0, str(path)
    name = path.name.casefold() if sys.platform in ("darwin", "win32") else path.name
    device, inode, missing = _identity(path.parent)
    return device, inode, f"{missing}/{name}"


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))
