"""Tensors in files of torch.save and of safetensors; code in them is never run."""

import pickle
from pathlib import Path
from typing import Any

import torch

from actcompare.errors import ActcompareError, MissingExtraError
from actcompare.files.reading import reading

ENDINGS = (".pt", ".pth", ".safetensors")


def read_tensors(path: Path) -> Any:
    """The tensors of a .safetensors file by name, or what torch.save wrote of plain containers.

    Raises:
        MissingExtraError: Safetensors is not installed.
        ActcompareError: It cannot be read, is damaged, or holds more than tensors.
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
        raise ActcompareError(f"{path} is not a safetensors file, or is damaged") from error


def _read_saved(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ActcompareError(
            f"{path} holds more than tensors, or is damaged; what else a pickle holds could run"
            " code, and is never loaded: save tensors alone, such as model.state_dict()"
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, AttributeError) as error:
        raise ActcompareError(f"{path} is not a file of torch.save, or is damaged") from error
