"""Exceptions; each message says what is wrong and what to do about it."""


class ActcompareError(Exception):
    """Something could not be done; the message is one line with the cause and the remedy."""

    exit_code = 1


class UsageError(ActcompareError):
    """The request is invalid: an unknown activation, a bad parameter or no input."""

    exit_code = 2


class MissingExtraError(ActcompareError):
    """An optional dependency is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what}, which is not installed: pip install 'actcompare[{extra}]'")


class UsersError(ActcompareError):
    """A user's own code failed; has its traceback without our frames."""

    def __init__(self, message: str, traceback: str) -> None:
        super().__init__(message)
        self.traceback = traceback


class ReaderGoneError(ActcompareError):
    """The reader of our output has closed the pipe, as `head` does.

    It has what it wanted: like ripgrep and git's pager, the command has done its work, and a
    pipeline under `set -o pipefail` does not fail.
    """

    exit_code = 0


class Terminated(BaseException):
    """Raised on SIGTERM, so that all clean-up runs, as on an interrupt."""
