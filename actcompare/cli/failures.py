"""Report every failure as one line on stderr, with the right exit code."""

import contextlib
import os
import re
import signal
import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from actcompare.errors import ActcompareError, ReaderGoneError, Terminated, UsersError


def _stop(*_: object) -> None:
    raise Terminated


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
        debug = os.environ.get("ACTCOMPARE_DEBUG") == "1"
        with contextlib.suppress(ValueError):  # only the main thread may set signal handlers
            signal.signal(signal.SIGTERM, _stop)
        try:
            code = super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
            code = code if isinstance(code, int) else 0
            if code == 130:
                typer.echo("interrupted", err=True)
        except Terminated:
            code = 128 + signal.SIGTERM
        except ReaderGoneError as error:
            code = error.exit_code
        except typer.TyperException as error:
            if error.format_message():  # empty if the help was shown instead
                said = error.format_message().replace("Value error, ", "")  # added by pydantic
                typer.echo(f"error: {said}", err=True)
            code = error.exit_code
        except ActcompareError as error:
            if debug:
                raise
            if isinstance(error, UsersError):
                typer.echo(error.traceback, err=True)
            typer.echo("error: " + " ".join(str(error).splitlines()), err=True)
            code = error.exit_code
        except OSError as error:
            if debug:
                raise
            typer.echo(f"error: {error.strerror or error}", err=True)
            code = 1
        except MemoryError:
            typer.echo("error: out of memory; try smaller sizes", err=True)
            code = 1
        except Exception as error:  # no traceback reaches a user
            if debug:
                raise
            typer.echo(
                f"error: {type(error).__name__}: {error}; this is a bug in actcompare"
                " (ACTCOMPARE_DEBUG=1 shows the traceback)",
                err=True,
            )
            code = 1
        if standalone_mode:
            sys.exit(code)
        return code


class NegativeNumbers(TyperCommand):
    """A command that takes -inf and -2o as arguments, not as bundles of short options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Hide the minus of such arguments from the parser, behind a space."""
        return super().parse_args(ctx, [f" {arg}" if _is_hidden(arg) else arg for arg in args])


def _is_hidden(arg: str) -> bool:
    if re.match(r"-(?:inf|nan)", arg, re.IGNORECASE):
        return True
    if not re.match(r"-[\d.]", arg):
        return False
    try:
        float(arg)
    except ValueError:
        return True
    return False
