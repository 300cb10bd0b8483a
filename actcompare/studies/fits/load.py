"""A user's fit: load it, and check that it takes what it is to be given."""

import ast
import difflib
import hashlib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from actcompare.activations.spec import Activation
from actcompare.activations.user_code import find_callable
from actcompare.errors import UsageError
from actcompare.models.simple_net import Elementwise
from actcompare.text import listed

GIVEN = ("activation", "seed", "lr")
"""What a fit is given beside the settings."""


@dataclass(frozen=True, eq=False)
class MakeActivation:
    """What a fit is given as `activation`: each call makes a module."""

    activation: Activation

    @property
    def label(self) -> str:
        """The SPEC of the activation."""
        return self.activation.label

    def __call__(self) -> nn.Module:
        """Return a new module, in torch's default dtype and on its default device.

        Raises:
            ActcompareError: A user's own activation cannot be imported or created.
        """
        made = self.activation.build(torch.get_default_dtype(), torch.get_default_device())
        return (made if isinstance(made, nn.Module) else Elementwise(made)).train()


@dataclass(frozen=True)
class Fit:
    """A user's own training."""

    label: str
    """`module:Name` or `file.py:Name`, or the name of a function that was passed as an object."""
    function: Callable[..., Any] | None = None
    """The function, once imported or if it was passed as an object."""

    @classmethod
    def of(cls, fit: "str | Callable[..., Any]") -> "Fit":
        """Return a fit that is named, or passed as an object."""
        if isinstance(fit, str):
            return cls(fit)
        if not callable(fit):
            raise UsageError(f"train must be a function or module:Name, not {type(fit).__name__}")
        return cls(getattr(fit, "__qualname__", None) or type(fit).__qualname__, fit)

    def loaded(self) -> "Fit":
        """Return the same fit with its function imported.

        The folder of a file goes onto the Python path, as when the file is run as a script.

        Raises:
            UsageError: The name is not written as module:Name or file.py:Name.
            ActcompareError: It cannot be imported.
        """
        if self.function is not None:
            return self
        file, ending, _ = self.label.rpartition(".py:")
        if ending and (folder := str(Path(f"{file}.py").resolve().parent)) not in sys.path:
            sys.path.insert(0, folder)
        return replace(self, function=find_callable(self.label))

    def fingerprint(self) -> str:
        """Return a hash of the file that holds the function; empty if there is none."""
        function = self.loaded().function
        try:
            file = inspect.getsourcefile(function)  # type: ignore[arg-type]
            return hashlib.sha256(Path(file or "").read_bytes()).hexdigest()[:16]
        except (TypeError, OSError):
            return ""

    def check(self, settings: Mapping[str, object], *, with_lr: bool) -> None:
        """Check that the function takes what it is to be given, and needs no more.

        Raises:
            UsageError: It does not; names the parameter.
            ActcompareError: The function cannot be imported.
        """
        function = self.loaded().function
        assert function is not None
        try:
            parameters = inspect.signature(function).parameters
        except (TypeError, ValueError):  # a function of C has none to look at
            return
        named = {
            name: each
            for name, each in parameters.items()
            if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
        }
        takes_all = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
        for name in GIVEN[: 3 if with_lr else 2]:
            if name not in named and not takes_all:
                cure = "leave --lr out, or add it" if name == "lr" else f"write fit({_SIGNATURE})"
                raise UsageError(f"{self.label} takes no argument {name}: {cure}")
        for name in settings:
            if name in GIVEN:
                raise UsageError(f"set {name}: {self.label} is given {name} by the study")
            if name not in named and not takes_all:
                raise UsageError(
                    f"set {name}: {self.label} takes no argument {name}{_near(name, [*named])}"
                )
        given = {*settings, *GIVEN[: 3 if with_lr else 2]}
        for name, each in parameters.items():
            if each.kind is each.POSITIONAL_ONLY and each.default is each.empty:
                raise UsageError(f"{self.label} takes {name} by position only: remove the /")
            if name in named and each.default is each.empty and name not in given:
                cure = "give --lr, such as --lr 1e-3" if name == "lr" else f"give --set {name}=..."
                raise UsageError(f"{self.label} needs {name}: {cure}")


_SIGNATURE = "activation, seed, ..."


def _near(name: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1)
    others = [each for each in names if each not in GIVEN]
    if close:
        return f": did you mean {close[0]}?"
    return f": its settings are {listed(others)}" if others else ": it has no settings"


def read_settings(texts: Sequence[str]) -> dict[str, Any]:
    """Read settings written as key=value, where a value is a Python literal or else text.

    Raises:
        UsageError: A setting has another form, or is given twice.
    """
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not (equals and name.isidentifier()):
            raise UsageError(f"--set {text!r}: write key=value, such as --set width=64")
        if name in found:
            raise UsageError(f"--set {name} is given twice")
        try:
            found[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            found[name] = value
    return found


def as_literals(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return settings as Python literals, as which they are kept.

    Raises:
        UsageError: A value is not a literal.
    """
    literals = {}
    for name, value in settings.items():
        literals[name] = repr(value)
        try:
            same = bool(ast.literal_eval(literals[name]) == value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            same = False
        if not same:
            raise UsageError(
                f"setting {name} must be a Python literal such as 64, 'adam' or [1, 2], not"
                f" {type(value).__name__}: let the fit make it"
            )
    return literals
