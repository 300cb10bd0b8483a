import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.nn.modules import activation as torch_activation

from actcompare.activations.catalogue import CATALOGUE, Entry
from actcompare.activations.derivatives import differentiate
from actcompare.activations.exact import formula_in_float64
from actcompare.activations.spec import parse, parse_all
from actcompare.errors import ActcompareError, UsageError

CPU = torch.device("cpu")
ENTRIES = pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.spec)

# What torch.nn.modules.activation holds besides functions of one element.
NOT_ELEMENTWISE = {
    "GLU", "MultiheadAttention", "Softmin", "Softmax", "Softmax2d", "LogSoftmax",
}  # fmt: skip


def test_catalogue_covers_every_elementwise_activation_of_torch() -> None:
    ours = {entry.torch_class for entry in CATALOGUE}
    assert ours == set(torch_activation.__all__) - NOT_ELEMENTWISE


@ENTRIES
def test_parameters_are_those_of_torch(entry: Entry) -> None:
    signature = inspect.signature(getattr(torch.nn, entry.torch_class))
    shape = {"inplace", "num_parameters", "device", "dtype", "min_value", "max_value"}
    shape |= {"args", "kwargs"}  # of the classes without a constructor
    theirs = {name: p.default for name, p in signature.parameters.items() if name not in shape}
    ours = {parameter.name: parameter.default for parameter in entry.parameters}
    assert ours.keys() == theirs.keys()
    for name, default in theirs.items():
        assert default in (inspect.Parameter.empty, ours[name])


def with_other_numbers(entry: Entry) -> list[str]:
    numbers = [p for p in entry.parameters if isinstance(p.default, float)]
    changed = ",".join(f"{p.name}={p.default + 0.3:.6g}" for p in numbers)  # type: ignore[operator]
    return [f"{entry.name}:{changed}"] if changed else []


SPECS = [spec for entry in CATALOGUE for spec in (entry.spec, *with_other_numbers(entry))]


@pytest.mark.parametrize("spec", SPECS)
def test_formula_and_derivative_are_those_of_torch(spec: str) -> None:
    activation = parse(spec)
    assert activation.entry is not None
    x = torch.linspace(-9.0, 9.0, 4001, dtype=torch.float64) + 1e-9  # no point on a kink
    value, grad, _ = differentiate(activation.build(torch.float64, CPU), x, spec, 1)
    # hardsigmoid's float64 gradient is float32's 1/6: hence 1e-7
    readable = (activation.entry.formula, activation.entry.derivative)
    for text, computed in zip(readable, (value, grad), strict=True):
        expected = formula_in_float64(text, activation.parameters, x)
        torch.testing.assert_close(computed, expected, rtol=1e-7, atol=1e-8)


@ENTRIES
def test_label_is_a_spec_that_can_be_pasted_back(entry: Entry) -> None:
    activation = parse(entry.spec)
    assert activation.label == entry.spec
    assert activation.entry is entry
    assert parse(activation.label) == activation


@pytest.mark.parametrize(
    ("spec", "label"),
    [
        ("softplus:beta=2,threshold=30", "softplus:beta=2,threshold=30"),
        ("softplus:threshold=30,beta=2.0", "softplus:beta=2,threshold=30"),
        ("softplus:beta=1", "softplus"),
        (" relu ", "relu"),
        ("gelu:approximate=tanh", "gelu:approximate=tanh"),
        ("gelu:approximate=none", "gelu"),
        ("my.acts:Snake:a=0.5", "my.acts:Snake:a=0.5"),
        ("a/b.py:f", "a/b.py:f"),
    ],
)
def test_labels(spec: str, label: str) -> None:
    assert parse(spec).label == label


def test_parameters_reach_torch() -> None:
    x = torch.tensor([-1.0, 5.0])
    built = parse("softplus:beta=2").build(torch.float32, CPU)
    torch.testing.assert_close(built(x), torch.nn.Softplus(beta=2)(x))


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("sofplus", "did you mean softplus"),
        ("nn.Sofplus", "did you mean softplus"),
        ("relu,beta=2", "write parameters as softplus:beta=2"),
        ("PReLU(1)", "write parameters as name=value"),
        ("nn.Softplus(inplace=True)", "no parameter 'inplace'"),
        ("nn.ReLU(inplace=3)", "no parameter 'inplace'"),
        ("softplus(beta=(2))", "write parameters as softplus:beta=2"),
        ("softplus(beta=1_0)", "beta must be finite and > 0"),
        ("zzzzzz", "actcompare list"),
        ("", "unknown activation ''"),
        ("softplus:gamma=1", "its parameters are beta, threshold"),
        ("relu:a=1", "it has none"),
        ("softplus:beta=0", "beta must be finite and > 0"),
        ("softplus:beta=-1", "beta must be finite and > 0"),
        ("softplus:beta=nan", "beta must be finite and > 0"),
        ("softplus:beta=inf", "beta must be finite and > 0"),
        ("softplus:beta=two", "beta must be finite and > 0"),
        ("softplus:beta=true", "beta must be finite and > 0"),
        ("softplus:threshold=-1", "threshold must be finite and >= 0"),
        ("softplus:beta=1,beta=2", "given twice"),
        ("softplus:beta=", "name=value"),
        ("softplus:=2", "name=value"),
        ("softplus:2", "write parameters as softplus:name=value"),
        ("softplus:beta", "write parameters as softplus:name=value"),
        ("gelu:approximate=cubic", "none or tanh"),
        ("hardtanh:min_val=2", "min_val must be less than max_val"),
        ("leaky_relu:negative_slope=nan", "a finite number"),
        (":f", "has no name"),
        ("module:", "has no name"),
    ],
)
def test_bad_specs_say_what_to_do(spec: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse(spec)


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.spec)
def test_activations_are_understood_as_in_python(entry: Entry) -> None:
    name, made = entry.name, entry.torch_class
    for text in (name, made, f"nn.{made}()", f"torch.nn.{made}", f"torch.nn.functional.{name}",
                 f"F.{name}", f"torch.{name}", f"{name}()", name.upper()):  # fmt: skip
        assert parse(text) == parse(name)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("softplus(beta=2)", "softplus:beta=2"),
        ("nn.Softplus(2, threshold = 30)", "softplus:beta=2,threshold=30"),
        ("softplus(2, 20)", "softplus:beta=2"),
        ("LeakyReLU(0.2)", "leaky_relu:negative_slope=0.2"),
        ("gelu(approximate='tanh')", "gelu:approximate=tanh"),
        ("my.acts:Snake(a=0.5)", "my.acts:Snake:a=0.5"),
    ],
)
def test_a_call_is_printed_as_a_spec(text: str, label: str) -> None:
    assert parse(text).label == parse(label).label == label


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("relu,softplus", ["relu", "softplus"]),
        ("softplus:beta=2,threshold=30", ["softplus:beta=2,threshold=30"]),
        ("relu, softplus:beta=2,threshold=30 ,gelu",
         ["relu", "softplus:beta=2,threshold=30", "gelu"]),
        ("softplus(2,30),nn.ReLU()", ["softplus:beta=2,threshold=30", "relu"]),
        ("a,b.py:f,tanh,plain.py:f", ["a,b.py:f", "tanh", "plain.py:f"]),
        ("plain.py:f:a=1,b=2,none.py:g", ["plain.py:f:a=1,b=2", "none.py:g"]),
    ],
)  # fmt: skip
def test_commas_separate_specs(in_tmp: Path, text: str, labels: list[str]) -> None:
    for name in ("a,b.py", "plain.py"):
        (in_tmp / name).touch()
    assert [activation.label for activation in parse_all(text)] == labels


def test_all_is_the_whole_catalogue() -> None:
    assert [a.label for a in parse_all(["all"])] == [entry.spec for entry in CATALOGUE]


SNAKE = '''
import torch
class Snake(torch.nn.Module):
    """x + sin(a x)^2 / a"""
    def __init__(self, a=1.0):
        super().__init__()
        self.a = torch.nn.Parameter(torch.tensor(float(a)))
    def forward(self, x):
        return x + torch.sin(self.a * x) ** 2 / self.a
def scaled(x, scale=2.0):
    return scale * x
instance = Snake(2.0)
number = 3
'''


@pytest.fixture
def acts(in_tmp: Path) -> Path:
    (in_tmp / "acts_of_mine.py").write_text(SNAKE)
    return in_tmp


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("where", ["acts_of_mine.py", "./acts_of_mine.py", "acts_of_mine"])
@pytest.mark.usefixtures("acts")
def test_a_users_own(where: str, dtype: torch.dtype) -> None:
    x = torch.tensor([0.5, -3.0], dtype=dtype)
    half = x + torch.sin(0.5 * x) ** 2 / 0.5
    torch.testing.assert_close(parse(f"{where}:Snake:a=0.5").build(dtype, CPU)(x), half)
    torch.testing.assert_close(parse(f"{where}:scaled:scale=3").build(dtype, CPU)(x), 3 * x)
    torch.testing.assert_close(parse(f"{where}:scaled").build(dtype, CPU)(x), 2 * x)
    parse(f"{where}:instance").build(dtype, CPU)(x)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("nowhere.py:f", "nowhere.py does not exist"),
        ("no_such_module:f", "no module named 'no_such_module'"),
        ("acts_of_mine.py:Snak", "did you mean Snake"),
        ("acts_of_mine.py:number", "must be a function or a module, not int"),
        ("acts_of_mine.py:Snake:b=1", "cannot create .*Snake: TypeError"),
        ("broken.py:f", "cannot import broken.py: ZeroDivisionError"),
        ("needs.py:f", "cannot import needs.py: ModuleNotFoundError"),
    ],
)
def test_a_users_own_that_cannot_be_had(acts: Path, spec: str, says: str) -> None:
    (acts / "broken.py").write_text("1 / 0")
    (acts / "needs.py").write_text("import no_such_dependency")
    with pytest.raises(ActcompareError, match=says):
        parse(spec).build(torch.float32, CPU)


def test_the_catalogue_needs_no_torch() -> None:
    code = "import sys; from actcompare import parse; parse('gelu'); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_all_stands_among_others_and_none_is_missing() -> None:
    assert [a.label for a in parse_all("all,softplus:beta=2")] == [
        *(entry.spec for entry in CATALOGUE),
        "softplus:beta=2",
    ]
    for spec in ("relu,", ",relu", "relu,,gelu"):
        with pytest.raises(UsageError, match="a SPEC is missing beside a comma"):
            parse_all(spec)
    with pytest.raises(UsageError, match="unknown activation '-relu'"):
        parse_all("-relu")


@pytest.mark.parametrize(
    ("spec", "label"),
    [
        ("nn.ReLU(inplace=True)", "relu"),
        ("torch.nn.LeakyReLU(0.2, inplace=True)", "leaky_relu:negative_slope=0.2"),
        ("nn.SiLU(inplace=False)", "silu"),
    ],
)
def test_where_the_result_is_written_does_not_matter(spec: str, label: str) -> None:
    assert parse(spec).label == label


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_weight_is_rounded_only_to_the_dtype(dtype: torch.dtype) -> None:
    made = parse("prelu:init=0.1").build(dtype, torch.device("cpu"))
    assert made(torch.tensor(-1.0, dtype=dtype)) == -torch.tensor(0.1, dtype=dtype)
