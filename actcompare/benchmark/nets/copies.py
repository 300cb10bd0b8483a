"""Copies of a model that differ in an activation, and cost no more than if written so."""

from collections.abc import Callable, Sequence

import torch
from torch import nn

from actcompare.activations.spec import Activation, parse_one
from actcompare.activations.user_code import describe
from actcompare.errors import ActcompareError
from actcompare.models.detours import only_where_swapped, pass_through
from actcompare.models.swap import copied, swap_activations
from actcompare.models.uses import AS_IS, uses_of

Run = Callable[[nn.Module], object]
"""Runs a model on its input."""


def make_copies(
    model: nn.Module, old: str, news: Sequence[Activation | None], run: Run
) -> list[nn.Module | ActcompareError]:
    """Return copies of a model, which share its parameters; in place of one, why it failed.

    Where a swap must stay in a method, because activations are called as functions there, copies
    with the old activation have the same detour, which takes some microseconds a call.

    Args:
        model: The model.
        old: SPEC of the activation to replace.
        news: The new ones; None for a copy as it is.
        run: Runs a model.
    """
    made: list[nn.Module | ActcompareError] = []
    for new in news:
        try:
            made.append(_swapped(model, old, new, run) if new else copied(model, share=True))
        except ActcompareError as error:
            made.append(error)
        except (Exception, SystemExit) as error:  # a user's activation
            label = AS_IS if new is None else new.label
            made.append(ActcompareError(f"{label} failed: {describe(error)}"))
    detour = next(
        (
            twin
            for twin, new in zip(made, news, strict=True)
            if new and not _is_same(old, new) and isinstance(twin, nn.Module)
        ),
        None,
    )
    for twin, new in zip(made, news, strict=True):
        same = new is None or _is_same(old, new)
        if same and detour is not None and isinstance(twin, nn.Module):
            pass_through(twin, detour)
    return made


def _swapped(model: nn.Module, old: str, new: Activation, run: Run) -> nn.Module:
    if _is_same(old, new):
        return copied(model, share=True)
    twin, _ = swap_activations(model, {old: new}, share=True)
    twin.train(model.training)
    with torch.no_grad():
        only_where_swapped(twin, lambda: run(twin))
    before, after = (uses_of(each, run) for each in (model, twin))
    left = sum(n for use, n in after.items() if old in (use, use.partition(":")[0]))
    if left and new.entry is not None:  # a user's own may call what it replaces
        total = sum(n for use, n in before.items() if old in (use, use.partition(":")[0]))
        raise ActcompareError(
            f"{left} of {total} calls of {old} cannot be swapped for {new.label}: `actcompare"
            f" inspect --swap {old}={new.label}` shows which"
        )
    return twin


def _is_same(old: str, new: Activation) -> bool:
    return new.entry is not None and parse_one(old).label == new.label


def identity(z: torch.Tensor) -> torch.Tensor:
    """Return the input: in place of an activation, it shows what the rest of the model costs."""
    return z
