"""Import a user's model, and load its weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from actcompare.activations.user_code import find_users_own, users_code, users_error
from actcompare.errors import ActcompareError
from actcompare.files.state_dicts import read_tensors
from actcompare.text import listed

_WITHIN = ("state_dict", "model_state_dict", "model", "net", "weights")
"""Keys under which larger checkpoints keep the weights."""

_PREFIXES = ("module.", "_orig_mod.")
"""Prefixes that DataParallel and torch.compile add to the names of weights."""


def load_model(target: str) -> nn.Module:
    """Import `module:attr` or `file.py:attr`: a module, or a callable that returns one.

    Raises:
        UsageError: The target has another form.
        ActcompareError: The target does not exist, fails, or is not a module.
    """
    try:
        found = find_users_own(target)
    except ActcompareError as error:
        if error.__cause__ is None:
            raise
        raise users_error(f"{target} cannot be imported", error.__cause__) from error
    if not isinstance(found, nn.Module):
        if not callable(found):
            raise ActcompareError(
                f"{target} is of type {type(found).__name__}: name a torch.nn.Module, or a"
                " function that returns one"
            )
        with users_code(f"{target}() fails"):
            found = found()
    if not isinstance(found, nn.Module):
        raise ActcompareError(f"{target}() returns {type(found).__name__}, not a torch.nn.Module")
    return found


def check_made(model: nn.Module) -> None:
    """Check that every weight of a model has values.

    Raises:
        ActcompareError: A lazy module was never called, or the model is on the meta device.
    """
    if any(p.is_meta for p in model.parameters()):
        raise ActcompareError(
            "the model is on the meta device, without values: create it on another device"
        )
    lazy = [name for name, p in model.named_parameters() if is_lazy(p)]
    if lazy:
        raise ActcompareError(
            f"the model has weights without a shape ({listed(lazy, 3)}): call it on a batch where"
            " you create it"
        )


def in_dtype(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Convert a model's real weights and buffers to a dtype, in place; complex ones stay."""
    model._apply(lambda t: t.to(dtype) if t.is_floating_point() else t)  # type: ignore[no-untyped-call]
    return model


def load_weights(model: nn.Module, path: Path) -> str:
    """Load the weights of a checkpoint into a model; every tensor must fit.

    Returns:
        A message about what was loaded.

    Raises:
        ActcompareError: The file cannot be read, holds no weights, or does not fit.
    """
    content = read_tensors(path)
    within = ""
    if isinstance(content, Mapping) and not _are_weights(content):
        keys = [key for key in _WITHIN if _are_weights(content.get(key))]
        if keys:
            within, content = f" under {keys[0]!r}", content[keys[0]]
    if not _are_weights(content):
        raise ActcompareError(
            f"{path} holds no named weights: save it with torch.save(model.state_dict(), FILE)"
        )
    state = {str(name): tensor for name, tensor in content.items()}
    wanted = {
        name: tensor for name, tensor in model.state_dict().items() if isinstance(tensor, Tensor)
    }
    for prefix in _PREFIXES:
        strangers = all(name.startswith(prefix) for name in state)
        if strangers and not any(name.startswith(prefix) for name in wanted):
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
            within += f" without the prefix {prefix!r}"
    misfits = {
        "lacks": sorted(wanted.keys() - state.keys() - _tied(wanted, state)),
        "also has": sorted(state.keys() - wanted.keys()),
        "has other shapes:": [
            f"{name} {tuple(state[name].shape)} for {tuple(tensor.shape)}"
            for name, tensor in wanted.items()
            if name in state and state[name].shape != tensor.shape
        ],
    }
    said = [f"it {how} {listed(names, 4)}" for how, names in misfits.items() if names]
    if said:
        raise ActcompareError(f"{path} does not fit the model: {'; '.join(said)}")
    model.load_state_dict(state, strict=False)
    return f"{path.name}: all {len(state)} tensors{within} fit the model's"


def _tied(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> set[str]:
    """Return the names of weights that are the same as one in the checkpoint.

    Such are output layers tied to the embedding, which .safetensors files hold once.
    """

    def place(tensor: Tensor) -> tuple[int, int, torch.Size]:
        return tensor.untyped_storage().data_ptr(), int(tensor.storage_offset()), tensor.shape

    held = {place(tensor) for name, tensor in wanted.items() if name in state}
    return {name for name, tensor in wanted.items() if tensor.numel() and place(tensor) in held}


def _are_weights(content: Any) -> bool:
    return (
        isinstance(content, Mapping)
        and bool(content)
        and all(isinstance(value, Tensor) for value in content.values())
    )
