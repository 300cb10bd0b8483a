"""Turn files and iterables into batches, and batches into arguments of a user's model."""

import copy
import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from actcompare.activations.user_code import find_users_own, users_code, users_error
from actcompare.errors import ActcompareError, UsageError
from actcompare.files import state_dicts, tabular
from actcompare.files.arrays import open_arrays
from actcompare.machine.memory import check_fits
from actcompare.text import listed, read_shape

FILES = (".npz", ".npy", *tabular.ENDINGS, *state_dicts.ENDINGS)

_MOST_RANDOM = 10**9
"""The most random samples; running even a small model on so many takes hours."""

_TABLE_ROWS = 4096
"""Approximate number of table rows read at a time."""


class Inputs(NamedTuple):
    """The arguments that a model is called with for a batch."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    samples: int


# --- where batches come from ---------------------------------------------------------------------


def open_batches(source: str, batch_size: int, keys: Sequence[str] = ()) -> Iterable[Any]:
    """Return the batches of a file, read one by one, or of a user's `module:attr`.

    Args:
        source: Path of a file, or `module:attr`: an iterable, or a callable that returns one.
        batch_size: Samples per batch of a file.
        keys: Arrays of an .npz or .pt file, or columns of a table, to read.

    Raises:
        UsageError: The format is unknown, or a key does not exist.
        ActcompareError: The file cannot be read, or the user's code fails.
    """
    path = Path(source)
    kind = path.suffix.lower()
    if kind in (".npz", ".npy"):
        return _read_arrays(path, batch_size, keys)
    if kind in tabular.ENDINGS:
        return _read_table(path, batch_size, keys)
    if kind in state_dicts.ENDINGS:
        return _slices(state_dicts.read_tensors(path), source, batch_size, keys)
    if ":" not in source:
        absent = "" if path.exists() else "there is no such file; "
        raise UsageError(
            f"--data {source}: {absent}name a {', '.join(FILES)} file, or module:attr or"
            " file.py:attr that yields batches"
        )
    return _users_own(source)


def _users_own(source: str) -> Iterator[Any]:
    try:
        found = find_users_own(source)
    except ActcompareError as error:
        if error.__cause__ is None:
            raise
        raise users_error(f"{source} cannot be imported", error.__cause__) from error
    with users_code(f"{source} fails"):
        if callable(found) and not isinstance(found, Iterable):
            found = found()
        if isinstance(found, Tensor) or not isinstance(found, Iterable):
            raise ActcompareError(
                f"{source} is of type {type(found).__name__}: name an iterable of batches, or a"
                " function that returns one"
            )
        yield from found


def slices(data: Tensor | npt.NDArray[Any], batch_size: int) -> Iterator[Tensor]:
    """Split a tensor or array of shape (sample, ...) into batches."""
    whole = torch.as_tensor(data)
    return (whole[i : i + batch_size] for i in range(0, len(whole), batch_size))


def _slices(content: Any, name: str, batch_size: int, keys: Sequence[str]) -> Iterator[Any]:
    """Return batches of one tensor, a mapping of tensors or a sequence of tensors."""
    if isinstance(content, Tensor) and content.dim():
        _refuse_complex(content, name)
        return slices(content, batch_size)
    named = isinstance(content, Mapping)
    if named:
        content = {str(key): part for key, part in content.items()}
    parts = list(content.values()) if named else content
    fits = isinstance(parts, list | tuple) and bool(parts)
    if not fits or not all(isinstance(part, Tensor) and part.dim() for part in parts):
        raise ActcompareError(f"{name} does not hold tensors of samples")
    if named:
        content = {key: content[key] for key in _choose(list(content), name, keys)}
        parts = list(content.values())
    for part in parts:
        _refuse_complex(part, name)
    if len({len(part) for part in parts}) > 1:
        shapes = listed([str(tuple(part.shape)) for part in parts])
        raise ActcompareError(f"{name} holds tensors of different lengths: {shapes}")
    batches = zip(*(slices(part, batch_size) for part in parts), strict=True)
    if not named:
        return batches
    if len(content) == 1:
        return (part for (part,) in batches)
    return (dict(zip(content, batch, strict=True)) for batch in batches)


def _refuse_complex(tensor: Tensor, name: str) -> None:
    if tensor.is_complex():
        raise ActcompareError(
            f"{name} holds {str(tensor.dtype).removeprefix('torch.')}, not real numbers: save"
            " torch.view_as_real(tensor)"
        )


def _choose(names: list[str], source: str, keys: Sequence[str]) -> list[str]:
    """Return the names of the arrays that the model takes."""
    missing = [key for key in keys if key not in names]
    if missing:
        raise UsageError(f"{source} has no {missing[0]!r}: it has {listed(names)}")
    if keys:
        return list(keys)
    chosen = names if len(names) == 1 else [name for name in names if name.lower() == "x"]
    if len(chosen) != 1:
        raise UsageError(f"{source} has {listed(names)}: choose with --input-key")
    return chosen


def _read_arrays(path: Path, batch_size: int, keys: Sequence[str]) -> Iterator[Any]:
    """Yield batches of an .npy or .npz file, reading one batch at a time."""
    with open_arrays(path) as found:
        if keys and path.suffix.lower() == ".npy":
            raise UsageError(f"{path} holds one array: omit --input-key")
        arrays = {key: found[key]() for key in _choose(list(found), str(path), keys)}
        shapes = [array.shape for array in arrays.values()]
        if () in shapes:
            raise ActcompareError(f"{path} holds a single number: give it a first axis of samples")
        if len({shape[0] for shape in shapes}) > 1:
            said = listed(list(map(str, shapes)))
            raise ActcompareError(f"{path} holds arrays of different lengths: {said}")
        length = shapes[0][0]
        for start in range(0, length, batch_size):
            rows = min(batch_size, length - start)
            batch = {}
            for key, array in arrays.items():
                row = array.shape[1:]
                block = array.take(rows * math.prod(row)).reshape(rows, *row)
                batch[key] = torch.from_numpy(block)
            yield batch if len(batch) > 1 else batch.popitem()[1]


def _read_table(path: Path, batch_size: int, keys: Sequence[str]) -> Iterator[Tensor]:
    """Yield batches of a table's numeric columns, in the order of the table or the keys."""
    rows = batch_size * max(1, _TABLE_ROWS // batch_size)
    try:
        for block in tabular.read_numbers(path, lambda names: keys or names, rows):
            yield from slices(block, batch_size)
    except ActcompareError as error:
        if keys or "not a number" not in str(error):
            raise
        raise ActcompareError(f"{error}: name the columns that go in with --input-key") from error


def random_batches(shape: Sequence[int], samples: int, batch_size: int, seed: int) -> Iterator[Any]:
    """Yield batches of standard normal samples of a shape.

    Raises:
        UsageError: There are too many samples.
        ActcompareError: A batch does not fit into memory.
    """
    if samples > _MOST_RANDOM:
        raise UsageError(f"--samples {samples:,}: at most {_MOST_RANDOM:,} with --random")
    most = min(batch_size, samples)
    size = "x".join(map(str, shape))
    check_fits(
        f"--random {size}: a batch of {most:,} samples",
        most * math.prod(shape) * torch.float32.itemsize,
        "use smaller samples or a smaller --batch-size",
    )
    generator = torch.Generator().manual_seed(seed)
    for start in range(0, samples, batch_size):
        rows = min(batch_size, samples - start)
        yield torch.randn(
            rows, *shape, generator=generator, dtype=torch.float32, device="cpu"
        )  # whatever a model sets as the default


def parse_shape(text: str) -> tuple[int, ...]:
    """Parse the shape of a sample, such as 3x224x224.

    Raises:
        UsageError: The text is not a shape.
    """
    try:
        return tuple(read_shape(text))
    except ValueError:
        raise UsageError(
            f"--random {text!r}: write the shape of a sample, such as 3x224x224"
        ) from None


# --- from a batch to arguments -------------------------------------------------------------------


def select(
    batch: Any, model: nn.Module, indices: Sequence[int] = (), keys: Sequence[str] = ()
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments that a model takes from a batch.

    A tensor, a list of images, or an object such as a graph is the only argument; a mapping becomes
    keyword arguments; a tuple or another list is cut to the number of arguments that `forward`
    requires.

    Args:
        batch: A batch of the data.
        model: The model, whose `forward` determines the number of arguments.
        indices: Indices of the parts of a tuple to pass.
        keys: Keys of the parts of a mapping to pass: one as the only argument, more as keywords.

    Raises:
        UsageError: The batch lacks a part, or it is ambiguous which parts to pass.
    """
    if isinstance(batch, Mapping):
        names = listed([str(name) for name in batch])
        if indices:
            raise UsageError(f"batches have names ({names}): use --input-key")
        missing = [key for key in keys if key not in batch]
        if missing:
            raise UsageError(f"batches have no {missing[0]!r}: they have {names}")
        if len(keys) == 1:
            return (batch[keys[0]],), {}
        return (), {name: batch[name] for name in keys or batch}
    if isinstance(batch, tuple | list):
        if keys:
            raise UsageError(f"batches have {len(batch)} parts without names: use --input-index")
        if not indices and _are_images(batch) and _fewest_arguments(model) <= 1:
            return (batch,), {}
        beyond = [i for i in indices if not -len(batch) <= i < len(batch)]
        if beyond:
            raise UsageError(
                f"--input-index {beyond[0]}: batches have {len(batch)} parts, counted from 0"
            )
        if indices:
            return tuple(batch[i] for i in indices), {}
        return tuple(batch[: _arguments(model, len(batch))]), {}
    if not isinstance(batch, Tensor | np.ndarray) and not _is_own_kind(batch):
        raise ActcompareError(
            f"a batch is of type {type(batch).__name__}: use tensors, or tuples or dicts of them"
        )
    return (batch,), {}


def _are_images(batch: Sequence[Any]) -> bool:
    """Return whether a list holds images of 1, 3 or 4 channels, as detectors take them."""
    return isinstance(batch, list) and all(
        isinstance(part, Tensor)
        and part.dim() == 3
        and part.is_floating_point()
        and len(part) in (1, 3, 4)
        for part in batch
    )


def _fewest_arguments(model: nn.Module) -> int:
    """Return how many positional arguments `forward` requires."""
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        taken = inspect.signature(model.forward).parameters.values()
    except (TypeError, ValueError):
        return 1
    return sum(p.kind in positional and p.default is p.empty for p in taken)


def _arguments(model: nn.Module, parts: int) -> int:
    """Return how many parts of a batch `forward` takes."""
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        taken = inspect.signature(model.forward).parameters.values()
    except (TypeError, ValueError):
        return parts
    least = _fewest_arguments(model)
    most = sum(p.kind in positional for p in taken)
    if any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in taken):
        most = max(most, parts)
    if parts == least or (least == most and 0 < least <= parts):
        return least
    if parts < least:
        raise UsageError(f"batches have {parts} parts, but forward needs {least}")
    raise UsageError(
        f"batches have {parts} parts, of which forward may take {least} to {min(most, parts)}:"
        " choose with --input-index (such as 0)"
    )


def prepare(
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    device: torch.device,
    dtype: torch.dtype,
    *,
    name: str,
    before: int,
) -> Inputs:
    """Copy arguments to a model's device and dtype; the model may overwrite the copies.

    Args:
        args: Positional arguments.
        kwargs: Keyword arguments.
        device: Device of the model.
        dtype: Dtype for floating-point arguments.
        name: Name of the data.
        before: Samples before this batch.

    Raises:
        ActcompareError: A sample holds NaN, is on the meta device, or does not fit into memory.
    """

    def moved(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            value = torch.as_tensor(value)
        if isinstance(value, Tensor):
            if value.is_meta:
                raise ActcompareError(f"{name}: a batch is on the meta device, without values")
            size = value.numel() * value.element_size()
            check_fits(f"{name}: a batch", size, "use smaller ones")
            dense = value.layout is torch.strided and not value.is_nested
            if dense and value.is_floating_point() and bool(value.isnan().any()):
                rows = value.isnan().reshape(len(value) if value.dim() else 1, -1).any(1)
                first = before + int(rows.int().argmax())
                raise ActcompareError(
                    f"{name}: sample {first:,} (counted from 0) holds NaN: drop or fill it"
                )
            return value.detach().to(
                device, dtype if value.is_floating_point() else value.dtype, copy=True
            )
        if isinstance(value, list | tuple) and type(value) in (list, tuple):
            return type(value)(moved(part) for part in value)
        if isinstance(value, dict):
            return {key: moved(part) for key, part in value.items()}
        return copy.copy(value).to(device) if _is_own_kind(value) else value

    ready, named = tuple(moved(a) for a in args), {k: moved(v) for k, v in kwargs.items()}
    samples = samples_of(ready, named)
    return Inputs(ready, named, 1 if samples is None else samples)


def samples_of(args: Sequence[Any], kwargs: Mapping[str, Any]) -> int | None:
    """Return the number of samples that a model is called with; None if no argument tells it.

    It is the length of the first positional argument that has one, or else that of most keyword
    arguments, among which masks, positions or a graph's edges may have others.
    """
    first = next((n for n in map(_samples_in, args) if n is not None), None)
    if first is not None:
        return first
    lengths = [n for n in map(_samples_in, kwargs.values()) if n is not None]
    return max(lengths, key=lengths.count) if lengths else None


def _samples_in(value: Any) -> int | None:
    """Return the number of samples in an argument: a list, as of images, has one per element."""
    if isinstance(value, Tensor | np.ndarray):
        return len(value) if value.ndim else None
    if isinstance(value, list | tuple):
        return len(value) if value and all(isinstance(part, Tensor) for part in value) else None
    if isinstance(value, Mapping):
        return samples_of((), value)
    return getattr(value, "num_graphs", 1) if _is_own_kind(value) else None


def cut(
    args: tuple[Any, ...], kwargs: Mapping[str, Any], samples: int
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return a model's arguments with the first samples alone.

    What has another length than the samples is kept whole, and so are graphs, whose edges lead to
    all of their nodes.
    """
    total = samples_of(args, kwargs)
    if total is None or total <= samples or "edge_index" in kwargs:
        return args, dict(kwargs)

    def first(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: first(part) for key, part in value.items()}
        if isinstance(value, Tensor | np.ndarray | list | tuple) and _samples_in(value) == total:
            return value[:samples]
        return value

    return tuple(map(first, args)), {key: first(value) for key, value in kwargs.items()}


def _is_own_kind(value: object) -> bool:
    """Return whether a value is of a class of its own that moves between devices, as graphs do."""
    return not isinstance(value, Tensor | nn.Module | type) and callable(getattr(value, "to", None))


def as_floats(batch: Any) -> Any:
    """Return a batch with integers and booleans converted to floating point."""

    def float_of(part: Any) -> Any:
        part = torch.as_tensor(part)
        return part if part.is_floating_point() or part.is_complex() else part.double()

    return _each(batch, float_of)


def _each(batch: Any, change: Callable[[Any], Any]) -> Any:
    """Return a batch with `change` applied to each of its tensors and arrays."""
    if isinstance(batch, Tensor | np.ndarray):
        return change(batch)
    if isinstance(batch, Mapping):
        return {key: _each(part, change) for key, part in batch.items()}
    if isinstance(batch, tuple | list):
        return [_each(part, change) for part in batch]
    return batch
