"""Watch a user's own activation wherever it is called from."""

import builtins
import contextlib
import functools
import sys
import threading
from collections.abc import Callable, Iterator
from types import BuiltinFunctionType, FunctionType
from typing import Any

import torch
from torch import Tensor, nn

from actcompare.activations.user_code import find_users_own
from actcompare.errors import ActcompareError

See = Callable[["Own", Tensor, Tensor, Callable[[Tensor], Tensor], nn.Module | None], None]

_MISSING = object()


class Calls:
    """The calls of an activation that is a module, and their inputs."""

    def __init__(self) -> None:
        self.calls = 0
        self.running = 0
        """Calls in progress, within which calls of torch's activations are not recorded."""
        self._inputs: list[tuple[nn.Module, Tensor | None]] = []

    def before(self, module: nn.Module, z: object) -> None:
        """Record the start of a call as a module, and copy its input, which it may overwrite."""
        self.running += 1
        self.calls += 1
        self._inputs.append((module, _copied(z)))

    def after(self, module: nn.Module) -> Tensor | None:
        """Record the end of a call, and return its input."""
        while self._inputs:
            self.running -= 1
            called, z = self._inputs.pop()
            if called is module:
                return z
        return None


class Own(Calls):
    """A user's elementwise function: a module, its class, an autograd.Function, or a function."""

    def __init__(self, spec: str) -> None:
        """Import the function.

        Raises:
            UsageError: The SPEC has another form.
            ActcompareError: It does not exist, or is something else.
        """
        super().__init__()
        self.spec, self.thing = spec, find_users_own(spec)
        if why := _no_function(self.thing):
            raise ActcompareError(
                f"{spec} is {why}: name an elementwise function of yours, a torch.nn.Module or an"
                " autograd.Function"
            )
        self.use = spec.rpartition(":")[2]

    def is_module(self, module: nn.Module) -> bool:
        """Return whether this is the module, or its class."""
        if isinstance(self.thing, type):
            return isinstance(module, self.thing)
        return module is self.thing


def _copied(z: object) -> Tensor | None:
    """Return a copy of a tensor; None for anything else, or a kind that cannot be copied."""
    with contextlib.suppress(Exception), torch._C.DisableTorchFunction():  # a user's subclass
        return z.detach().clone() if isinstance(z, Tensor) else None
    return None


def _no_function(thing: object) -> str:
    """Return what a thing is if it can be no activation of a user's; empty if it can."""
    if isinstance(thing, type):
        kinds = (nn.Module, torch.autograd.Function)
        return "" if issubclass(thing, kinds) else f"the class {thing.__name__}"
    if not callable(thing):
        return f"of type {type(thing).__name__}"
    if isinstance(thing, BuiltinFunctionType) and thing.__module__ == builtins.__name__:
        return f"Python's own {thing.__name__}"  # which is called while we look, too
    return ""


@contextlib.contextmanager
def patched(own: Own, model: nn.Module, see: See) -> Iterator[None]:
    """Let `see` observe each call of a function in this thread, whatever name it is called by.

    On exit, each name is bound as before, unless something else has been bound to it meanwhile.
    Copies of the model call the function unobserved from then on.
    """
    thing, thread, looks = own.thing, threading.get_ident(), dict[int, Callable[..., Any]]()
    is_open = True

    def look_for(function: Callable[..., Any]) -> Callable[..., Any]:
        if id(function) not in looks:
            looks[id(function)] = _looking(
                own, function, see, lambda: is_open and threading.get_ident() == thread
            )
        return looks[id(function)]

    if isinstance(thing, type) and issubclass(thing, torch.autograd.Function):
        places: list[tuple[Any, str]] = [(thing, "apply")]
    else:
        places = [] if isinstance(thing, type | nn.Module) else _bindings(thing, model)
    with contextlib.ExitStack() as kept:
        for holder, name in places:
            kept.enter_context(_replaced(holder, name, look_for))
        try:
            yield
        finally:
            is_open = False


def _looking(
    own: Own, function: Callable[..., Any], see: See, active: Callable[[], bool]
) -> Callable[..., Any]:
    @functools.wraps(function)
    def look(*args: Any, **kwargs: Any) -> Any:
        if not active():
            return function(*args, **kwargs)
        z = _copied(args[0]) if args else None
        own.running += 1
        try:
            result = function(*args, **kwargs)
        finally:
            own.running -= 1
        if z is not None and isinstance(result, Tensor):
            own.calls += 1
            see(own, z, result, lambda z: function(z, *args[1:], **kwargs), None)
        return result

    look.looks_at = own.thing  # type: ignore[attr-defined]
    return look


def _bindings(thing: object, model: nn.Module) -> list[tuple[Any, str]]:
    """Return the names of a function in imported modules, the model and the model's classes."""
    holders: list[Any] = list(sys.modules.values())
    holders += [holder for module in model.modules() for holder in (module, *type(module).__mro__)]
    return [
        (holder, name)
        for holder in {id(holder): holder for holder in holders}.values()
        for name, value in list(getattr(holder, "__dict__", {}).items())
        if _is_bound(value, thing)
    ]


def _is_bound(value: object, thing: object) -> bool:
    """Return whether a value is a function, or what another watch put in its place."""
    value = value.__func__ if type(value) is staticmethod else value
    return value is thing or (
        type(value) is FunctionType and vars(value).get("looks_at", _MISSING) is thing
    )


@contextlib.contextmanager
def _replaced(
    holder: Any, name: str, look_for: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> Iterator[None]:
    """Replace what a name of a module, object or class is bound to."""
    before = vars(holder).get(name, _MISSING)
    function = getattr(holder, name) if before is _MISSING else before
    by: Any = look_for(function.__func__ if type(function) is staticmethod else function)
    if isinstance(holder, type) and type(before) is not FunctionType:  # which becomes a method
        by = staticmethod(by)
    _bind(holder, name, by)
    try:
        yield
    finally:
        if vars(holder).get(name, _MISSING) is by:
            _bind(holder, name, before)


def _bind(holder: Any, name: str, value: object) -> None:
    """Bind a name; around the `__setattr__` of a user's class."""
    if isinstance(holder, type):
        if value is _MISSING:
            type.__delattr__(holder, name)
        else:
            type.__setattr__(holder, name, value)
    elif value is _MISSING:
        vars(holder).pop(name, None)
    else:
        vars(holder)[name] = value
