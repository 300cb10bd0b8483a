"""Swap calls of activations, such as `F.relu(x)`, in the methods of a copy of a model."""

import inspect
import threading
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from actcompare.activations.spec import Activation
from actcompare.activations.torch_calls import Known, known_calls, read_call
from actcompare.models.places import acting_paths, module_paths


def swap_calls(twin: nn.Module, news: "News") -> None:
    """Replace calls of activations in every method of every module.

    Whatever is called from outside then swaps: a part of the model, a method other than forward,
    and the forward passes that activation checkpointing repeats within backward.
    """
    for module in {id(module): module for module in acting_paths(twin)}.values():
        if isinstance(module, torch.jit.ScriptModule):
            continue
        for name in _methods(module):
            vars(module)[name] = Method(module, name, vars(module).get(name), news)


def _methods(module: nn.Module) -> list[str]:
    """Return the names of a module's methods that may compute: all of a user's class."""
    found = {"forward": None}
    for kind in type(module).__mro__:
        if kind is nn.Module:
            break
        if not kind.__module__.startswith("torch.nn.modules."):
            found |= {
                name: None
                for name, value in vars(kind).items()
                if isinstance(value, FunctionType) and not name.startswith("__")
            }
    return [*found]


class News(dict[str, Activation]):
    """New activations by the old ones that they replace in calls, built once each."""

    def __init__(self, news: Mapping[str, Activation], *, as_they_are: bool = False) -> None:
        super().__init__(news)
        self.as_they_are = as_they_are
        """Whether calls are made as they are, so that only the way there is taken."""
        self._built: dict[Any, Callable[[Tensor], Tensor]] = {}

    def built(self, old: str, z: Tensor) -> Callable[[Tensor], Tensor]:
        """Return the new activation for a tensor's dtype and device."""
        key = old, z.dtype, z.device
        if key not in self._built:
            self._built[key] = self[old].build(z.dtype, z.device)
        return self._built[key]

    def __reduce__(self) -> tuple[Any, ...]:
        return _news_again, (dict(self), self.as_they_are)


def _news_again(news: Mapping[str, Activation], as_they_are: bool) -> News:
    return News(news, as_they_are=as_they_are)


class Aside:
    """The forward method of a user's activation, in which nothing is swapped."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the activation, whose calls stay as they are."""
        _SWAPPING.aside += 1
        try:
            return type(self.module).forward(self.module, *args, **kwargs)
        finally:
            _SWAPPING.aside -= 1


class Method:
    """A method of a module in a copy, with activations replaced while it runs."""

    def __init__(
        self, module: nn.Module, name: str, own: Callable[..., Any] | None, news: News
    ) -> None:
        self.module, self.name, self.news = module, name, news
        self.own = own
        """What the module itself had in place of its class's method; None if nothing."""
        self.made = 0
        """Number of calls swapped in this method itself."""

    @property
    def function(self) -> Callable[..., Any]:
        """The method without swaps."""
        if self.own is not None:
            return self.own
        method: Callable[..., Any] = getattr(type(self.module), self.name).__get__(self.module)
        return method

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self.function)

    @property
    def __code__(self) -> Any:
        return self.function.__code__  # torch.export reads where a forward method stands

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the method, with activations replaced."""
        _SWAPPING.running.append(self)
        try:
            if id(self.news) in _SWAPPING.now:  # once: in two modes, swaps would chain
                return self.function(*args, **kwargs)
            _SWAPPING.now.add(id(self.news))
            try:
                with _Swapping(self.news):
                    return self.function(*args, **kwargs)
            finally:
                _SWAPPING.now.discard(id(self.news))
        finally:
            _SWAPPING.running.pop()


class _Thread(threading.local):
    """The swaps that are made now in this thread, and the methods that run."""

    def __init__(self) -> None:
        self.now: set[int] = set()
        self.running: list[Method] = []
        self.aside = 0
        """User's activations that run now."""


_SWAPPING = _Thread()


_KNOWN = known_calls()


class _Swapping(TorchFunctionMode):
    """A mode that replaces calls of activations."""

    def __init__(self, news: News) -> None:
        super().__init__()
        self._news = news

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if _SWAPPING.aside:
            return func(*args, **kwargs)
        if func in _GLUS and "sigmoid" in self._news and not self._news.as_they_are:
            _note_call()
            return self._glu(*args, **kwargs)
        known = _KNOWN.get(func)
        call = read_call(known, args, kwargs) if known is not None else None
        old = match(call.use, self._news) if call is not None else None
        if known is None or call is None or old is None:
            return func(*args, **kwargs)
        _note_call()
        if self._news.as_they_are:
            return func(*args, **kwargs)
        function = self._news.built(old, call.z)
        if known.in_place or kwargs.get("inplace") or _positional_inplace(known, args):
            return call.z.copy_(function(call.z.clone()))
        return function(call.z)

    def _glu(self, input: Tensor, dim: int = -1) -> Tensor:  # noqa: A002 (as torch calls it)
        a, b = input.chunk(2, dim)
        gated: Tensor = a * self._news.built("sigmoid", b)(b)
        return gated


def _note_call() -> None:
    if _SWAPPING.running:
        _SWAPPING.running[-1].made += 1


_GLUS = (nn.functional.glu, torch._C._nn.glu)


def _positional_inplace(known: Known, args: tuple[Any, ...]) -> bool:
    return bool(dict(zip(known.parameters, args, strict=False)).get("inplace"))


def only_where_swapped(twin: nn.Module, run: Callable[[], object]) -> int:
    """Run a copy, and swap from then on only in the methods in which the run swapped a call.

    A copy whose activations are all modules then costs no more than a model that was written so.

    Returns:
        The number of methods that are left.
    """
    methods = [
        (module, name, value)
        for module in twin.modules()
        for name, value in vars(module).items()
        if isinstance(value, Method)
    ]
    for *_, method in methods:
        method.made = 0
    run()
    for module, name, method in methods:
        if not method.made:
            del vars(module)[name]
            if method.own is not None:
                vars(module)[name] = method.own
    return sum(method.made > 0 for *_, method in methods)


def pass_through(twin: nn.Module, like: nn.Module) -> None:
    """Give a copy the detours that another copy's swaps take, without a swap."""
    modules = dict(module_paths(twin))
    for path, other in list(module_paths(like)):
        for name, value in vars(other).items():
            if isinstance(value, Method) and path in modules:
                module = modules[path]
                news = News(value.news, as_they_are=True)
                vars(module)[name] = Method(module, name, vars(module).get(name), news)


def match(use: str | None, news: Mapping[str, Activation]) -> str | None:
    """Return the old activation that matches a use, by its SPEC or by its name alone."""
    if use is None:
        return None
    name = use.partition(":")[0].replace("clamp_min", "clamp").replace("clip", "clamp")
    return next((old for old in (use, name) if old in news), None)
