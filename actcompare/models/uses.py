"""Which activations a model calls, and which of them to replace."""

from collections import Counter
from collections.abc import Callable

import torch
from torch import nn

from actcompare.errors import UsageError
from actcompare.models.watching.gated import is_product
from actcompare.models.watching.watch import watch
from actcompare.text import listed

AS_IS = "as-is"
"""Stands for the activation that a model has."""


def uses_of(model: nn.Module, run: Callable[[nn.Module], object]) -> Counter[str]:
    """Return how often a model calls each activation in one pass, by SPEC.

    Args:
        model: The model.
        run: Runs it once.
    """
    with torch.no_grad(), watch(model) as seen:
        run(model)
    return Counter(layer.use for layer in seen.layers if not is_product(layer.use))


def activation_of(
    model: nn.Module, run: Callable[[nn.Module], object], asked: str
) -> tuple[str, int]:
    """Return the activation to replace, as the model has it, and how often it is called.

    Args:
        model: The model.
        run: Runs it once.
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
            f"the model does not call {asked}: name an activation that it has, or {AS_IS} for the"
            f" one that it calls most often. It has {has}"
        )
    return asked, sum(uses[use] for use in found)
