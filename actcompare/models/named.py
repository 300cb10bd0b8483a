"""Models of other libraries by name: `timm:NAME`, `torchvision:NAME`, `hf:NAME`.

They are made with random weights, and nothing is downloaded; but for `hf:` with the name of a model
on a hub, whose library loads it. Each library is imported only when it is named.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from actcompare.activations.spec import parse_parameters
from actcompare.activations.user_code import describe, users_code
from actcompare.errors import ActcompareError, UsageError

LIBRARIES = {"timm": "timm", "torchvision": "torchvision", "hf": "transformers"}
"""The package that knows the names after each prefix."""

_PIXELS, _TOKENS, _SECOND = 224, 16, 16_000
"""Inputs where a model does not describe them: pixels, tokens, values of sound."""


@dataclass(frozen=True)
class Described:
    """What a model takes, by its own description."""

    shape: tuple[int, ...]
    """Shape of a sample."""
    vocabulary: int | None = None
    """Number of tokens, if the samples are tokens; else they are numbers."""
    keyword: str = ""
    """Name of the argument; empty for the first one."""
    listed: bool = False
    """Whether samples go in as a list, as detectors take images."""

    def batches(self, samples: int, batch_size: int, seed: int) -> Iterator[Any]:
        """Yield batches of random samples."""
        generator = torch.Generator().manual_seed(seed)
        for start in range(0, samples, batch_size):
            shape = (min(batch_size, samples - start), *self.shape)
            batch: Any = self._draw(shape, generator)
            if self.listed:
                batch = [list(batch)]
            yield {self.keyword: batch} if self.keyword else batch

    def _draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        if self.vocabulary is None:
            return torch.randn(shape, generator=generator, dtype=torch.float32)
        return torch.randint(self.vocabulary, shape, generator=generator)


def is_named(target: str) -> bool:
    """Return whether a target names a model of another library."""
    return target.partition(":")[0] in LIBRARIES and ":" in target


def load_named(target: str) -> tuple[nn.Module, Described]:
    """Make the model that a target names, and say what it takes.

    Args:
        target: Such as `timm:resnet18`, `torchvision:resnet18:num_classes=10` or
            `hf:GPT2Config:n_layer=2`; parameters as in a SPEC.

    Raises:
        UsageError: The target has another form.
        ActcompareError: The library is not installed, or cannot make the model.
    """
    prefix, _, rest = target.partition(":")
    name, parameters = rest, dict[str, Any]()
    if "=" in rest.rpartition(":")[2]:
        name, _, given = rest.rpartition(":")
        parameters = parse_parameters(given, target)
    if not name:
        raise UsageError(f"{target!r} names no model: write {prefix}:NAME")
    package = LIBRARIES[prefix]
    try:
        library = import_module(package)
    except ImportError as error:
        raise ActcompareError(
            f"{target} needs {package}, which cannot be imported ({error}): pip install {package}"
        ) from error
    except Exception as error:  # such as a torchvision built for another torch
        raise ActcompareError(
            f"{target} needs {package}, whose import fails ({describe(error)}): install the version"
            " for your torch"
        ) from error
    with users_code(f"{target} cannot be made"):
        return _MAKERS[prefix](library, name, parameters)


def described(model: nn.Module, length: int) -> Described:
    """Return token inputs of a length, for a model with an embedding.

    Raises:
        ActcompareError: The model has none.
    """
    sizes = [m.num_embeddings for m in model.modules() if isinstance(m, nn.Embedding)]
    if not sizes:
        raise ActcompareError(
            "--random-tokens: the model has no nn.Embedding, so it takes no tokens"
        )
    vocabulary = getattr(getattr(model, "config", None), "vocab_size", None) or max(sizes)
    keyword = "input_ids" if hasattr(model, "config") else ""
    return Described((length,), int(vocabulary), keyword)


def _from_timm(library: Any, name: str, given: Mapping[str, Any]) -> tuple[nn.Module, Described]:
    model = library.create_model(name, **{"pretrained": False} | dict(given))
    config = getattr(model, "pretrained_cfg", None) or getattr(model, "default_cfg", None) or {}
    return model, Described(tuple(config.get("input_size") or (3, _PIXELS, _PIXELS)))


def _from_torchvision(
    library: Any, name: str, given: Mapping[str, Any]
) -> tuple[nn.Module, Described]:
    models = library.models
    build = models.get_model_builder(name)
    none: dict[str, Any] = {"weights": None, "weights_backbone": None}  # which it would download
    taken = inspect.signature(build).parameters
    wanted = {key: value for key, value in none.items() if key in taken}
    model = build(**wanted | dict(given))
    side = _PIXELS
    weights = models.get_model_weights(name)
    if len(weights):
        crop = getattr(weights.DEFAULT.transforms(), "crop_size", None)
        side = int(crop[0]) if crop else side
    detects = ".detection" in type(model).__module__
    return model, Described((3, side, side), listed=detects)


def _from_transformers(
    library: Any, name: str, given: Mapping[str, Any]
) -> tuple[nn.Module, Described]:
    kind = getattr(library, name, None)
    if isinstance(kind, type) and issubclass(kind, library.PretrainedConfig):
        model = library.AutoModel.from_config(kind(**given))
    else:
        local = {"local_files_only": True} if Path(name).is_dir() else {}
        model = library.AutoModel.from_pretrained(name, **local, **given)
    config, keyword = model.config, model.main_input_name
    if keyword == "pixel_values":
        side, channels = getattr(config, "image_size", _PIXELS), getattr(config, "num_channels", 3)
        sides = tuple(side) if isinstance(side, list | tuple) else (side, side)
        return model, Described((channels, *sides), keyword=keyword)
    if keyword == "input_ids":
        return model, Described((_TOKENS,), int(config.vocab_size), keyword)
    return model, Described((_SECOND,), keyword=keyword)


_Maker = Callable[[Any, str, Mapping[str, Any]], tuple[nn.Module, Described]]

_MAKERS: Mapping[str, _Maker] = {
    "timm": _from_timm,
    "torchvision": _from_torchvision,
    "hf": _from_transformers,
}
