"""Evaluate f, f' and f'' at given points, by autograd on the torch function itself."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from actcompare.activations.derivatives import build_elementwise, differentiate
from actcompare.activations.exact import ulp_error
from actcompare.activations.spec import Activation, Specs, parse_all
from actcompare.activations.user_code import describe
from actcompare.errors import ActcompareError, UsageError
from actcompare.evaluation.explain import Caution, result_cautions, rounding_caution
from actcompare.evaluation.records import Accuracy, Derivatives, EvaluationConfig
from actcompare.machine.devices import resolve_device, resolve_dtype
from actcompare.machine.environment import Environment, describe_environment
from actcompare.table import Table, Tabular

if TYPE_CHECKING:
    pass

Points = Sequence[float] | npt.NDArray[np.floating] | Tensor


@dataclass(frozen=True)
class Evaluation(Tabular):
    """Values and derivatives of activations at points."""

    config: EvaluationConfig
    environment: Environment
    x: Tensor
    """The points, rounded to the dtype, on the CPU; shape (point,)."""
    results: tuple[Derivatives, ...]
    cautions: tuple[Caution, ...]

    @cached_property
    def table(self) -> Table:
        """The tidy records, one per point and activation, activations varying fastest."""
        points, k = len(self.x), len(self.results)

        def interleave(tensors: Sequence[Tensor | None]) -> npt.NDArray[np.generic]:
            if all(tensor is None for tensor in tensors):
                return np.full(points * k, None, dtype=object)
            absent = torch.full((points,), math.nan)
            stacked = [(absent if t is None else t).double().numpy() for t in tensors]
            out = np.stack(stacked, axis=1)
            if any(tensor is None for tensor in tensors):
                out = out.astype(object)
                out[:, [tensor is None for tensor in tensors]] = None
            return out.reshape(-1)

        columns: dict[str, npt.NDArray[np.generic]] = {
            "x": np.repeat(self.x.double().numpy(), k),
            "activation": np.tile(np.array([r.label for r in self.results], dtype=object), points),
            "value": interleave([r.value for r in self.results]),
        }
        if self.config.error:
            accuracies = [r.accuracy for r in self.results]
            columns["exact"] = interleave([a.exact if a else None for a in accuracies])
            columns["ulp_error"] = interleave([a.ulp_error if a else None for a in accuracies])
        if self.config.order >= 1:
            columns["grad"] = interleave([r.grad for r in self.results])
            if self.config.error:
                accuracies = [r.grad_accuracy for r in self.results]
                columns["grad_exact"] = interleave([a.exact if a else None for a in accuracies])
                columns["grad_ulp_error"] = interleave(
                    [a.ulp_error if a else None for a in accuracies]
                )
        if self.config.order == 2:
            columns["grad2"] = interleave([r.grad2 for r in self.results])
        return Table(columns)


def evaluate(
    x: Points,
    activations: Specs = ("relu", "softplus"),
    *,
    order: int = 1,
    error: bool = False,
    dtype: str | torch.dtype = "float32",
    device: str = "cpu",
) -> Evaluation:
    """Evaluate activations and their derivatives at points.

    Args:
        x: The points, of any shape, read in C order.
        activations: SPECs such as "softplus:beta=2", functions, or modules.
        order: Number of derivatives: 0, 1 or 2.
        error: Compare values and first derivatives with exact ones.
        dtype: Number format: float32, float64, bfloat16 or float16.
        device: Device to compute on: cpu, cuda, cuda:N or mps.

    Raises:
        UsageError: A SPEC, the dtype or the order is wrong, or there are no points.
        ActcompareError: The device is not available, or a function fails on it.
    """
    if order not in (0, 1, 2):
        raise UsageError(f"order must be 0, 1 or 2, not {order}")
    where, (dtype, kind) = resolve_device(device), resolve_dtype(dtype)
    parsed = parse_all(activations)
    given = _as_points(x)
    points = given.to(kind)
    try:
        on_device = points.to(where)
    except (RuntimeError, TypeError, AssertionError) as refusal:
        raise ActcompareError(
            f"{device} does not support {dtype}: {describe(refusal)}"
        ) from refusal
    results, cautions = [], rounding_caution(given, points, dtype)
    for activation in parsed:
        function = build_elementwise(activation, kind, where)
        value, grad, grad2 = differentiate(function, on_device, activation.label, order)
        accuracy = grad_accuracy = None
        if error:
            accuracy = _accuracy(activation, points, value, derivative=False)
            if grad is not None:
                grad_accuracy = _accuracy(activation, points, grad, derivative=True)
        result = Derivatives(activation.label, value, grad, grad2, accuracy, grad_accuracy)
        results.append(result)
        cautions += result_cautions(activation, function, points, result, order, where)
    config = EvaluationConfig(tuple(a.label for a in parsed), order, error, dtype, device)
    return Evaluation(config, describe_environment(where), points, tuple(results), tuple(cautions))


def _as_points(x: Points) -> Tensor:
    try:
        if not isinstance(x, Tensor):
            array = np.asarray(x)
            if array.size and array.dtype.kind not in "fiub":
                raise TypeError(f"not {array.dtype}")
            x = torch.from_numpy(np.array(array, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise UsageError(f"x must be numbers: {describe(error)}") from None
    if x.is_complex():
        raise UsageError("x must be real numbers, not complex")
    points = x.detach().cpu().double().reshape(-1)
    if len(points) == 0:
        raise UsageError("no points to evaluate at")
    return points


def _accuracy(
    activation: Activation, x: Tensor, computed: Tensor, *, derivative: bool
) -> Accuracy | None:
    compared = ulp_error(activation, x, computed, derivative=derivative)
    return compared and Accuracy(*compared)
