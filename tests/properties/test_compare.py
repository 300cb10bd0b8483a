import math
from pathlib import Path

import pytest

from actcompare.activations.catalogue import CATALOGUE
from actcompare.errors import ActcompareError
from actcompare.machine.devices import DTYPES
from actcompare.properties.compare import compare
from actcompare.properties.records import Properties

EVERY_DTYPE = pytest.mark.parametrize("dtype", list(DTYPES))


def one(spec: str, dtype: str = "float32") -> Properties:
    return compare([spec], dtype=dtype).properties[0]


@pytest.fixture(scope="module", params=list(DTYPES))
def catalogue(request: pytest.FixtureRequest) -> dict[str, Properties]:
    """Every entry in one dtype."""
    return {row.activation: row for row in compare(["all"], dtype=request.param).properties}


SMOOTHNESS = {
    "discontinuous": "hardshrink threshold",
    "C0": "relu leaky_relu prelu rrelu selu relu6 hardswish hardsigmoid hardtanh softshrink",
    "C1": "elu celu softsign",
    "C2+": "gelu gelu:approximate=tanh silu mish sigmoid logsigmoid tanh tanhshrink softplus",
}


def test_smoothness(catalogue: dict[str, Properties]) -> None:
    expected = {spec: s for s, specs in SMOOTHNESS.items() for spec in specs.split()}
    if (catalogue["softplus"].zero_grad_below or 0) < -200:  # float64, where the threshold shows
        expected["softplus"] = "discontinuous"
    assert {spec: row.smoothness for spec, row in catalogue.items()} == expected


def test_monotone_and_convex(catalogue: dict[str, Properties]) -> None:
    not_monotone = {"gelu", "gelu:approximate=tanh", "silu", "mish", "hardswish"}
    convex = {"relu", "leaky_relu", "prelu", "rrelu", "elu", "celu", "softplus"}
    if catalogue["softplus"].smoothness == "discontinuous":  # it steps down at 20
        not_monotone, convex = not_monotone | {"softplus"}, convex - {"softplus"}
    assert {spec for spec, row in catalogue.items() if not row.monotone} == not_monotone
    assert {spec for spec, row in catalogue.items() if row.convex} == convex


def test_limits_and_ranges(catalogue: dict[str, Properties]) -> None:
    inf = math.inf
    expected = {
        "relu": (0, inf), "softplus": (0, inf), "gelu": (0, inf), "silu": (0, inf),
        "mish": (0, inf), "leaky_relu": (-inf, inf), "elu": (-1, inf), "relu6": (0, 6),
        "hardswish": (0, inf), "sigmoid": (0, 1), "logsigmoid": (-inf, 0), "tanh": (-1, 1),
        "hardtanh": (-1, 1), "tanhshrink": (-inf, inf), "softsign": (-1, 1), "threshold": (0, inf),
    }  # fmt: skip
    for spec, limits in expected.items():
        row = catalogue[spec]
        assert (row.limit_neg_inf, row.limit_pos_inf) == pytest.approx(limits, abs=1e-3), spec
    for row in catalogue.values():
        assert row.range_min <= min(row.value_at_neg2, row.value_at_0, row.value_at_5)
        assert row.range_max >= max(row.value_at_neg2, row.value_at_0, row.value_at_5)


def test_zeros_lie_where_they_are_said_to(catalogue: dict[str, Properties]) -> None:
    for row in catalogue.values():
        assert 0 <= row.zero_output_share <= 1
        assert (row.zero_grad_below is None) or row.zero_grad_below < 2
        if row.dead_units == "no":
            assert row.zero_grad_below is None
            assert row.zero_grad_above is None
            assert row.zero_grad_share < 1e-3
        if row.dead_units == "yes":
            assert row.zero_grad_share > 1e-3


@EVERY_DTYPE
def test_moments_of_relu(dtype: str) -> None:
    row, digits = one("relu", dtype), 1e-3 if dtype == "bfloat16" else 2e-5
    assert row.zero_output_share == row.zero_grad_share == pytest.approx(0.5, abs=1e-12)
    assert row.mean_output == pytest.approx(1 / math.sqrt(2 * math.pi), rel=digits)
    assert row.second_moment == pytest.approx(0.5, rel=digits)
    assert row.grad_second_moment == pytest.approx(0.5, rel=1e-7)


def test_published_numbers() -> None:
    assert one("softplus").mean_output == pytest.approx(0.806, abs=5e-4)
    assert one("softplus").lipschitz == 1
    assert one("softplus").max_curvature == pytest.approx(1 / 4)
    assert one("softplus:beta=2").max_curvature == pytest.approx(1 / 2)
    # SELU keeps mean 0 and variance 1 (Klambauer et al. 2017)
    assert one("selu").mean_output == pytest.approx(0, abs=1e-6)
    assert one("selu").second_moment == pytest.approx(1, abs=1e-6)
    # max |tanh''| = 4 / (3 sqrt 3), max |sigmoid''| = 1 / (6 sqrt 3)
    assert one("tanh").max_curvature == pytest.approx(4 / (3 * math.sqrt(3)), rel=1e-5)
    assert one("sigmoid").max_curvature == pytest.approx(1 / (6 * math.sqrt(3)), rel=1e-5)
    # GELU's mean is 1 / (2 sqrt pi)
    assert one("gelu").mean_output == pytest.approx(1 / (2 * math.sqrt(math.pi)), rel=1e-6)
    assert one("hardshrink").zero_output_share == pytest.approx(
        math.erf(0.5 / math.sqrt(2)), abs=1e-9
    )
    threshold = one("threshold")
    assert threshold.zero_output_share == pytest.approx(0.8413447460685429, abs=1e-9)
    assert threshold.mean_output == pytest.approx(0.24197072451914337, abs=1e-6)  # phi(1)
    assert one("hardtanh").zero_grad_share == pytest.approx(0.31731050786291415, abs=1e-9)
    assert one("relu").lipschitz == 1
    # suprema that are only approached, at a kink of f or f'
    assert one("hardswish").lipschitz == pytest.approx(1.5, rel=1e-6)
    assert one("elu").max_curvature == pytest.approx(1, rel=1e-6)
    assert one("softsign").max_curvature == pytest.approx(2, rel=1e-6)
    assert one("relu").max_curvature == math.inf
    assert one("hardshrink").lipschitz == math.inf


@pytest.mark.parametrize(
    ("dtype", "value", "gradient"),
    [("float32", -102.87, -103.97), ("float64", -744.03, -745.13), ("float16", -17.34, None),
     ("bfloat16", -93.0, None)],
)  # fmt: skip
def test_where_softplus_is_zero(dtype: str, value: float, gradient: float | None) -> None:
    row = one("softplus", dtype)
    assert row.zero_output_below == pytest.approx(value, abs=0.01)
    if gradient is not None:
        assert row.zero_grad_below == pytest.approx(gradient, abs=0.01)
    assert row.dead_units == f"only below {row.zero_grad_below:.6g}"


def test_the_step_at_the_threshold() -> None:
    assert one("softplus", "float64").jumps == "f by -2.06e-09 at 20"
    assert one("softplus:threshold=1").jumps == "f by -0.313 at 1"
    assert not one("softplus:threshold=1").monotone


@pytest.mark.parametrize(
    ("spec", "smoothness", "jumps"),
    [
        ("hardtanh:min_val=-50,max_val=50", "C0", "f' by 1 at -50, f' by -1 at 50"),
        ("hardtanh:min_val=1e-4,max_val=5e-4", "C0", "f' by 1 at 0.0001, f' by -1 at 0.0005"),
        ("threshold:threshold=40", "discontinuous", "f by 40 at 40"),
        ("softplus:beta=0.5", "discontinuous", "f by -4.12e-09 at 40"),
        ("softshrink:lambd=2000", "C0", "f' by -1 at -2000, f' by 1 at 2000"),
    ],
)
def test_jumps_far_out_and_close_together(spec: str, smoothness: str, jumps: str) -> None:
    row = one(spec, "float64")
    assert (row.smoothness, row.jumps) == (smoothness, jumps)


def test_dead_units_in_words() -> None:
    assert [one(spec).dead_units for spec in ("relu", "leaky_relu")] == ["yes", "no"]
    assert one("tanh").dead_units == "only below -9.01084 and above 9.01084"
    assert one("relu6").zero_grad_above == 6
    assert one("tanhshrink").dead_units.startswith("only between -0.000")


USERS = """
import torch
def step(x): return torch.where(x > 1.25, x + 0.5, x)
def wave(x): return torch.sin(x)
def square(x): return x * x
def log(x): return torch.log1p(x * x)
def asin(x): return torch.asin(x)
def root(x): return torch.sqrt(x)
def nowhere(x): return x * float("nan")
class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.sigmoid(x)
    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        s = torch.sigmoid(x)
        return g * s * (1 - s)
def once(x): return Once.apply(x)
"""


def test_a_users_own(in_tmp: Path) -> None:
    (in_tmp / "mine.py").write_text(USERS)
    step, wave, square, log, once = (
        one(f"mine.py:{name}") for name in ("step", "wave", "square", "log", "once")
    )
    assert step.formula is None
    assert (step.smoothness, step.jumps) == ("discontinuous", "f by 0.5 at 1.25")
    assert (wave.limit_pos_inf, wave.monotone, wave.smoothness) == (None, False, "C2+")
    assert (square.limit_neg_inf, square.convex, square.range_min) == (math.inf, True, 0)
    assert square.lipschitz == math.inf
    assert "but has exact zeros" in compare("mine.py:square").reading()
    assert log.limit_pos_inf == math.inf
    asin, root = one("mine.py:asin"), one("mine.py:root")
    assert (asin.range_min, asin.range_max) == pytest.approx((-math.pi / 2, math.pi / 2), abs=1e-3)
    assert root.range_min == 0
    with pytest.raises(ActcompareError, match="NaN everywhere"):
        one("mine.py:nowhere")
    assert once.max_curvature is None
    assert once.smoothness == "C1+"
    assert once.lipschitz == pytest.approx(0.25)


def test_the_reading_follows_the_numbers() -> None:
    both = compare(["relu", "softplus"])
    assert "relu 0.5; softplus 0" in both.reading()
    assert "outputs of softplus are positive" in both.reading()
    assert "relu 0.399 and 0.5, softplus 0.806 and 0.293" in both.reading()
    assert "leaky_relu has a gradient everywhere" in compare(["leaky_relu"]).reading()
    assert "NaN gradient from about |x| = 2e+19" in compare("gelu:approximate=tanh").reading()
    assert "softplus: f by -2.06e-09 at 20" in compare("softplus", dtype="float64").reading()
    assert "tanh has negative outputs" in compare(["tanh"]).reading()


def test_columns_have_the_promised_keys() -> None:
    frame = compare(["relu", "silu"]).frame()
    assert list(frame["activation"]) == ["relu", "silu"]
    promised = """activation formula derivative smoothness range_min range_max limit_neg_inf
        limit_pos_inf value_at_neg2 value_at_0 value_at_5 grad_at_neg2 grad_at_0 grad_at_5 monotone
        convex lipschitz max_curvature zero_output_share zero_grad_share zero_output_below
        zero_grad_below mean_output second_moment grad_second_moment dead_units"""
    promised_keys = set(promised.split())
    assert promised_keys <= set(frame.columns)
    assert len(CATALOGUE) == 24
