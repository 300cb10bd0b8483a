"""Exact values of catalogue formulas, and the error of computed values in ULP.

ULP (unit in the last place) is the spacing of a dtype's numbers at the exact value.

Each formula is evaluated in one of two arithmetics. Results of 32 bits or fewer are compared with
the formula in float64, whose own error is below 1e-6 of their ULP except at a few known points
(tests/activations/test_exact.py shows this against mpmath for every entry). Those points, and all
results in float64, are compared with mpmath at 128 bits or more.
"""

import ast
import math
from collections.abc import Callable, Mapping
from functools import cache
from types import CodeType
from typing import Any

import torch
from torch import Tensor

from actcompare.activations.spec import Activation

# Constants of the SELU paper (Klambauer et al. 2017, arXiv:1706.02515), as in PyTorch.
_SELU_SCALE = "1.0507009873554804934193349852946"

_SELU_ALPHA = "1.6732632423543772848170429916717"

# Stands for an infinite x: larger than any number of 32 bits or fewer, with a finite cube.
_BEYOND = 1e60


def ulp_error(
    activation: Activation, x: Tensor, computed: Tensor, *, derivative: bool = False
) -> tuple[Tensor, Tensor] | None:
    """Return the exact results at `x`, and the error of `computed` in ULP.

    Args:
        activation: The activation that was computed.
        x: Points, shape (point,), in the dtype of the computation; an infinite x means the limit.
        computed: Computed results, shape (point,), same dtype.
        derivative: Whether `computed` is the first derivative and not the value.

    Returns:
        The exact results and |computed - exact| / ulp(exact), both float64 of shape (point,). The
        ULP of a subnormal result is the spacing of subnormal numbers. The error is NaN if exactly
        one of the two results is NaN. None for a user's own function, which has no formula.
    """
    if activation.entry is None:
        return None
    x, computed = x.detach().cpu(), computed.detach().cpu()
    expression = _expression(activation, derivative)
    if x.dtype == torch.float64:
        return _compare_in_mpmath(expression, activation.parameters, x, computed)
    exact = _in_float64(expression, activation.parameters, x.double())
    error = (computed.double() - exact).abs() / _ulp(exact, x.dtype)
    error = _settle(error, exact, computed)
    # If float64 rounds the exact result to a power of two, the result may lie just below it, where
    # the spacing is half as large. Near a root of the derivative, its terms cancel.
    doubtful = (torch.frexp(exact).mantissa.abs() == 0.5) & (error > 1e-3) & error.isfinite()
    if derivative:
        size = exact.abs()
        doubtful |= (size < 2e-3) & (size > 0) & (x.abs() > 0.1) & (x.abs() < 3)
    if doubtful.any():
        exact[doubtful], error[doubtful] = _compare_in_mpmath(
            expression, activation.parameters, x[doubtful], computed[doubtful]
        )
    return exact, error


def exact_at(activation: Activation, x: float, *, derivative: bool = False) -> Any:
    """Return the exact result at one point, as an mpmath number if float64 may underflow."""
    text = _expression(activation, derivative)
    point = torch.tensor([x], dtype=torch.float64)
    value = _in_float64(text, activation.parameters, point).item()
    assert activation.entry is not None
    if abs(value) > 1e-290 or x == 0 or not activation.entry.transcendental:
        return value
    return _at_point(text, activation.parameters, x)


def formula_in_mpmath(text: str, parameters: Mapping[str, Any], x: float, prec: int) -> Any:
    """Evaluate a formula of the catalogue at one point with `prec` bits."""
    context, names = _mpmath()
    context.prec = prec
    return eval(_compile(text), names | _as_mpf(parameters) | {"x": context.mpf(x)})


def formula_in_float64(text: str, parameters: Mapping[str, Any], x: Tensor) -> Tensor:
    """Evaluate a formula of the catalogue at float64 points, shape (point,)."""
    numbers = {name: v for name, v in parameters.items() if not isinstance(v, str)}
    result: Tensor = eval(_compile(text), {**_FLOAT64, **numbers, "x": x})
    return result


def _expression(activation: Activation, derivative: bool) -> str:
    entry = activation.entry
    assert entry is not None
    if derivative:
        return entry.stable_derivative or entry.derivative
    return entry.stable or entry.formula


def _in_float64(text: str, parameters: Mapping[str, Any], x: Tensor) -> Tensor:
    exact = formula_in_float64(text, parameters, x.clamp(-_BEYOND, _BEYOND))
    exact = torch.where(x.isinf() & (exact.abs() > 1e39), exact.sign() * math.inf, exact)
    exact = torch.where(x.isinf() & (exact.abs() < 1e-39), 0.0, exact)
    return torch.where(x.isnan(), math.nan, exact)


def _ulp(exact: Tensor, dtype: torch.dtype) -> Tensor:
    info = torch.finfo(dtype)
    _, exponent = torch.frexp(exact.abs().clamp(max=info.max))
    lowest = math.frexp(info.smallest_normal)[1]
    return torch.ldexp(torch.full_like(exact, info.eps), exponent.clamp(min=lowest) - 1)


def _settle(error: Tensor, exact: Tensor, computed: Tensor) -> Tensor:
    """Set the error to 0 if both results are NaN, or round to the same infinity."""
    rounded = exact.to(computed.dtype)
    alike = (rounded == computed) & computed.isinf() | exact.isnan() & computed.isnan()
    return torch.where(alike, 0.0, error)


def _compare_in_mpmath(
    text: str, parameters: Mapping[str, Any], x: Tensor, computed: Tensor
) -> tuple[Tensor, Tensor]:
    context, _ = _mpmath()
    info = torch.finfo(computed.dtype)
    exact = torch.empty_like(x, dtype=torch.float64)
    error = torch.empty_like(exact)
    least = context.mpf(info.smallest_normal) * info.eps
    for i, (point, result) in enumerate(zip(x.tolist(), computed.tolist(), strict=True)):
        value = _at_point(text, parameters, point)
        exact[i] = float(value)
        if context.isfinite(value) and math.isfinite(result):
            unit = context.ldexp(info.eps, context.mag(value) - 1) if value else least
            error[i] = float(abs(context.mpf(result) - value) / max(unit, least))
        else:
            error[i] = math.nan if math.isnan(result) or context.isnan(value) else math.inf
    return exact, _settle(error, exact, computed)


def _at_point(text: str, parameters: Mapping[str, Any], x: float, prec: int = 128) -> Any:
    context, _ = _mpmath()
    if math.isnan(x):
        return context.nan
    if math.isinf(x):
        far = context.mpf(math.copysign(1, x)) * context.mpf(10) ** 400
        value = formula_in_mpmath(text, parameters, far, prec)
        return context.sign(value) * context.inf if abs(value) > 1e300 else value
    # Formulas such as x - tanh(x) lose twice the exponent of a small x in bits.
    return formula_in_mpmath(text, parameters, x, prec + 2 * max(0, -math.frexp(x)[1]))


# --- the two arithmetics -----------------------------------------------------------------------


@cache
def _compile(text: str) -> CodeType:
    """Compile a formula with every literal as `number("as written")`, so that none is rounded."""

    class Literals(ast.NodeTransformer):
        def visit_Constant(self, node: ast.Constant) -> ast.AST:
            written = ast.get_source_segment(text, node)
            call = ast.Call(ast.Name("number", ast.Load()), [ast.Constant(written)], [])
            return ast.copy_location(call, node)

    tree = Literals().visit(ast.parse(text, mode="eval"))
    return compile(ast.fix_missing_locations(tree), text, "eval")


def _tensor(value: Tensor | float) -> Tensor:
    return torch.as_tensor(value, dtype=torch.float64)


def _where(condition: Tensor, yes: Tensor | float, no: Tensor | float) -> Tensor:
    return torch.where(condition, _tensor(yes), _tensor(no))


def _maximum(a: Tensor | float, b: Tensor | float) -> Tensor:
    return torch.maximum(_tensor(a), _tensor(b))


def _minimum(a: Tensor | float, b: Tensor | float) -> Tensor:
    return torch.minimum(_tensor(a), _tensor(b))


def _log1pexp(x: Tensor) -> Tensor:
    return x.clamp(min=0) + torch.log1p(torch.exp(-x.abs()))


def _tanhshrink(x: Tensor) -> Tensor:
    # Near 0 the difference cancels: use the Taylor series of tanh without its first term, to x^11.
    s = x * x
    series = 1 / 3 - s * (2 / 15 - s * (17 / 315 - s * (62 / 2835 - s * 1382 / 155925)))
    return torch.where(x.abs() < 0.05, x * s * series, x - torch.tanh(x))


_FLOAT64: dict[str, Any] = {
    # Some of torch's operations import a module when they first run.
    "__builtins__": {"__import__": __import__},
    "number": float,
    "abs": torch.abs,
    "cosh": torch.cosh,
    "exp": torch.exp,
    "expm1": torch.expm1,
    "log": torch.log,
    "max": _maximum,
    "min": _minimum,
    "phi": lambda x: torch.exp(-x * x / 2) / math.sqrt(2 * math.pi),
    "Phi": lambda x: torch.special.erfc(-x / math.sqrt(2)) / 2,
    "pi": math.pi,
    "SELU_ALPHA": float(_SELU_ALPHA),
    "SELU_SCALE": float(_SELU_SCALE),
    "sigmoid": torch.sigmoid,
    "sign": torch.sign,
    "softplus": _log1pexp,
    "sqrt": math.sqrt,
    "tanh": torch.tanh,
    "tanhshrink": _tanhshrink,
    "where": _where,
}


@cache
def _mpmath() -> tuple[Any, dict[str, Any]]:
    """Return an mpmath context of our own, whose precision we may set, and names for formulas."""
    import mpmath

    context = mpmath.mp.clone()

    def normal_cdf(x: Any) -> Any:
        # mpmath's erfc fails for huge arguments; the result is below every dtype there.
        return context.zero if x < -1e5 else context.erfc(-x / context.sqrt(2)) / 2

    def log1pexp(x: Any) -> Any:
        return max(x, 0) + context.log1p(context.exp(-abs(x)))

    return context, {
        "__builtins__": {},
        "number": context.mpf,
        "abs": abs,
        "cosh": context.cosh,
        "exp": context.exp,
        "expm1": context.expm1,
        "log": context.log,
        "max": max,
        "min": min,
        "phi": lambda x: context.exp(-x * x / 2) / context.sqrt(2 * context.pi),
        "Phi": normal_cdf,
        "pi": context.pi,
        "sigmoid": lambda x: 1 / (1 + context.exp(-x)),
        "sign": context.sign,
        "softplus": log1pexp,
        "sqrt": context.sqrt,
        "tanh": context.tanh,
        "tanhshrink": lambda x: x - context.tanh(x),
        "where": lambda condition, yes, no: yes if condition else no,
    }


def _as_mpf(parameters: Mapping[str, Any]) -> dict[str, Any]:
    context, _ = _mpmath()
    numbers: dict[str, Callable[..., Any] | Any] = {
        name: context.mpf(value) for name, value in parameters.items() if not isinstance(value, str)
    }
    return numbers | {
        "SELU_ALPHA": context.mpf(_SELU_ALPHA),
        "SELU_SCALE": context.mpf(_SELU_SCALE),
    }
