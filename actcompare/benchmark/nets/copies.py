"""Copies of a model that differ in an activation, and cost no more than if written so."""

from collections import Counter
from collections.abc import Callable, Sequence

import torch
from torch import nn

from actcompare.activations.spec import Activation, parse_one
from actcompare.errors import ActcompareError, UsageError
from actcompare.models.swap import copied, only_where_swapped, pass_through, swap_activations
from actcompare.models.watching.gated import is_product
from actcompare.models.watching.watch import watch
from actcompare.text import listed

AS_IS = "as-is"
"""Stands for the activation that a model has."""

Run = Callable[[nn.Module], object]
"""Runs a model on its input."""


def uses_of(model: nn.Module, run: Run) -> Counter[str]:
    """Return how often a model calls each activation in one pass, by SPEC."""
    with torch.no_grad(), watch(model) as seen:
        run(model)
    return Counter(layer.use for layer in seen.layers if not is_product(layer.use))


def activation_of(model: nn.Module, run: Run, asked: str) -> tuple[str, int]:
    """Return the activation to swap, as the model has it, and how often it is called.

    Args:
        model: The model.
        run: Runs it.
        asked: A SPEC; or `as-is`, for the one that is called most often.

    Raises:
        UsageError: The model does not call it.
    """
    uses = uses_of(model, run)
    if asked == AS_IS and uses:
        return uses.most_common(1)[0]
    found = [use for use in uses if asked in (use, use.partition(":")[0])]
    if not found:
        has = listed([f"{use} ({n} calls)" for use, n in uses.most_common()]) or "none that is seen"
        raise UsageError(
            f"the model does not call {asked}: name an activation that it has as the first --act,"
            f" or {AS_IS}. It has {has}"
        )
    return asked, sum(uses[use] for use in found)


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
    detour = next(
        (twin for twin, new in zip(made, news, strict=True) if new and isinstance(twin, nn.Module)),
        None,
    )
    for twin, new in zip(made, news, strict=True):
        if new is None and detour is not None and isinstance(twin, nn.Module):
            pass_through(twin, detour)
    return made


def _swapped(model: nn.Module, old: str, new: Activation, run: Run) -> nn.Module:
    twin, _ = swap_activations(model, {old: new}, share=True)
    twin.train(model.training)
    with torch.no_grad():
        only_where_swapped(twin, lambda: run(twin))
    before, after = (uses_of(each, run) for each in (model, twin))
    left = sum(n for use, n in after.items() if old in (use, use.partition(":")[0]))
    if left and not _is_same(old, new):
        total = sum(n for use, n in before.items() if old in (use, use.partition(":")[0]))
        raise ActcompareError(
            f"{left} of {total} calls of {old} cannot be swapped for {new.label}: `actcompare"
            f" inspect --swap {old}={new.label}` shows which"
        )
    return twin


def _is_same(old: str, new: Activation) -> bool:
    return new.entry is not None and parse_one(old).entry is new.entry


def identity(z: torch.Tensor) -> torch.Tensor:
    """Return the input: in place of an activation, it shows what the rest of the model costs."""
    return z
