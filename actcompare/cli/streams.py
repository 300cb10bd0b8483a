"""What a user's own code prints."""

import contextlib
import sys


def prints_aside() -> contextlib.AbstractContextManager[object]:
    """While a user's own code runs: what it prints is talk, and goes to stderr."""
    return contextlib.redirect_stdout(sys.stderr)
