import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import actcompare
from actcompare.activations.catalogue import CATALOGUE
from actcompare.errors import ActcompareError, UsageError
from actcompare.evaluation.evaluate import Evaluation, evaluate
from actcompare.machine.devices import DTYPES

SPECS = [entry.spec for entry in CATALOGUE]
EVERY_SPEC = pytest.mark.parametrize("spec", SPECS)
EVERY_DTYPE = pytest.mark.parametrize("dtype", list(DTYPES))


def kinds(evaluation: Evaluation) -> list[str]:
    return [caution.kind for caution in evaluation.cautions]


def test_the_articles_numbers() -> None:
    relu, softplus = evaluate([-2, 0, 5]).results
    assert relu.value.tolist() == [0, 0, 5]
    assert relu.grad is not None
    assert relu.grad.tolist() == [0, 0, 1]
    expected = torch.tensor([math.log1p(math.exp(x)) for x in (-2, 0, 5)])
    torch.testing.assert_close(softplus.value, expected)
    sigmoid = torch.tensor([1 / (1 + math.exp(-x)) for x in (-2, 0, 5)])
    torch.testing.assert_close(softplus.grad, sigmoid)


@EVERY_SPEC
@EVERY_DTYPE
def test_values_are_torchs_and_the_grid_does_not_matter(spec: str, dtype: str) -> None:
    """One point at a time gives what all at once give, within the paths' 2 ULP."""
    x = np.linspace(-4, 4, 37)
    together = evaluate(x, [spec], dtype=dtype)
    alone = [evaluate([point], [spec], dtype=dtype) for point in x]
    tolerance = 4 * torch.finfo(DTYPES[dtype]).eps
    for name in ("value", "grad"):
        expected = torch.cat([getattr(one.results[0], name) for one in alone])
        torch.testing.assert_close(
            getattr(together.results[0], name), expected, rtol=tolerance, atol=tolerance
        )


@EVERY_SPEC
def test_derivatives_are_the_slopes_of_what_is_below(spec: str) -> None:
    x, h = torch.linspace(-3.97, 4.03, 161, dtype=torch.float64), 1e-5
    low, at, high = (
        evaluate(points, [spec], order=2, dtype="float64").results[0]
        for points in (x - h, x, x + h)
    )
    torch.testing.assert_close(at.grad, (high.value - low.value) / (2 * h), rtol=1e-5, atol=1e-6)
    if spec == "hardsigmoid":
        assert at.grad2 is None
    else:
        assert high.grad is not None
        assert low.grad is not None
        torch.testing.assert_close(at.grad2, (high.grad - low.grad) / (2 * h), rtol=1e-4, atol=1e-5)


@EVERY_SPEC
def test_float32_values_are_within_a_few_ulp(spec: str) -> None:
    frame = evaluate(np.linspace(-4, 4, 257), [spec], error=True).frame()
    # tanhshrink cancels near 0 and gelu far below it: their ULP errors are real, and large
    assert frame["ulp_error"].median() < 1
    assert frame["grad_ulp_error"].median() < 5
    np.testing.assert_allclose(frame["value"], frame["exact"], atol=1e-6)
    np.testing.assert_allclose(frame["grad"], frame["grad_exact"], atol=1e-6)


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("error", [False, True])
def test_columns(order: int, error: bool) -> None:
    frame = evaluate([1, 2], ["relu", "silu", "gelu"], order=order, error=error).frame()
    expected = ["x", "activation", "value"]
    expected += ["exact", "ulp_error"] if error else []
    expected += ["grad"] if order else []
    expected += ["grad_exact", "grad_ulp_error"] if error and order else []
    expected += ["grad2"] if order == 2 else []
    assert list(frame.columns) == expected
    assert frame["x"].tolist() == [1, 1, 1, 2, 2, 2]
    assert frame["activation"].tolist() == ["relu", "silu", "gelu"] * 2


@pytest.mark.parametrize(
    "x",
    [
        [1.0, -2.0],
        (1.0, -2.0),
        np.array([1.0, -2.0], dtype=np.float32),
        np.array([1, -2], dtype=np.int64),
        np.array([[1.0], [-2.0]]),
        torch.tensor([1.0, -2.0], requires_grad=True),
        torch.tensor([1, -2]),
    ],
)
def test_points_may_be_anything_of_numbers(x: object) -> None:
    assert evaluate(x, ["relu"]).frame()["value"].tolist() == [1, 0]  # type: ignore[arg-type]


def test_the_result_says_what_and_where() -> None:
    evaluation = evaluate([1], ["softplus:beta=2.0"], dtype="bfloat16")
    assert evaluation.config.activations == ("softplus:beta=2",)
    assert evaluation.config.dtype == "bfloat16"
    assert evaluation.environment.torch == torch.__version__
    assert evaluation.environment.device == "cpu"


def test_a_leaf_of_the_users_is_left_alone() -> None:
    x = torch.tensor([1.0, -2.0], requires_grad=True)
    evaluate(x, ["relu"])
    assert x.grad is None


@pytest.mark.parametrize(
    ("x", "spec", "options", "kind", "says"),
    [
        (-200, "softplus", {}, "underflow value", r"below about x = -102\.87"),
        (-200, "softplus", {}, "underflow gradient", r"below about x = -103\.97"),
        (-800, "softplus", {"dtype": "float64"}, "underflow value", r"below about x = -744\.03"),
        (-20, "softplus", {"dtype": "float16"}, "underflow value", r"below about x = -17\.3.*"),
        (-100, "softplus", {"dtype": "bfloat16"}, "underflow value", r"below about x = -93"),
        (-50, "gelu", {}, "underflow value", "nearer|e-"),
        (-200, "softplus:beta=10", {}, "underflow value", r"below about x = -10\.\d+"),
        (-0.5, "softplus:beta=1000", {}, "underflow value", r"below about x = -0\.097\d*"),
        (-9, "gelu", {}, "underflow value", "only by rounding: the exact result is -1.02e-18"),
        (30, "tanh", {}, "underflow gradient", r"above about x = 9\.01.*"),
        (1e-5, "tanhshrink", {}, "underflow value", r"between 0 and about x = 0\.0003"),
        (-1e20, "gelu:approximate=tanh", {}, "underflow value", "closer to 0 than 1e-9999"),
        (100, "softplus:threshold=1000", {}, "inf value", "is inf at the finite x = 100"),
        (math.inf, "silu", {}, "nan gradient", "is NaN at x = inf"),
        (-math.inf, "silu", {}, "nan value", "is NaN at x = -inf"),
        (math.nan, "relu", {}, "grad at nan", "at x = NaN is 1.0"),
        (25, "softplus", {}, "threshold", r"jumps by -2.06e-09.*too small to show in float32"),
        (25, "softplus", {"dtype": "float64"}, "threshold", r"jumps by -2.06e-09 and"),
        (2, "softplus:threshold=1", {}, "threshold", r"jumps by -0\.313 and the gradient by 0\.26"),
        (11, "softplus:beta=2", {}, "threshold", "beyond x = 10 "),
        (0.1, "relu", {}, "rounded", r"as 0\.1 to 0\.10000000149011612"),
        (70000, "relu", {"dtype": "float16"}, "rounded", "70000.0 to inf"),
        (16777217, "relu", {}, "rounded", r"to 16777216\.0"),
        (1, "hardsigmoid", {"order": 2}, "no grad2", "no second derivative of hardsigmoid"),
    ],
)
def test_cautions(x: float, spec: str, options: dict[str, str], kind: str, says: str) -> None:
    cautions = {c.kind: c.message for c in evaluate([x], [spec], **options).cautions}  # type: ignore[arg-type]
    assert kind in cautions
    assert re.search(says, cautions[kind]), cautions[kind]


@pytest.mark.parametrize("spec", SPECS)
def test_no_caution_without_cause(spec: str) -> None:
    assert kinds(evaluate([-2, -0.5, 0, 0.5, 5], [spec])) == []


@pytest.mark.parametrize("dtype", list(DTYPES))
@pytest.mark.parametrize("spec", ["relu", "leaky_relu", "hardtanh", "hardshrink", "threshold"])
def test_true_zeros_are_no_underflow(spec: str, dtype: str) -> None:
    found = kinds(evaluate([-1024, -256, -1, 0, 0.25], [spec], dtype=dtype))
    assert not [kind for kind in found if kind.startswith("underflow")]


USERS = """
import torch
def cube(x): return x ** 3
def flat(x): return torch.ones_like(x)
def total(x): return x.sum()
def doubled(x): return x.double()
def cut(x): return torch.tensor(x.detach().numpy() ** 2)
def running(x): return x.cumsum(0)
def softmax(x): return torch.softmax(x, -1)
def chance(x): return x * torch.rand_like(x)
def leaves(x): raise SystemExit(3)
def raises(x): raise ValueError("no such thing")
def number(x): return 3.0
class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x): return x.clone()
    @staticmethod
    def backward(ctx, g): raise RuntimeError("lost the tape")
def once(x): return Once.apply(x)
"""


@pytest.fixture
def users(in_tmp: Path) -> Path:
    (in_tmp / "users.py").write_text(USERS)
    return in_tmp


@pytest.mark.usefixtures("users")
def test_a_users_own_function() -> None:
    frame = evaluate([2, -1], ["users.py:cube", "relu"], order=2, error=True).frame()
    mine = frame[frame["activation"] == "users.py:cube"]
    assert mine["value"].tolist() == [8, -1]
    assert mine["grad"].tolist() == [12, 3]
    assert mine["grad2"].tolist() == [12, -6]
    assert mine[["exact", "ulp_error", "grad_exact", "grad_ulp_error"]].isna().all(axis=None)
    assert frame[frame["activation"] == "relu"]["ulp_error"].tolist() == [0, 0]


@pytest.mark.usefixtures("users")
def test_a_constant_has_no_slope() -> None:
    assert evaluate([2.0], ["users.py:flat"], order=2).frame()["grad"].tolist() == [0]


@pytest.mark.usefixtures("users")
def test_a_function_without_a_graph_says_so() -> None:
    evaluation = evaluate([2.0], ["users.py:cut", "users.py:cube"])
    assert kinds(evaluation) == ["no graph"]
    assert "users.py:cut has no autograd graph" in evaluation.cautions[0].message


def test_functions_and_modules_as_themselves() -> None:
    module = torch.nn.GELU("tanh").train()
    evaluation = evaluate([1.0, -1.0], [torch.sin, module, "relu"], dtype=torch.float64)
    assert evaluation.config.activations == ("sin", "GELU(approximate='tanh')", "relu")
    assert evaluation.config.dtype == "float64"
    assert evaluation.results[0].value.tolist() == [math.sin(1), math.sin(-1)]
    assert module.training
    assert evaluate([1.0], "relu").config.activations == ("relu",)
    assert evaluate([1.0], torch.sin).config.activations == ("sin",)


@pytest.mark.usefixtures("users")
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("total", r"not elementwise: it turns shape \(64,\) into \(\)"),
        ("softmax", "not elementwise: its value at a point depends on the other points"),
        ("running", "not elementwise"),
        ("chance", "not elementwise: .*or changes from call to call"),
        ("doubled", "must return torch.float32 for torch.float32 input, not torch.float64"),
        ("raises", "failed in float32 on cpu: ValueError: no such thing"),
        ("leaves", "failed in float32 on cpu: SystemExit: 3"),
        ("number", "returns float, not a tensor"),
        ("once", "the derivative of users.py:once failed on cpu: RuntimeError: lost the tape"),
    ],
)
def test_a_users_function_that_fails(name: str, says: str) -> None:
    with pytest.raises(ActcompareError, match=says):
        evaluate([1.0, 2.0], [f"users.py:{name}"])


@pytest.mark.parametrize(
    ("x", "options", "says"),
    [
        ([], {}, "no points"),
        (["a"], {}, "x must be numbers"),
        ([1j], {}, "x must be numbers"),
        (np.array([1j]), {}, "x must be numbers"),
        (["1"], {}, "x must be numbers"),
        (torch.tensor([1j]), {}, "not complex"),
        ([1], {"order": 3}, "order must be 0, 1 or 2"),
        ([1], {"dtype": "int32"}, "use a floating-point dtype"),
        ([1], {"device": "tpu"}, "not one of cpu, cuda"),
        ([1], {"device": "cpu:1"}, "not one of cpu, cuda"),
        ([1], {"activations": []}, "no activation given"),
    ],
)
def test_bad_requests(x: object, options: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        evaluate(x, **options)  # type: ignore[arg-type]


@pytest.mark.skipif(torch.version.cuda is not None, reason="this torch is built for CUDA")
def test_cuda_asked_for_where_there_is_none() -> None:
    with pytest.raises(ActcompareError, match="built without CUDA; install a CUDA build"):
        evaluate([1], device="cuda")


@pytest.mark.parametrize(
    ("count", "asked", "says"),
    [
        (0, "cuda", "finds no GPU"),
        (1, "cuda:1", "has only cuda:0"),
        (4, "cuda:9", "cuda:0 to cuda:3"),
    ],
)
def test_cuda_builds_without_that_gpu(
    monkeypatch: pytest.MonkeyPatch, count: int, asked: str, says: str
) -> None:
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    with pytest.raises(ActcompareError, match=says):
        evaluate([1], device=asked)


@pytest.mark.cuda
@EVERY_SPEC
@EVERY_DTYPE
def test_cuda_agrees_with_the_cpu(spec: str, dtype: str) -> None:
    x = np.linspace(-8, 8, 257)
    cpu, gpu = (evaluate(x, [spec], dtype=dtype, device=d).results[0] for d in ("cpu", "cuda"))
    tolerance = 8 * torch.finfo(DTYPES[dtype]).eps
    torch.testing.assert_close(gpu.value, cpu.value, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(gpu.grad, cpu.grad, rtol=tolerance, atol=tolerance)


def test_the_public_names_resolve() -> None:
    for name in actcompare.__all__:
        assert getattr(actcompare, name) is not None
    assert callable(actcompare.evaluate)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = actcompare.nothing
