"""What can go wrong, as exceptions whose message says what to do next."""


class ActcompareError(Exception):
    """Something could not be done: one line that names the thing and the cure."""

    exit_code = 1


class UsageError(ActcompareError):
    """The request itself is wrong: an unknown activation, a bad parameter, no input."""

    exit_code = 2


class MissingExtraError(ActcompareError):
    """An optional dependency is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what}, which is not installed: pip install 'actcompare[{extra}]'")


class UsersError(ActcompareError):
    """A user's own code failed: what it says itself, where it failed, without our frames."""

    def __init__(self, message: str, traceback: str) -> None:
        super().__init__(message)
        self.traceback = traceback


class ReaderGoneError(ActcompareError):
    """Whoever read our output has stopped reading, as `head` does: nothing is left to do."""

    exit_code = 0


class Terminated(BaseException):
    """Told to end by SIGTERM: ends by way of every clean-up, as an interrupt does."""
