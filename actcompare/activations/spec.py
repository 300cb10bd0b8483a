"""The SPEC grammar that names an activation.

A SPEC is a name with optional parameters, such as `relu` or `softplus:beta=2,threshold=30`, or a
user's own `package.module:Name` or `path/to/file.py:Name`, such as `my.acts:Snake:a=0.5`. A last
part with `=` holds the parameters. A SPEC may also be written as in Python: `nn.Softplus(beta=2)`,
`F.relu`. Several are separated by commas: `relu,softplus:beta=2,threshold=30,gelu`.
"""

import copy
import difflib
import inspect
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Any

from actcompare.activations.catalogue import CATALOGUE, Entry, Value, label_of
from actcompare.activations.user_code import load_users_own
from actcompare.errors import ActcompareError, UsageError
from actcompare.text import read_number

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
            made: torch.nn.Module
            kind = getattr(torch.nn, self.entry.torch_class)
            given: dict[str, Any] = dict(self.parameters)
            if "dtype" in inspect.signature(kind).parameters:  # its weight is rounded only once
                given["dtype"] = dtype
            try:
                made = kind(**given)
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


_CALL = re.compile(r"([^()]+)\(([^()]*)\)")
"""A SPEC written as a call, such as nn.Softplus(beta=2)."""

_OF_TORCH = re.compile(r"(torch\.)?(nn\.)?(functional\.|modules\.activation\.|F\.)?")


def parse(spec: str) -> Activation:
    """Parse a SPEC.

    Raises:
        UsageError: The activation or a parameter is unknown, or a value is out of bounds.
    """
    call = _CALL.fullmatch(spec.strip())
    names, text = (call[1] if call else spec.strip()).split(":"), ""
    if call:
        text = call[2].strip()
    elif "=" in names[-1]:
        *names, text = names
    if not names:
        raise UsageError(f"{spec!r}: write parameters as softplus:beta=2")
    if len(names) == 1:
        rows = _rows(names[0])
        return _from_catalogue(rows, parse_parameters(text, spec, rows if call else ()), spec)
    if any(entry.name == names[0] for entry in CATALOGUE):
        raise UsageError(f"{spec!r}: write parameters as {names[0]}:name=value")
    target, given = ":".join(names), parse_parameters(text, spec)
    if not names[-1] or not names[-2]:
        raise UsageError(f"{spec!r} has no name: write module:Name or file.py:Name")
    return Activation(label_of(target, given), given, target=target)


def split(specs: str) -> list[str]:
    """Split SPECs at the commas between them; `name=value` after a comma is another parameter."""
    found: list[str] = []
    for piece in re.split(r",(?![^(]*\))", specs):
        if found and re.match(r"\s*\w+\s*=", piece):
            found[-1] += f",{piece}"
            continue
        found.append(piece)
        if ".py:" in piece:  # the name of a file may contain commas
            wholes = [",".join(found[i:]) for i in range(len(found))]
            files = [os.path.isfile(whole.rpartition(".py:")[0] + ".py") for whole in wholes]  # noqa: PTH113
            first = files.index(True) if any(files) else len(found) - 1
            found[first:] = [wholes[first]]
    return found


def _rows(name: str) -> list[Entry]:
    """Return the rows of an activation by its name or class in PyTorch, in any spelling.

    Raises:
        UsageError: There are none.
    """
    key = _key(_OF_TORCH.sub("", name.strip(), count=1))
    rows = [entry for entry in CATALOGUE if key in (_key(entry.name), _key(entry.torch_class))]
    if not rows:
        raise UsageError(f"unknown activation {name[:60]!r}{_did_you_mean(name)}")
    return rows


def _key(name: str) -> str:
    return re.sub(r"(?<=\w)[-_](?=\w)", "", name).lower()


def _from_catalogue(rows: list[Entry], given: dict[str, Value], spec: str) -> Activation:
    name = rows[0].name
    known = {parameter.name: parameter for parameter in rows[0].parameters}
    if isinstance(given.get("inplace"), bool) and _can_be_in_place(rows[0]):
        given = {key: value for key, value in given.items() if key != "inplace"}
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


def _can_be_in_place(entry: Entry) -> bool:
    """Return whether the module takes `inplace`, which does not change what is computed."""
    return "inplace" in signature(getattr(import_module("torch.nn"), entry.torch_class)).parameters


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
        else:
            for each in split(spec):
                if not each.strip():
                    raise UsageError(f"{spec!r}: a SPEC is missing beside a comma")
                named = [entry.spec for entry in CATALOGUE] if each.strip() == "all" else [each]
                activations += map(parse, named)
    if not activations:
        raise UsageError("no activation given: use --act, such as --act relu")
    return activations


def parse_one(spec: Specs) -> Activation:
    """Return the one activation; raise as `parse_all` does, and for any other number of them."""
    activations = parse_all(spec)
    if len(activations) != 1:
        raise UsageError(f"one activation, not {len(activations)}")
    return activations[0]


def _did_you_mean(name: str) -> str:
    if _key(name) == "swish":
        return ": PyTorch calls it silu"
    names = sorted({entry.name for entry in CATALOGUE})
    close = difflib.get_close_matches(_OF_TORCH.sub("", name.lower()), names, n=3, cutoff=0.5)
    if close:
        return f": did you mean {', '.join(close)}?"
    return ": `actcompare list` shows the catalogue; write your own as module:Name or file.py:Name"


def parse_parameters(text: str, spec: str, rows: Sequence[Entry] = ()) -> dict[str, Value]:
    """Parse name=value,name=value; values without a name go to the row's parameters in order."""
    in_order = [p.name for row in rows[:1] for p in row.parameters if not p.by_name_only]
    values: dict[str, Value] = {}
    for i, part in enumerate(text.split(",") if text else ()):
        before, equals, after = (piece.strip() for piece in part.partition("="))
        key, value = (before, after) if equals else ("".join(in_order[i : i + 1]), before)
        if not (key and value):
            raise UsageError(f"{spec!r}: write parameters as name=value,name=value")
        if key in values:
            raise UsageError(f"{spec!r}: {key} is given twice")
        values[key] = _read_value(value)
    return values


def _read_value(text: str) -> Value:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        number = read_number(text)
    except ValueError:
        quoted = text[0] == text[-1] and text[0] in "'\"" and len(text) > 1
        return text[1:-1] if quoted else text
    return int(number) if number.is_integer() and abs(number) < 1e16 else number
