"""Read tensors from torch.save and safetensors files, without running code in them."""

import argparse
import pickle
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from actcompare.errors import ActcompareError, MissingExtraError
from actcompare.files.reading import reading
from actcompare.machine.memory import check_fits

ENDINGS = (".pt", ".pth", ".safetensors")


def read_tensors(path: Path) -> Any:
    """Return the named tensors of a .safetensors file, or the object that torch.save wrote.

    Raises:
        MissingExtraError: The package safetensors is not installed.
        ActcompareError: The file cannot be read, is damaged, contains more than tensors, holds a
            tensor without plain values, or does not fit into memory.
    """
    with reading(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, on kinds of tensors that are refused below
        read = _read_safetensors if path.suffix.lower() == ".safetensors" else _read_saved
        content = read(path)
        for name, tensor in _tensors(content):
            _check_plain(tensor, f"{path}: tensor {name!r}" if name else f"{path}: its tensor")
    return content


def _read_safetensors(path: Path) -> Any:
    try:
        import safetensors.torch
    except ImportError:
        raise MissingExtraError(f"{path} needs safetensors", "data") from None
    try:
        return safetensors.torch.load_file(path)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # damaged files fail in safetensors or in torch, in any way
        raise ActcompareError(f"{path} is not a safetensors file or is damaged") from error


def _read_saved(path: Path) -> Any:
    _check_unpacked_size(path)
    try:
        with _plain_classes():
            return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, MemoryError):
        raise
    except pickle.UnpicklingError as error:
        raise ActcompareError(
            f"{path} contains more than tensors, or is damaged; other pickled objects could run"
            " code and are not loaded: save only tensors, such as model.state_dict()"
        ) from error
    except Exception as error:  # damaged files fail anywhere in torch, in any way
        raise ActcompareError(f"{path} is not a torch.save file or is damaged") from error


def _plain_classes() -> AbstractContextManager[object]:
    """Let torch.load make what training scripts keep beside weights, and that runs no code."""
    allowed = getattr(torch.serialization, "safe_globals", None)  # from torch 2.5 on
    return nullcontext() if allowed is None else allowed([argparse.Namespace])


def _check_unpacked_size(path: Path) -> None:
    """Check that the members of a zip archive fit into memory; torch.save compresses none."""
    try:
        with zipfile.ZipFile(path) as archive:
            held = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, ValueError, LookupError, NotImplementedError):
        return  # an older format of torch.save, or damaged
    check_fits(f"{path}, unpacked,", held, "save fewer tensors in a file")


def _tensors(content: Any) -> Iterator[tuple[str, Tensor]]:
    """Yield every tensor in nested containers, with the keys that lead to it."""
    left, seen = [("", content)], set()
    while left:
        name, value = left.pop()
        if isinstance(value, Tensor):
            yield name, value
        elif isinstance(value, Mapping | list | tuple) and id(value) not in seen:
            seen.add(id(value))
            parts = value.items() if isinstance(value, Mapping) else enumerate(value)
            left += [(f"{name}.{key}" if name else f"{key}", part) for key, part in parts]


def _check_plain(tensor: Tensor, called: str) -> None:
    """Check that a tensor has a value for every element, and that these fit into memory."""
    if tensor.is_meta:
        raise ActcompareError(f"{called} is on the meta device, without values: save real values")
    if tensor.is_quantized:
        raise ActcompareError(f"{called} is quantized: save it as tensor.dequantize()")
    if tensor.is_nested:
        raise ActcompareError(f"{called} is nested: save it as tensor.to_padded_tensor(0.0)")
    if tensor.layout != torch.strided:
        layout = str(tensor.layout).removeprefix("torch.")
        raise ActcompareError(f"{called} is {layout}: save it as tensor.to_dense()")
    written_out = tensor.numel() * tensor.element_size()
    if written_out > tensor.untyped_storage().nbytes():
        what = f"{called}, which repeats its values to shape {tuple(tensor.shape)},"
        check_fits(what, written_out, "save a smaller one")
