"""The standard streams and the signals of the process."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType

from actcompare.errors import Terminated
from actcompare.output.messages import say

_LOADING = ("torch", "numpy")
"""Packages that can abort the process if an exception interrupts their loading."""


def prints_aside() -> contextlib.AbstractContextManager[object]:
    """Redirect stdout to stderr while a user's code runs."""
    return contextlib.redirect_stdout(sys.stderr)


def open_closed_streams() -> None:
    """Replace standard streams that were closed by the caller, as by `2>&-`.

    Otherwise the next file opened would take their number, and receive what is written to them.
    Stdin then is empty, stdout cannot be written to, and stderr is discarded.
    """
    for number, name, flags in (
        (0, "stdin", os.O_RDONLY),
        (1, "stdout", os.O_RDONLY),
        (2, "stderr", os.O_WRONLY),
    ):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, flags)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8"))


def settle_streams() -> None:
    """Flush what is left; discard what cannot be written, or the interpreter would complain."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextlib.contextmanager
def signals_raised() -> Iterator[None]:
    """Raise KeyboardInterrupt on SIGINT and Terminated on SIGTERM, so that all clean-up runs.

    While torch is being loaded, there is nothing to clean up yet, and the process ends at once.
    """

    def stop(number: int, _: FrameType | None) -> None:
        specs = [getattr(sys.modules.get(name), "__spec__", None) for name in _LOADING]
        if any(getattr(spec, "_initializing", False) for spec in specs):
            if number == signal.SIGINT:
                say("interrupted")
            os._exit(128 + number)
        raise KeyboardInterrupt if number == signal.SIGINT else Terminated

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with contextlib.suppress(ValueError):  # only the main thread may set signal handlers
        for number, handler in before.items():
            if handler != signal.SIG_IGN:  # as after nohup
                signal.signal(number, stop)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            for number, handler in before.items():
                signal.signal(number, handler)
