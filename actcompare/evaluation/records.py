"""Records of an evaluation: its settings and results."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class EvaluationConfig:
    """Settings of an evaluation."""

    activations: tuple[str, ...]
    order: int
    error: bool
    dtype: str
    device: str


@dataclass(frozen=True)
class Accuracy:
    """Exact results and the errors of the computed ones, in float64, each of shape (point,)."""

    exact: Tensor
    ulp_error: Tensor


@dataclass(frozen=True)
class Derivatives:
    """Results of one activation, on the CPU, in the dtype of the computation; shape (point,)."""

    label: str
    value: Tensor
    grad: Tensor | None
    """f', for orders 1 and 2."""
    grad2: Tensor | None
    """f'', for order 2 if torch can differentiate twice."""
    accuracy: Accuracy | None
    """Accuracy of the value; None if not requested, or for a user's function."""
    grad_accuracy: Accuracy | None
