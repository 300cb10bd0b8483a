"""Copy a model with other activations, to see what they would change."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from actcompare.activations.spec import Activation, parse, parse_all
from actcompare.activations.torch_calls import use_of_function, use_of_module
from actcompare.activations.user_code import describe, find_users_own
from actcompare.errors import ActcompareError, UsageError
from actcompare.models.detours import Aside, News, match, swap_calls
from actcompare.models.places import module_paths
from actcompare.models.watching.whole import may_be_whole, whole_of

Swaps = Mapping[str, str | Activation | Callable[..., Any]]
"""The new activation of each old one: `{"relu": "softplus"}`."""


@dataclass(frozen=True)
class Swap:
    """One place where a swap was requested."""

    where: str
    """Path of the module."""
    old: str
    new: str
    why_not: str = ""
    """Why the activation was not swapped; empty if it was."""


def parse_swap(text: str) -> tuple[str, str]:
    """Read OLD=NEW, each a SPEC: `relu=softplus`, `gelu=softplus:beta=2`.

    Raises:
        UsageError: The text has another form.
    """
    for i, sign in enumerate(text):
        # A SPEC with parameters contains `=` too: split where both sides are SPECs.
        if sign == "=" and (old := _spec_of(text[:i])) and (new := _spec_of(text[i + 1 :])):
            return old, new
    old, _, new = text.partition("=")
    if old.strip() and new.strip():
        for side in (old, new):
            if ":" not in side and side.strip() != "clamp":
                parse(side)  # raises an error that names the problem
    raise UsageError(f"--swap {text!r}: write OLD=NEW, such as relu=softplus")


def _spec_of(text: str) -> str:
    """Return a SPEC as it is printed; empty if the text is not one."""
    try:
        return "clamp" if text.strip() == "clamp" else parse(text).label
    except UsageError:
        return ""


def swap_activations(
    model: nn.Module, swaps: Swaps, *, share: bool = False
) -> tuple[nn.Module, tuple[Swap, ...]]:
    """Copy a model and swap activations in the copy.

    Modules of torch.nn, and functions that modules keep as attributes (as torch's transformer
    layers do), are replaced by modules. Calls such as `F.relu(x)` in any method of any module are
    replaced whenever it runs, also where activation checkpointing runs it again within backward
    (but not in a function that is no method, if that is what is checkpointed).
    A leaf module that computes an activation of the catalogue counts as that one; of a
    gated linear unit the gate's sigmoid is replaced. nn.ReLU(inplace=True) becomes a module that is
    not in place; the replacement of `x.relu_()` still overwrites x.

    Args:
        model: The model, which is not changed. The copy of a compiled model is not compiled.
        swaps: SPECs of old and new activations. An old one without parameters matches any
            parameters. `clamp` means clamp(min=0).
        share: Whether the copy has the parameters of the model, instead of copies of them.

    Returns:
        The copy, and the places in modules where activations were found, with the reason if one
        could not be swapped. Calls in forward methods are found only by running the copy.

    Raises:
        UsageError: A SPEC is invalid.
        ActcompareError: The model cannot be copied, or a new activation cannot be made.
    """
    news = {old: _one(new).loaded() for old, new in swaps.items()}
    twin = copied(model, share)
    exchange = _Exchange(twin, news)
    for where, module in list(module_paths(twin)):
        if isinstance(module, torch.jit.ScriptModule):
            exchange.done.append(
                Swap(where or "(model)", "", "", "scripted: torch runs it without Python")
            )
            continue
        exchange.functions_of(module, where)
        for name, child in list(module._modules.items()):
            path = f"{where}.{name}" if where else name
            new = exchange.for_module(child, path) if child is not None else None
            if new is not None:
                module._modules[name] = new
    root = exchange.for_module(twin, "")
    if root is not None:
        return root, tuple(exchange.done)
    swap_calls(twin, News(news))
    return twin, tuple(exchange.done)


def copied(model: nn.Module, share: bool = False) -> nn.Module:
    """Return a copy of a model, uncompiled; with its own parameters, or those of the model.

    Raises:
        ActcompareError: It cannot be copied.
    """
    shared = {id(p): p for p in model.parameters()} if share else {}
    try:
        twin: nn.Module = copy.deepcopy(getattr(model, "_orig_mod", model), shared)
    except (Exception, SystemExit) as error:  # a user's code
        raise ActcompareError(f"the model cannot be copied: {describe(error)}") from error
    return twin


class _Exchange:
    """The new activations, built once each in the model's dtype and on its device."""

    def __init__(self, model: nn.Module, news: Mapping[str, Activation]) -> None:
        self._news = news
        self._own = {
            old: find_users_own(old) for old in news if old != "clamp" and parse(old).entry is None
        }
        weights = next((p for p in model.parameters() if p.is_floating_point()), torch.zeros(0))
        self._dtype, self._device = weights.dtype, weights.device
        self._made: dict[int, nn.Module] = {}
        self.done: list[Swap] = []

    def for_module(self, module: nn.Module, where: str) -> nn.Module | None:
        """Return the replacement of a module, or None to keep it."""
        use = use_of_module(module) or self._as_a_whole(module)
        kinds = [old for old, kind in self._own.items() if _is_kind(module, kind)]
        old = kinds[0] if kinds else match(use, self._news)
        if old is None:
            return None
        if id(module) not in self._made:
            self._made[id(module)] = self._build(old).train(module.training)
        in_place = " (which was in place)" if getattr(module, "inplace", False) else ""
        self._note(where or "(model)", (use or old) + in_place, old)
        return self._made[id(module)]

    def _as_a_whole(self, module: nn.Module) -> str | None:
        """Return the SPEC of a leaf module that computes an activation of the catalogue."""
        if not may_be_whole(module):
            return None
        whole = whole_of(module, torch.zeros((2, 8), dtype=self._dtype, device=self._device))
        return whole.use if whole is not None and whole.known else None

    def functions_of(self, module: nn.Module, where: str) -> None:
        """Swap the functions that a module keeps; record those that cannot be swapped."""
        for name, value in list(vars(module).items()):
            use = use_of_function(value)
            old = match(use, self._news)
            if old is not None:
                delattr(module, name)
                setattr(module, name, self._build(old))
                self._note(f"{where}.{name}".lstrip("."), str(use), old)
                if isinstance(module, nn.TransformerEncoderLayer):
                    module.activation_relu_or_gelu = 0  # disables the fast path
        why = "torch computes the gates of a recurrent layer in one call"
        for gate in filter(self._news.__contains__, _gates(module)):
            self._note(where or "(model)", gate, gate, why)

    def _build(self, old: str) -> nn.Module:
        new = _as_module(self._news[old].build(self._dtype, self._device))
        if self._news[old].entry is None:  # a user's own may call what it replaces
            vars(new)["forward"] = Aside(new)
        return new

    def _note(self, where: str, use: str, old: str, why_not: str = "") -> None:
        self.done.append(Swap(where, use, self._news[old].label, why_not))


def _gates(module: nn.Module) -> list[str]:
    """Return the activations that a recurrent layer computes within one call of torch."""
    if isinstance(module, nn.RNN):
        return [module.mode.removeprefix("RNN_").lower()]
    if not isinstance(module, nn.RNNBase | nn.RNNCellBase):
        return []
    return [str(module.nonlinearity)] if hasattr(module, "nonlinearity") else ["tanh", "sigmoid"]


def _one(new: str | Activation | Callable[..., Any]) -> Activation:
    (activation,) = parse_all([new])
    return activation


def _is_kind(module: nn.Module, kind: object) -> bool:
    return isinstance(module, kind) if isinstance(kind, type) else False


def _as_module(function: Callable[[Tensor], Tensor]) -> nn.Module:
    return function if isinstance(function, nn.Module) else _Function(function)


class _Function(nn.Module):
    """A plain function as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, z: Tensor) -> Tensor:
        return self.function(z)

    def extra_repr(self) -> str:
        return getattr(self.function, "__name__", repr(self.function))


def swaps_of_calls(
    swaps: Swaps, done: Sequence[Swap], before: Sequence[str], after: Sequence[str]
) -> list[Swap]:
    """Return the swaps of calls in forward methods, found by running the copy.

    Args:
        swaps: The requested swaps.
        done: The swaps in modules.
        before: The uses of activations in the model, as `module / use`, in order.
        after: The uses in the copy.
    """
    if len(before) != len(after):
        return []
    found, of_modules = [], {swap.where for swap in done}
    for old, new in zip(before, after, strict=True):
        where, _, use = old.rpartition(" / ")
        use, _, _ = use.partition(" #")
        moved, _, by = new.rpartition(" / ")  # a function kept as an attribute is a module now
        where, moved = (path.partition("[")[0] for path in (where, moved))  # of all experts
        if not any(name in (use, use.partition(":")[0]) for name in swaps):
            continue
        if {where, moved} & of_modules:
            continue
        by = by.partition(" #")[0]
        why = (
            "this call is out of reach" if new == old and by not in map(str, swaps.values()) else ""
        )
        found.append(Swap(old, use, by, why))
    return found
