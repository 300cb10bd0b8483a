"""Read tensors from torch.save and safetensors files, without running code in them."""

import pickle
from pathlib import Path
from typing import Any

import torch

from actcompare.errors import ActcompareError, MissingExtraError
from actcompare.files.reading import reading

ENDINGS = (".pt", ".pth", ".safetensors")


def read_tensors(path: Path) -> Any:
    """Return the named tensors of a .safetensors file, or the object that torch.save wrote.

    Raises:
        MissingExtraError: The package safetensors is not installed.
        ActcompareError: The file cannot be read, is damaged, or contains more than tensors.
    """
    with reading(path):
        return (_read_safetensors if path.suffix.lower() == ".safetensors" else _read_saved)(path)


def _read_safetensors(path: Path) -> Any:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError:
        raise MissingExtraError(f"{path} needs safetensors", "data") from None
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ActcompareError(f"{path} is not a safetensors file or is damaged") from error


def _read_saved(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ActcompareError(
            f"{path} contains more than tensors, or is damaged; other pickled objects could run"
            " code and are not loaded: save only tensors, such as model.state_dict()"
        ) from error
    except (RuntimeError, EOFError, ValueError, LookupError, AttributeError) as error:
        raise ActcompareError(f"{path} is not a torch.save file or is damaged") from error
