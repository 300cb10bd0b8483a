"""Recognise calls of torch functions that are activations, and read their arguments.

An activation may be called as `F.relu(z)`, `torch.relu_(z)` or `z.relu()`, or through a module of
torch.nn, which calls one of these; in place or not; with positional or keyword arguments.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from actcompare.activations.catalogue import CATALOGUE, Entry, Value, label_of

_ALIASES = {
    "logsigmoid": ("log_sigmoid",),
    "sigmoid": ("expit", "special_expit"),
    "threshold": ("_threshold",),
}
"""Other names in torch of functions in the catalogue."""

_HOLDERS = (functional, torch, torch.special, torch._C._nn, torch.Tensor)

_CLAMPS = ("clamp", "clamp_min", "clip")

_NOT_THE_FUNCTION = ("inplace", "training", "out")
"""Arguments that control where the result goes or whether it is random."""


class Call(NamedTuple):
    """A call function(z) of an activation."""

    use: str
    """SPEC of the activation; for clamps such as clamp(min=0), a text of the same form."""
    z: Tensor
    """The pre-activation."""
    function: Callable[[Tensor], Tensor]
    """The activation, out of place and not random."""
    as_it_is: bool
    """Whether the call must be made unchanged, since it is in place, has `out=` or is random."""
    given: Mapping[str, Any]
    """The parameters that the call gives, by name."""


class Known(NamedTuple):
    """A function of torch that is an activation."""

    name: str
    parameters: tuple[str, ...]
    """Names of the positional parameters; the first is z."""
    function: Callable[..., Tensor]
    """The out-of-place variant."""
    in_place: bool
    entry: Entry | None

    @property
    def is_relu(self) -> bool:
        """Whether the function is max(0, z), whose slopes follow from its values."""
        return self.name == "relu"


@cache
def known_calls() -> dict[Any, Known]:
    """Return all functions of torch that are activations."""
    found: dict[Any, Known] = {}
    for entry in CATALOGUE:
        names = (entry.name, *_ALIASES.get(entry.name, ()))
        named = ("weight" if p.name == "init" else p.name for p in entry.parameters)
        parameters = ("input", *named)
        for holder in _HOLDERS:
            for name in names:
                _add(found, holder, name, name, parameters, entry)
                _add(found, holder, name + "_", name, parameters, entry)
    for holder in (torch, torch.Tensor):
        for name in _CLAMPS:
            _add(found, holder, name, name, ("input", "min", "max"), None)
            _add(found, holder, name + "_", name, ("input", "min", "max"), None)
    return found


def _add(
    found: dict[Any, Known],
    holder: Any,
    name: str,
    plain: str,
    parameters: tuple[str, ...],
    entry: Entry | None,
) -> None:
    called = getattr(holder, name, None)
    if called is None or called in found:
        return
    if inspect.isfunction(called):
        parameters = tuple(inspect.signature(called).parameters)
    function = getattr(holder, plain, None) or getattr(functional, plain, None)
    if function is None:
        function = getattr(torch, plain)
    in_place = name.endswith("_")
    found[called] = Known(entry.name if entry else plain, parameters, function, in_place, entry)


def read_call(known: Known, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Call | None:
    """Read a call of an activation; None if its arguments make it something else."""
    given = dict(zip(known.parameters, args, strict=False)) | dict(kwargs)
    z = given.pop("input", None)
    if not isinstance(z, Tensor) or not z.dtype.is_floating_point:
        return None
    if known.entry is None and not _is_rectifier(given):
        return None
    by_chance = known.name == "rrelu" and bool(given.get("training"))
    as_it_is = known.in_place or bool(given.get("inplace")) or by_chance or "out" in given
    if known.entry is None:
        given |= {name: _number(given[name]) for name in ("min", "max") if name in given}
    rest = {
        name: value.detach() if isinstance(value, Tensor) else value
        for name, value in given.items()
        if name not in _NOT_THE_FUNCTION
    }
    function = partial(known.function, **rest) if rest else known.function
    return Call(_use(known, rest), z, function, as_it_is, rest)


def _is_rectifier(given: Mapping[str, Any]) -> bool:
    """Return whether a clamp is max(0, z), possibly with an upper bound."""
    low, high = (_number(given.get(name)) for name in ("min", "max"))
    numbers = isinstance(low, int | float) and (high is None or isinstance(high, int | float))
    return numbers and low == 0


def _number(value: object) -> object:
    """Return the number that a bound is, also if it is a tensor of equal numbers."""
    if not isinstance(value, Tensor) or value.is_meta or not value.numel():
        return value
    first = value.flatten()[0]
    return float(first) if bool((value == first).all()) else value


def _use(known: Known, given: Mapping[str, Any]) -> str:
    values: dict[str, Value] = {
        name: value for name, value in given.items() if isinstance(value, float | int | str)
    }
    if known.entry is not None:
        defaults = {p.name: p.default for p in known.entry.parameters}
        values = {
            name: value
            for name, value in values.items()
            if name in defaults and value != defaults[name]
        }
    return label_of(known.name, values)


MODULES: Mapping[type[torch.nn.Module], Entry] = {
    getattr(torch.nn, entry.torch_class): entry for entry in reversed(CATALOGUE)
}
"""The modules of torch.nn that are activations."""


def use_of_module(module: torch.nn.Module) -> str | None:
    """Return the SPEC of an activation module of torch.nn; None for any other module."""
    entry = MODULES.get(type(module))
    if entry is None:
        return None
    values = {p.name: getattr(module, p.name) for p in entry.parameters if hasattr(module, p.name)}
    defaults = {p.name: p.default for p in entry.parameters}
    return label_of(entry.name, {k: v for k, v in values.items() if v != defaults[k]})


def use_of_function(function: object) -> str | None:
    """Return the SPEC of an activation given as a function, such as F.gelu; None for any other."""
    try:
        known = known_calls().get(function)
    except TypeError:  # unhashable
        return None
    return known.name if known is not None and known.entry is not None else None


RECTIFYING = (
    *("maximum", "fmax", "max", "where", "masked_fill", "masked_fill_"),
    *("mul", "multiply", "__mul__", "__rmul__"),
)
"""Functions of two tensors with which relu can be written."""


def is_rectifier(
    name: str, args: Sequence[Any], kwargs: Mapping[str, Any], result: object, known: bool = False
) -> bool:
    """Return whether a call of a function in RECTIFYING was relu of one of its arguments.

    Such as `torch.maximum(z, 0)`, `torch.where(z > 0, z, 0)` and `z * (z > 0)`. Values are compared
    only where the arguments have such a form: a mask, or zeros. A product with a mask, or a choice
    by one, is relu only if a negative number shows it, or if it did so before (`known`); the
    maximum with 0 always is.
    """
    if not isinstance(result, Tensor) or not result.is_floating_point():
        return False
    given = [*args, *kwargs.values()]
    of_shape = [each for each in given if isinstance(each, Tensor) and each.shape == result.shape]
    masks = [each for each in of_shape if each.dtype == torch.bool]
    if name in ("maximum", "fmax", "max"):
        formed = len(given) == 2 and any(_is_zero(each) for each in given)
    else:
        by_zero = name in ("where", "masked_fill", "masked_fill_")
        formed = bool(masks) and (not by_zero or any(_is_zero(each) for each in given))
    floats = [each for each in of_shape if each.dtype == result.dtype and each is not result]
    shown = known or name in ("maximum", "fmax", "max")
    return formed and any(
        (shown or bool((z < 0).any())) and torch.equal(z.relu(), result) for z in floats
    )


def _is_zero(value: object) -> bool:
    """Return whether a value is 0, or a tensor of zeros."""
    if isinstance(value, Tensor):
        return value.dtype != torch.bool and value.numel() > 0 and not bool(value.any())
    return isinstance(value, int | float) and not isinstance(value, bool) and value == 0
