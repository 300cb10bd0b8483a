"""Write messages to stderr."""

import contextlib
import sys

from actcompare.text import shown


def say(message: str) -> None:
    """Write a message to stderr as one line; the command goes on if nobody can read it."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"{shown(message)}\n")
        sys.stderr.flush()
