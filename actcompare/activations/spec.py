"""The SPEC grammar that names an activation.

A SPEC is a name with optional parameters, such as `relu` or `softplus:beta=2,threshold=30`, or a
user's own `package.module:Name` or `path/to/file.py:Name`, such as `my.acts:Snake:a=0.5`. A last
part with `=` holds the parameters.
"""

import copy
import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from actcompare.activations.catalogue import CATALOGUE, Entry, Value, label_of
from actcompare.activations.user_code import load_users_own
from actcompare.errors import ActcompareError, UsageError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Activation:
    """An activation with checked parameters."""

    label: str
    """A SPEC of this activation."""
    parameters: Mapping[str, Value]
    entry: Entry | None = None
    """Its row in the catalogue; None for a user's own function."""
    target: str = ""
    """`module:Name` or `file.py:Name` of a user's own function."""
    function: Callable[..., Any] | None = None
    """A user's own function, once imported or if it was passed as an object."""

    def loaded(self) -> "Activation":
        """Return the same activation with a user's own function imported and created.

        Raises:
            ActcompareError: The function cannot be imported or created.
        """
        if self.entry is not None or self.function is not None:
            return self
        return replace(self, function=load_users_own(self.target, self.parameters))

    def build(
        self, dtype: "torch.dtype", device: "torch.device"
    ) -> "Callable[[torch.Tensor], torch.Tensor]":
        """Return the function, with its weights, if any, in `dtype` on `device`.

        Raises:
            ActcompareError: The function cannot be imported or created.
        """
        import torch

        if self.entry is not None:
            try:
                made: torch.nn.Module = getattr(torch.nn, self.entry.torch_class)(**self.parameters)
            except RuntimeError as error:  # a weight that overflows float32
                raise ActcompareError(f"cannot create {self.label}: {error}") from error
            return made.eval().to(device, dtype)
        function = self.loaded().function
        assert function is not None
        if isinstance(function, torch.nn.Module):  # leave the user's object unchanged
            return copy.deepcopy(function).eval().to(device, dtype)
        return function


Specs = str | Activation | Callable[..., Any] | Sequence[str | Activation | Callable[..., Any]]
"""Activations as an argument: a SPEC, a function or a module, or several of them."""


def parse(spec: str) -> Activation:
    """Parse a SPEC.

    Raises:
        UsageError: The activation or a parameter is unknown, or a value is out of bounds.
    """
    parts = spec.strip().split(":")
    if "=" in parts[-1]:
        *names, text = parts
        given = _parse_parameters(text, spec)
    else:
        names, given = parts, {}
    if len(names) > 1:
        target = ":".join(names)
        if any(entry.name == names[0] for entry in CATALOGUE):
            raise UsageError(f"{spec!r}: write parameters as {names[0]}:name=value")
        if not names[-1] or not names[-2]:
            raise UsageError(f"{spec!r} has no name: write module:Name or file.py:Name")
        return Activation(label_of(target, given), given, target=target)
    return _from_catalogue(names[0] if names else "", given, spec)


def _from_catalogue(name: str, given: dict[str, Value], spec: str) -> Activation:
    rows = [entry for entry in CATALOGUE if entry.name == name]
    if not rows:
        raise UsageError(f"unknown activation {name!r}{_did_you_mean(name)}")
    known = {parameter.name: parameter for parameter in rows[0].parameters}
    for parameter in given:
        if parameter not in known:
            has = f"its parameters are {', '.join(known)}" if known else "it has none"
            raise UsageError(f"{spec}: {name} has no parameter {parameter!r}; {has}")
    checked = {
        key: parameter.check(given.get(key, parameter.default), spec)
        for key, parameter in known.items()
    }
    entry = max(
        (row for row in rows if row.fixed.items() <= checked.items()),
        key=lambda row: len(row.fixed),
    )
    if entry.ascending:
        low, high = entry.ascending
        if float(checked[low]) >= float(checked[high]):
            raise UsageError(f"{spec}: {low} must be less than {high}")
    changed = {key: v for key, v in checked.items() if v != known[key].default}
    return Activation(label_of(name, changed), checked, entry=entry)


def parse_all(specs: Specs) -> list[Activation]:
    """Parse SPECs, functions and modules; `all` means the whole catalogue.

    Raises:
        UsageError: There are none, or a SPEC is invalid.
    """
    activations: list[Activation] = []
    for spec in specs if isinstance(specs, Sequence) and not isinstance(specs, str) else [specs]:
        if isinstance(spec, Activation):
            activations.append(spec)
        elif callable(spec):
            label = getattr(spec, "__name__", None) or " ".join(str(spec).split())
            activations.append(Activation(label, {}, function=spec))
        elif spec == "all":
            activations += [parse(entry.spec) for entry in CATALOGUE]
        else:
            activations.append(parse(spec))
    if not activations:
        raise UsageError("no activation given: use --act, such as --act relu")
    return activations


def _did_you_mean(name: str) -> str:
    names = sorted({entry.name for entry in CATALOGUE})
    by_class = {entry.torch_class.lower(): entry.name for entry in CATALOGUE}
    if name.lower() == "swish":
        return ": PyTorch calls it silu"
    if name.lower() in by_class:
        return f": did you mean {by_class[name.lower()]}?"
    close = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.5)
    if close:
        return f": did you mean {', '.join(close)}?"
    return ": `actcompare list` shows the catalogue; write your own as module:Name or file.py:Name"


def _parse_parameters(text: str, spec: str) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for part in text.split(","):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not (key and equals and value):
            raise UsageError(f"{spec!r}: write parameters as name=value,name=value")
        if key in values:
            raise UsageError(f"{spec!r}: {key} is given twice")
        values[key] = _read_value(value)
    return values


def _read_value(text: str) -> Value:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        number = float(text)
    except ValueError:
        return text
    return int(number) if number.is_integer() and abs(number) < 1e16 else number
