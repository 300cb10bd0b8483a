"""The catalogue of elementwise activations, as plain data that needs no torch."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from actcompare.errors import UsageError

Value = float | int | str | bool


@dataclass(frozen=True)
class Parameter:
    """A parameter of an activation, with its default and bounds."""

    name: str
    default: float | str
    above: float | None = None
    """Exclusive lower bound."""
    at_least: float | None = None
    """Inclusive lower bound."""
    choices: tuple[str, ...] = ()
    by_name_only: bool = False
    """Whether another parameter comes first in PyTorch, as num_parameters in nn.PReLU(1, 0.25)."""

    @property
    def bounds(self) -> str:
        """The bounds as text, such as `> 0` or `none or tanh`."""
        if self.choices:
            return " or ".join(self.choices)
        if self.above is not None:
            return f"> {self.above:g}"
        if self.at_least is not None:
            return f">= {self.at_least:g}"
        return "finite"

    def check(self, value: Value, label: str) -> float | str:
        """Return the value if it is within the bounds.

        Raises:
            UsageError: The value is out of bounds.
        """
        if self.choices:
            if value not in self.choices:
                raise UsageError(f"{label}: {self.name} must be {self.bounds}, not {value!r}")
            return str(value)
        number = math.nan if isinstance(value, str | bool) else float(value)
        good = math.isfinite(number)
        good &= self.above is None or number > self.above
        good &= self.at_least is None or number >= self.at_least
        if not good:
            wanted = "a finite number" if self.bounds == "finite" else f"finite and {self.bounds}"
            raise UsageError(f"{label}: {self.name} must be {wanted}, not {value}")
        return number


_TRANSCENDENTAL = ("exp", "log", "tanh", "sigmoid", "softplus", "Phi")


@dataclass(frozen=True)
class Entry:
    """A row of the catalogue.

    Formulas are expressions in `x` and the parameters. `formula` and `derivative` are written for
    readers. If their arithmetic would cancel or overflow, `stable` and `stable_derivative` are the
    same functions written for computing. At a kink, the derivative is PyTorch's.
    """

    name: str
    torch_class: str
    formula: str
    derivative: str
    parameters: tuple[Parameter, ...] = ()
    stable: str = ""
    stable_derivative: str = ""
    fixed: Mapping[str, Value] = field(default_factory=dict)
    """Parameter values that select this row among rows of the same name."""
    ascending: tuple[str, str] | None = None
    """Two parameters, the first of which must be less than the second."""

    @property
    def transcendental(self) -> bool:
        """Whether the formula needs exponentials, logarithms or similar functions."""
        return any(f"{name}(" in self.formula for name in _TRANSCENDENTAL)

    @property
    def spec(self) -> str:
        """The SPEC of this row."""
        return label_of(self.name, self.fixed)


def _hard(low: str, high: str, slope: str = "1") -> str:
    return f"where(({low} < x) & (x < {high}), {slope}, 0)"


_TANH_APPROXIMATION = (
    Parameter("approximate", "none", choices=("none", "tanh")),
)  # fmt: skip

CATALOGUE: tuple[Entry, ...] = (
    Entry("relu", "ReLU", "max(0, x)", "where(x > 0, 1, 0)"),
    Entry(
        "softplus", "Softplus",
        "log(1 + exp(beta*x))/beta",
        "sigmoid(beta*x)",
        (Parameter("beta", 1.0, above=0), Parameter("threshold", 20.0, at_least=0)),
        stable="softplus(beta*x)/beta",
    ),
    Entry(
        "gelu", "GELU",
        "x*Phi(x)",
        "Phi(x) + x*phi(x)",
        _TANH_APPROXIMATION,
    ),
    Entry(
        "gelu", "GELU",
        "x*(1 + tanh(sqrt(2/pi)*(x + 0.044715*x**3)))/2",
        "sigmoid(t := sqrt(8/pi)*(x + 0.044715*x**3))"
        " + x*sigmoid(t)*sigmoid(-t)*sqrt(8/pi)*(1 + 0.134145*x**2)",
        _TANH_APPROXIMATION,
        stable="x*sigmoid(sqrt(8/pi)*(x + 0.044715*x**3))",
        fixed={"approximate": "tanh"},
    ),
    Entry(
        "silu", "SiLU",
        "x*sigmoid(x)",
        "sigmoid(x)*(1 + x*(1 - sigmoid(x)))",
        stable_derivative="sigmoid(x)*(1 + x*sigmoid(-x))",
    ),
    Entry(
        "mish", "Mish",
        "x*tanh(softplus(x))",
        "tanh(softplus(x)) + x*sigmoid(x)*(1 - tanh(softplus(x))**2)",
        stable_derivative="tanh(softplus(x)) + x*sigmoid(x)/cosh(softplus(x))**2",
    ),
    Entry(
        "leaky_relu", "LeakyReLU",
        "where(x > 0, x, negative_slope*x)",
        "where(x > 0, 1, negative_slope)",
        (Parameter("negative_slope", 0.01),),
    ),
    Entry(
        "prelu", "PReLU",
        "where(x > 0, x, init*x)",
        "where(x > 0, 1, init)",
        (Parameter("init", 0.25, by_name_only=True),),
    ),
    Entry(
        "rrelu", "RReLU",
        "where(x > 0, x, (lower + upper)/2*x)",
        "where(x > 0, 1, (lower + upper)/2)",
        (Parameter("lower", 1 / 8), Parameter("upper", 1 / 3)),
        ascending=("lower", "upper"),
    ),
    Entry(
        "elu", "ELU",
        "where(x > 0, x, alpha*(exp(x) - 1))",
        "where(x > 0, 1, alpha*exp(x))",
        (Parameter("alpha", 1.0),),
        stable="where(x > 0, x, alpha*expm1(x))",
    ),
    Entry(
        "celu", "CELU",
        "where(x > 0, x, alpha*(exp(x/alpha) - 1))",
        "where(x > 0, 1, exp(x/alpha))",
        (Parameter("alpha", 1.0, above=0),),
        stable="where(x > 0, x, alpha*expm1(x/alpha))",
    ),
    Entry(
        "selu", "SELU",
        "1.0507009873554805*where(x > 0, x, 1.6732632423543772*(exp(x) - 1))",
        "1.0507009873554805*where(x > 0, 1, 1.6732632423543772*exp(x))",
        stable="SELU_SCALE*where(x > 0, x, SELU_ALPHA*expm1(x))",
        stable_derivative="SELU_SCALE*where(x > 0, 1, SELU_ALPHA*exp(x))",
    ),
    Entry("relu6", "ReLU6", "min(max(0, x), 6)", _hard("0", "6")),
    Entry(
        "hardswish", "Hardswish",
        "x*min(max(0, x + 3), 6)/6",
        "where(x <= -3, 0, where(x < 3, (2*x + 3)/6, 1))",
    ),
    Entry(
        "sigmoid", "Sigmoid",
        "1/(1 + exp(-x))",
        "sigmoid(x)*(1 - sigmoid(x))",
        stable="sigmoid(x)",
        stable_derivative="sigmoid(x)*sigmoid(-x)",
    ),
    Entry(
        "logsigmoid", "LogSigmoid",
        "-log(1 + exp(-x))",
        "sigmoid(-x)",
        stable="-softplus(-x)",
    ),
    Entry("hardsigmoid", "Hardsigmoid", "max(0, min(1, x/6 + 1/2))", _hard("-3", "3", "1/6")),
    Entry(
        "tanh", "Tanh",
        "tanh(x)",
        "1 - tanh(x)**2",
        stable_derivative="1/cosh(x)**2",
    ),
    Entry(
        "hardtanh", "Hardtanh",
        "max(min_val, min(max_val, x))",
        _hard("min_val", "max_val"),
        (Parameter("min_val", -1.0), Parameter("max_val", 1.0)),
        ascending=("min_val", "max_val"),
    ),
    Entry("softsign", "Softsign", "x/(1 + abs(x))", "1/(1 + abs(x))**2"),
    Entry(
        "tanhshrink", "Tanhshrink",
        "x - tanh(x)",
        "tanh(x)**2",
        stable="tanhshrink(x)",
    ),
    Entry(
        "softshrink", "Softshrink",
        "sign(x)*max(abs(x) - lambd, 0)",
        "where(abs(x) > lambd, 1, 0)",
        (Parameter("lambd", 0.5, at_least=0),),
    ),
    Entry(
        "hardshrink", "Hardshrink",
        "where(abs(x) > lambd, x, 0)",
        "where(abs(x) > lambd, 1, 0)",
        (Parameter("lambd", 0.5, at_least=0),),
    ),
    Entry(
        # torch has no defaults for these: 1 and 0 give the thresholded ReLU of Konda et al. 2015.
        "threshold", "Threshold",
        "where(x > threshold, x, value)",
        "where(x > threshold, 1, 0)",
        (Parameter("threshold", 1.0), Parameter("value", 0.0)),
    ),
)  # fmt: skip


def written(value: Value) -> str:
    """Write a parameter's value as in a SPEC: 2 rather than 2.0."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e16:
        return str(int(value))
    return str(value)


def label_of(name: str, parameters: Mapping[str, Value]) -> str:
    """Return the SPEC of a name with parameters."""
    if not parameters:
        return name
    return name + ":" + ",".join(f"{key}={written(value)}" for key, value in parameters.items())
