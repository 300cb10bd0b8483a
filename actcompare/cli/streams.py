"""Redirect what a user's code prints."""

import contextlib
import sys


def prints_aside() -> contextlib.AbstractContextManager[object]:
    """Redirect stdout to stderr while a user's code runs."""
    return contextlib.redirect_stdout(sys.stderr)
