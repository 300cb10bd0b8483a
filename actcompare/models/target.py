"""A user's model and its input, as a command line names them."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from actcompare.errors import UsageError
from actcompare.models.feed import FILES, as_floats, open_batches, parse_shape, random_batches
from actcompare.models.load import load_model, load_weights
from actcompare.models.named import Described, described, is_named, load_named
from actcompare.text import read_shape


@dataclass(frozen=True)
class Source:
    """Where a model's input comes from: at most one of data, random and random_tokens."""

    data: str | None = None
    """A file, or `module:attr`."""
    random: str | None = None
    """Shape of random samples, such as 3x224x224."""
    random_tokens: str | None = None
    """Random tokens: samples x length."""
    seed: int = 0

    def check(self, target: str) -> None:
        """Check that there is one input, or that the target's library describes it.

        Raises:
            UsageError: There are several, or none.
        """
        given = {
            "--data": self.data,
            "--random": self.random,
            "--random-tokens": self.random_tokens,
        }
        kinds = [name for name, value in given.items() if value is not None]
        if len(kinds) > 1:
            raise UsageError(
                f"{' and '.join(kinds)} exclude each other: name one input, --data FILE, or"
                " --random SHAPE"
            )
        if not kinds and not is_named(target):
            raise UsageError("name the input: --data FILE, or --random SHAPE such as 3x224x224")

    @property
    def is_described(self) -> bool:
        """Whether the input is drawn as the target's library describes it."""
        return self.data is None and self.random is None and self.random_tokens is None

    @property
    def tokens(self) -> tuple[int, int] | None:
        """Samples and length of random tokens.

        Raises:
            UsageError: They are not written as samples x length.
        """
        if self.random_tokens is None:
            return None
        try:
            samples, length = read_shape(self.random_tokens)
        except ValueError:
            raise UsageError(
                f"--random-tokens {self.random_tokens!r}: write samples x length, such as 8x128"
            ) from None
        return samples, length

    def batches(
        self, model: nn.Module, takes: Described | None, samples: int, size: int, keys: Any = ()
    ) -> Iterable[Any]:
        """Return the batches of the input; `samples` is the number of random ones.

        Raises:
            UsageError: A shape or key is wrong.
            ActcompareError: A file cannot be read, or the model takes no tokens.
        """
        if self.random is not None:
            return random_batches(parse_shape(self.random), samples, size, self.seed)
        if self.tokens is not None:
            takes = described(model, self.tokens[1])
        if self.data is None:
            assert takes is not None
            return takes.batches(samples, size, self.seed)
        batches = open_batches(self.data, size, keys)
        is_file = Path(self.data).suffix.lower() in FILES
        return map(as_floats, batches) if is_file and not _looks_up(model) else batches

    def __str__(self) -> str:
        return self.data or ("random input" if self.random is None else f"--random {self.random}")


def load_target(
    target: str, checkpoint: Path | None = None
) -> tuple[nn.Module, Described | None, str]:
    """Return the model that a target names, what it takes, and what was loaded, in words.

    Args:
        target: `module:attr`, `file.py:attr`, or a name such as `timm:resnet18`.
        checkpoint: File of weights to load into it.

    Raises:
        UsageError: The target has another form.
        ActcompareError: The model cannot be made, or the weights do not fit.
    """
    takes: Described | None = None
    if is_named(target):
        model, takes = load_named(target)
    else:
        model = load_model(target)
    return model, takes, "" if checkpoint is None else load_weights(model, checkpoint)


def _looks_up(model: nn.Module) -> bool:
    """Return whether integers may be indices, such as of words."""
    return any(isinstance(m, nn.Embedding | nn.EmbeddingBag) for m in model.modules())
