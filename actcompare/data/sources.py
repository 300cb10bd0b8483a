"""Load data sets by name: those in the package, files, scikit-learn, random numbers, arrays."""

from collections.abc import Callable
from importlib import import_module, resources
from pathlib import Path
from typing import Any

import numpy as np

from actcompare.data.datasets import (
    CLASSIFICATION,
    REGRESSION,
    TASKS,
    Dataset,
    Source,
    check_memory,
    from_arrays,
)
from actcompare.errors import MissingExtraError, UsageError

RANDOM_SAMPLES = 1000

SHIPPED = ("digits", "randhie")
"""Data sets in this package; beside each stands a text that says where it is from."""

_SKLEARN = ("breast_cancer", "diabetes", "digits", "iris", "linnerud", "wine")


def load_data(
    source: Source,
    *,
    target: str | None = None,
    task: str | None = None,
    input_size: int = 4,
    output_size: int = 1,
    seed: int = 0,
) -> Dataset:
    """Load `digits`, `randhie`, `sklearn:NAME`, `random`, a file, or arrays X and y.

    Args:
        source: Name of a data set, path of a file, arrays, or a `Dataset`.
        target: Name of the table column to learn.
        task: Classification or regression; None infers it from the target.
        input_size: Number of inputs of `random`.
        output_size: Number of outputs of `random`.
        seed: Seed of `random`.

    Raises:
        UsageError: The name is unknown, or the target is missing or does not apply.
        ActcompareError: The data cannot be read or cannot be learned from.
    """
    if task is not None and task not in TASKS:
        raise UsageError(f"task {task!r} is not one of {', '.join(TASKS)}")
    if isinstance(source, Dataset):
        return source
    if not isinstance(source, str):
        X, y = source
        return from_arrays("arrays", X, y, task)
    if target is not None and (source in (*SHIPPED, "random") or source.startswith("sklearn:")):
        raise UsageError(f"--target applies to tables only; {source} has its own target")
    if source in SHIPPED:
        return _shipped(source, task)
    if source == "random":
        return _random(input_size, output_size, task, seed)
    if source.startswith("sklearn:"):
        return _from_sklearn(source, task)
    path = Path(source)
    if path.suffix.lower() not in (".csv", ".tsv", ".parquet", ".npz"):
        raise UsageError(
            f"--data {source} is not a data set: use digits, randhie, sklearn:breast_cancer,"
            " random, or a .csv, .tsv, .parquet or .npz file"
        )

    from actcompare.data.samples import from_frame, read_npz, read_table

    if path.suffix.lower() == ".npz":
        if target is not None:
            raise UsageError(f"--target applies to tables only; {path} has X and y")
        return from_arrays(path.name, *read_npz(path), task)
    return from_frame(path.name, read_table(path), target, task)


def _shipped(name: str, task: str | None) -> Dataset:
    with resources.files("actcompare").joinpath(f"data/{name}.npz").open("rb") as stream:
        arrays = np.load(stream)
        inputs = arrays["inputs"].tolist() if "inputs" in arrays else ()
        X, y = arrays["X"], arrays["y"]
    return from_arrays(name, X, y, task, inputs, same_unit=name == "digits")


def _from_sklearn(source: str, task: str | None) -> Dataset:
    name = source.partition(":")[2]
    if name not in _SKLEARN:
        raise UsageError(f"--data {source}: scikit-learn provides {', '.join(_SKLEARN)}")
    try:
        datasets = import_module("sklearn.datasets")
    except ImportError:
        raise MissingExtraError(f"--data {source} needs scikit-learn", "data") from None
    load: Callable[[], Any] = getattr(datasets, f"load_{name}")
    bunch = load()
    names = list(map(str, bunch.feature_names))
    return from_arrays(source, bunch.data, bunch.target, task, names, same_unit=name == "digits")


def _random(input_size: int, output_size: int, task: str | None, seed: int) -> Dataset:
    """Make N(0,1) inputs x and targets tanh(x W) + 0.1 e, with W and e from N(0,1)."""
    if task == CLASSIFICATION:
        raise UsageError("--data random is a regression: omit --task")
    if input_size < 1 or output_size < 1:
        raise UsageError("--input-size and --output-size must be at least 1")
    check_memory("random", 8.0 * RANDOM_SAMPLES * (input_size + output_size))
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((RANDOM_SAMPLES, input_size))
    clean = np.tanh(X @ rng.standard_normal((input_size, output_size)))
    y = clean + 0.1 * rng.standard_normal(clean.shape)
    inputs = tuple(map(str, range(input_size)))
    return Dataset("random", X, y, REGRESSION, "by construction", inputs)
