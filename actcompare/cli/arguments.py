"""Read the arguments of a command as people type them."""

import re
import shlex
from collections.abc import Sequence
from typing import Any

from typer.core import TyperCommand

from actcompare.errors import UsageError
from actcompare.text import read_number


class Command(TyperCommand):
    """A command that shows how activations are given where they stand without --act."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments; raise UsageError if activations are among those without a name."""
        if not ctx.resilient_parsing and any("--act" in param.opts for param in self.params):
            self._check_activations(ctx, [_Argument(arg) for arg in args])
        return super().parse_args(ctx, args)

    def _check_activations(self, ctx: Any, args: "list[_Argument]") -> None:
        options, left, _ = self.make_parser(ctx).parse_args([*args])
        points = options.get("x") or ()  # of eval
        bare = [arg for arg in (*left, *points) if _is_spec(arg)]
        if left and not bare:
            raise UsageError(f"unexpected argument {left[0]!r}: activations are named with --act")
        if not bare:
            return
        said, name, line = "activations are named with --act", self.name, _corrected(args, bare)
        if name == "train" and len(bare) + len(options.get("activation") or ()) > 1:
            said, name = "train takes one activation, study compares several", "study"
        if len(bare) == len(points) and {"range_", "file"}.isdisjoint(options):
            line += ["-2", "0", "5"]
        raise UsageError(f"{said}: {shlex.join([ctx.parent.command_path, str(name), *line])}")


class _Argument(str):
    """An argument, to be told from others of the same text."""

    __slots__ = ()


def _is_spec(text: str) -> bool:
    try:
        read_number(text)
    except ValueError:
        pass
    else:
        return False  # as most points of eval are
    from actcompare.activations.spec import parse_all

    try:
        return bool(parse_all(text.strip()))
    except UsageError:
        return False


def _corrected(args: Sequence[str], bare: Sequence[str]) -> list[str]:
    """Return the arguments with --act before each bare activation, and none after `--`."""
    end = args.index("--") if "--" in args else len(args)
    named, after = list[str](), list[str]()
    for i, arg in enumerate(args):
        if any(arg is each for each in bare):
            named += ["--act", arg]
        else:
            (named if i < end else after).append(arg.removeprefix(" "))
    return named + (after if after != ["--"] else [])


class NumbersAsArguments(Command):
    """A command that takes -inf and -2o as arguments, not as bundles of short options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Hide the minus of such arguments from the parser, behind a space."""
        return super().parse_args(ctx, [f" {arg}" if _is_hidden(arg) else arg for arg in args])


def _is_hidden(arg: str) -> bool:
    if re.match(r"-(?:inf|nan)", arg, re.IGNORECASE):
        return True
    if not re.match(r"-[\d.]", arg):
        return False
    try:
        float(arg)
    except ValueError:
        return True
    return False
