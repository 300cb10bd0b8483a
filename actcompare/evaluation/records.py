"""What `eval` was asked for, and what it found."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class EvaluationConfig:
    """What was asked for."""

    activations: tuple[str, ...]
    order: int
    error: bool
    dtype: str
    device: str


@dataclass(frozen=True)
class Accuracy:
    """Exact results and the error of the computed ones, float64 of shape (point,)."""

    exact: Tensor
    ulp_error: Tensor


@dataclass(frozen=True)
class Derivatives:
    """One activation at the points: shape (point,), on the CPU, in the dtype computed with."""

    label: str
    value: Tensor
    grad: Tensor | None
    """f', for order 1 and 2."""
    grad2: Tensor | None
    """f'', for order 2 where torch can differentiate twice."""
    accuracy: Accuracy | None
    """Of the value; None unless asked for, and for a user's own function."""
    grad_accuracy: Accuracy | None
