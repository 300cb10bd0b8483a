"""Import a user's own code, named as `package.module:Name` or `path/to/file.py:Name`."""

import contextlib
import difflib
import importlib.util
import sys
import sysconfig
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import actcompare
from actcompare.errors import ActcompareError, Terminated, UsageError, UsersError


def load_users_own(target: str, parameters: Mapping[str, Any]) -> Callable[..., Any]:
    """Import `module:Name` or `file.py:Name` as a function of one tensor.

    A class is instantiated with the parameters; a plain function receives them on each call.

    Raises:
        ActcompareError: The name does not exist, is not callable, or fails.
    """
    made = find_callable(target)
    if isinstance(made, type):
        try:
            made = made(**parameters)
        except (KeyboardInterrupt, Terminated):
            raise
        except BaseException as error:  # a user's code
            raise ActcompareError(f"cannot create {target}: {describe(error)}") from error
        if not callable(made):
            raise ActcompareError(f"instances of {target} are not callable")
        return made  # type: ignore[no-any-return]
    if not parameters:
        return made
    return lambda x: made(x, **parameters)


def find_callable(target: str) -> Callable[..., Any]:
    """Import `module:Name` or `file.py:Name`, and return the function, module or class.

    Raises:
        UsageError: The target is not written in this form.
        ActcompareError: The name does not exist, or is something else.
    """
    found = find_users_own(target)
    if not callable(found):
        kind = type(found).__name__
        raise ActcompareError(f"{target} must be a function or a module, not {kind}")
    return found  # type: ignore[no-any-return]


def find_users_own(target: str) -> Any:
    """Import `module:Name` or `file.py:Name`, and return the object of that name.

    Raises:
        UsageError: The target is not written in this form.
        ActcompareError: The name does not exist, or the module cannot be imported.
    """
    module_name, _, name = target.rpartition(":")
    if not module_name or not name:
        raise UsageError(f"{target!r} has no name: write module:Name or file.py:Name")
    found: Any = _import_users_own(module_name, target)
    for part in name.split("."):
        with users_code(f"{target} cannot be read"):  # a module may have its own `__getattr__`
            try:
                found = getattr(found, part)
            except AttributeError:
                near = difflib.get_close_matches(part, dir(found), n=1)
                hint = f": did you mean {near[0]}?" if near else ""
                raise ActcompareError(f"{module_name} has no {name!r}{hint}") from None
    return found


def _import_users_own(module_name: str, target: str) -> object:
    try:
        if module_name.endswith(".py"):
            path = Path(module_name).resolve()
            if not path.is_file():
                raise ActcompareError(f"{module_name} does not exist")
            # Import each file only once, so that its classes stay the same.
            name = f"_actcompare_user_{path.stem}_{abs(hash(path)):x}"
            if name in sys.modules:
                return sys.modules[name]
            spec = importlib.util.spec_from_file_location(name, path)
            if spec is None or spec.loader is None:
                raise ActcompareError(f"{module_name} is not a Python file")
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module
            try:
                spec.loader.exec_module(module)
            except BaseException:  # nothing half-imported stays, whatever ended it
                del sys.modules[name]
                raise
            return module
        if "" not in sys.path and str(Path.cwd()) not in sys.path:
            sys.path.insert(0, str(Path.cwd()))
        return importlib.import_module(module_name)
    except (ActcompareError, KeyboardInterrupt, Terminated):
        raise
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(error.name + ".")):
            raise ActcompareError(
                f"{target}: no module named {error.name!r} here or on the Python path"
                " (write a file as path/to/file.py:Name)"
            ) from None
        raise ActcompareError(f"cannot import {module_name}: {describe(error)}") from error
    except BaseException as error:  # a user's code
        raise ActcompareError(f"cannot import {module_name}: {describe(error)}") from error


@contextlib.contextmanager
def users_code(what: str) -> Iterator[None]:
    """Report whatever a user's code raises as a UsersError, also SystemExit and its like.

    Raises:
        UsersError: The code within the context failed.
    """
    try:
        yield
    except (ActcompareError, KeyboardInterrupt, Terminated, GeneratorExit):
        raise
    except BaseException as error:  # a user's code, which may raise anything
        raise users_error(what, error) from error


def users_error(what: str, error: BaseException) -> UsersError:
    """Make an error for a failure of a user's code, with its traceback but without our frames."""
    whole = traceback.TracebackException.from_exception(error)
    part: traceback.TracebackException | None = whole
    while part is not None:
        theirs = [frame for frame in part.stack if not _is_ours(frame.filename)]
        part.stack = traceback.StackSummary.from_list(theirs)
        part = part.__cause__ or (None if part.__suppress_context__ else part.__context__)
    return UsersError(f"{what}: {describe(error)}", "".join(whole.format()))


@contextlib.contextmanager
def only_users_warnings() -> Iterator[None]:
    """Show the warnings that a user's code raises, and none of those of libraries."""
    with warnings.catch_warnings():
        show = warnings.showwarning

        def showwarning(message: Any, *details: Any, **more: Any) -> None:
            frame = sys._getframe(1)
            while frame.f_code.co_filename == warnings.__file__ and frame.f_back is not None:
                frame = frame.f_back
            if _is_users(frame.f_code.co_filename) and "Triggered internally" not in str(message):
                show(message, *details, **more)

        warnings.showwarning = showwarning
        yield


def _is_users(filename: str) -> bool:
    """Return whether a file belongs neither to an installed package nor to Python nor to us."""
    of_others = {
        sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")
    }
    return not _is_ours(filename) and not filename.startswith(tuple(of_others))


def _is_ours(filename: str) -> bool:
    ours = filename.startswith(str(Path(actcompare.__file__).parent))
    return ours or filename.startswith("<frozen importlib")


def describe(error: BaseException) -> str:
    """Describe an exception on one line: its type and the first line of its message."""
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # an exception of a user's, whose text fails
        lines = []
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
