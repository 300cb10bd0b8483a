"""Watch a user's own activation wherever it is called from."""

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

See = Callable[["Own", Tensor, Tensor, Callable[[Tensor], Tensor]], None]


class Own:
    """A user's elementwise function: a module, its class, an autograd.Function, or a function."""

    def __init__(self, spec: str, thing: Any) -> None:
        self.spec, self.thing = spec, thing
        self.use = spec.rpartition(":")[2]
        self.calls = 0
        self.running = 0
        """Calls in progress, within which calls of torch's activations are not recorded."""
        self._inputs: list[tuple[nn.Module, Tensor | None]] = []

    def is_module(self, module: nn.Module) -> bool:
        """Return whether this is the module, or its class."""
        if isinstance(self.thing, type):
            return isinstance(module, self.thing)
        return module is self.thing

    def before(self, module: nn.Module, z: object) -> None:
        """Record the start of a call as a module, and copy its input, which it may overwrite."""
        self.running += 1
        self.calls += 1
        self._inputs.append((module, z.detach().clone() if isinstance(z, Tensor) else None))

    def after(self, module: nn.Module) -> Tensor | None:
        """Record the end of a call, and return its input."""
        while self._inputs:
            self.running -= 1
            called, z = self._inputs.pop()
            if called is module:
                return z
        return None


@contextlib.contextmanager
def patched(own: Own, model: nn.Module, see: See) -> Iterator[None]:
    """Let `see` observe each call of a function, whatever name it is called by."""
    thing = own.thing
    if isinstance(thing, type) and issubclass(thing, torch.autograd.Function):
        with _replaced([(thing, "apply")], _looking(own, thing.apply, see)):
            yield
    elif isinstance(thing, type | nn.Module):
        yield
    else:
        with _replaced(_bindings(thing, model), _looking(own, thing, see)):
            yield


def _looking(own: Own, function: Callable[..., Any], see: See) -> Callable[..., Any]:
    @functools.wraps(function)
    def look(*args: Any, **kwargs: Any) -> Any:
        given = args[0] if args else None
        z = given.detach().clone() if isinstance(given, Tensor) else None
        own.running += 1
        try:
            result = function(*args, **kwargs)
        finally:
            own.running -= 1
        if z is not None and isinstance(result, Tensor):
            own.calls += 1
            see(own, z, result, lambda z: function(z, *args[1:], **kwargs))
        return result

    return look


def _bindings(thing: object, model: nn.Module) -> list[tuple[Any, str]]:
    """Return the names of a function in imported modules, the model and the model's classes."""
    holders: list[Any] = list(sys.modules.values())
    holders += [holder for module in model.modules() for holder in (module, *type(module).__mro__)]
    return [
        (holder, name)
        for holder in {id(holder): holder for holder in holders}.values()
        for name, value in list(getattr(holder, "__dict__", {}).items())
        if value is thing or (type(value) is staticmethod and value.__func__ is thing)
    ]


@contextlib.contextmanager
def _replaced(places: list[tuple[Any, str]], by: Callable[..., Any]) -> Iterator[None]:
    with contextlib.ExitStack() as kept:
        for holder, name in places:
            if name in vars(holder):
                kept.callback(setattr, holder, name, vars(holder)[name])
            else:
                kept.callback(delattr, holder, name)
            setattr(holder, name, staticmethod(by) if isinstance(holder, type) else by)
        yield
