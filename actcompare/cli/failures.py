"""Report every failure as one line on stderr, with the right exit code."""

import errno
import os
import signal
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from actcompare.activations.user_code import only_users_warnings
from actcompare.cli.streams import open_closed_streams, settle_streams, signals_raised
from actcompare.errors import ActcompareError, ReaderGoneError, Terminated, UsersError
from actcompare.files.writing import open_output
from actcompare.output.messages import say


class ErrorLines(TyperGroup):
    """A group of commands that reports every failure as one line on stderr."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command and exit with its code."""
        open_closed_streams()
        try:
            with signals_raised(), only_users_warnings():
                try:
                    code = super().main(
                        args, prog_name, complete_var, False, windows_expand_args, **extra
                    )
                    code = code if isinstance(code, int) else 0
                    with open_output(None):
                        pass  # a help text that cannot be written is an error too
                except BaseException as error:  # each is told in one line, with its exit code
                    if os.environ.get("ACTCOMPARE_DEBUG") == "1" and isinstance(error, Exception):
                        raise
                    code = _report(error)
        except KeyboardInterrupt:  # during the report
            code = 130
        if code == 130:
            say("interrupted")
        settle_streams()
        if standalone_mode:
            raise SystemExit(code)
        return code


def _report(error: BaseException) -> int:
    """Report an error on stderr, and return the exit code."""
    code = 1
    match error:
        case KeyboardInterrupt():
            return 130
        case Terminated():
            return 128 + signal.SIGTERM
        case ReaderGoneError():
            return error.exit_code
        case SystemExit() if isinstance(error.__context__, BrokenPipeError):
            return ReaderGoneError.exit_code  # rich leaves so where a help text is cut off
        case SystemExit(code=int(ended)) if "_ACTCOMPARE_COMPLETE" in os.environ:
            return ended  # typer leaves so after completing for the shell
        case SystemExit():
            said = "a function or model that was called has ended the process with sys.exit"
        case typer.TyperException():
            said, code = error.format_message(), error.exit_code
            said = said.replace("Value error, ", "")  # added by pydantic
        case ActcompareError():
            for line in error.traceback.splitlines() if isinstance(error, UsersError) else ():
                say(line)
            said, code = str(error), error.exit_code
        case OSError(errno=errno.EBADF):
            said = "cannot write to standard output: it is closed"
        case OSError():
            said = error.strerror or str(error)
        case MemoryError() | RuntimeError() if _is_shortage(error):
            said = "out of memory; try smaller sizes"
        case _:  # no traceback reaches a user
            said = (
                f"{type(error).__name__}: {error}; this is a bug in actcompare"
                " (ACTCOMPARE_DEBUG=1 shows the traceback)"
            )
    if said:  # empty if the help was shown instead
        say("error: " + " ".join(said.splitlines()))
    return code


def _is_shortage(error: BaseException) -> bool:
    from actcompare.machine.memory import is_shortage

    return is_shortage(error)
