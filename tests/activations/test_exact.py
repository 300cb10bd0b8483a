import math
import random

import mpmath
import pytest
import torch

from actcompare.activations.catalogue import CATALOGUE, Entry
from actcompare.activations.exact import exact_at, formula_in_float64, formula_in_mpmath, ulp_error
from actcompare.activations.spec import parse

ENTRIES = pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.spec)


def expressions(entry: Entry) -> list[tuple[str, str]]:
    """(as read, as computed) for the value and the derivative."""
    return [
        (entry.formula, entry.stable or entry.formula),
        (entry.derivative, entry.stable_derivative or entry.derivative),
    ]


def points_everywhere() -> list[float]:
    """Float32 numbers of every size and sign, and points where derivatives have roots."""
    rng = random.Random(0)
    some = [rng.uniform(-120, 120) for _ in range(60)]
    some += [rng.choice((-1, 1)) * 2.0 ** rng.uniform(-120, 120) for _ in range(60)]
    some += [-20.0, 0.0, 0.049, 0.051, -0.049, -0.051, 5.0, 1.0, -1.0, 20.0, 88.7, -103.9]
    return torch.tensor(some, dtype=torch.float32).tolist()


@ENTRIES
def test_float64_arithmetic_suffices_for_32_bits(entry: Entry) -> None:
    """Within 1e-6 of a float32 ULP of mpmath: the claim of the module's docstring."""
    parameters = parse(entry.spec).parameters
    for _, text in expressions(entry):
        for x in points_everywhere():
            fast = formula_in_float64(text, parameters, torch.tensor([x], dtype=torch.float64))
            prec = 200 + 2 * max(0, -math.frexp(x)[1])
            exact = formula_in_mpmath(text, parameters, x, prec)
            ulp = max(abs(exact) * 2.0**-24, mpmath.mpf(2) ** -149)
            assert abs(fast.item() - exact) <= 1e-6 * ulp, (text, x)


@pytest.mark.parametrize("spec", ["silu", "mish", "gelu", "gelu:approximate=tanh"])
def test_near_a_root_of_the_derivative(spec: str) -> None:
    activation = parse(spec)
    entry = activation.entry
    assert entry is not None
    text = entry.stable_derivative or entry.derivative
    root = mpmath.findroot(
        lambda x: formula_in_mpmath(text, activation.parameters, float(x), 200), (-1.3, -0.7),
        solver="bisect", tol=1e-12,
    )  # fmt: skip
    near = [torch.tensor(float(root), dtype=torch.float32)]
    for _ in range(4):
        near.append(torch.nextafter(near[-1], torch.tensor(0.0)))
    x = torch.stack(near)
    compared = ulp_error(activation, x, torch.zeros_like(x), derivative=True)
    assert compared is not None
    for point, exact in zip(x.tolist(), compared[0].tolist(), strict=True):
        true = formula_in_mpmath(text, activation.parameters, point, 200)
        assert abs(exact - true) <= 1e-6 * abs(true) * 2.0**-24


@ENTRIES
def test_stable_form_is_the_formula(entry: Entry) -> None:
    parameters = parse(entry.spec).parameters
    for readable, text in expressions(entry):
        for x in points_everywhere():
            if 1e-30 < abs(x) < 100:
                a = formula_in_mpmath(readable, parameters, x, 1500)
                b = formula_in_mpmath(text, parameters, x, 1500)
                # the SELU constants are written with 17 digits for reading
                assert mpmath.almosteq(a, b, 1e-15), (readable, x)


@ENTRIES
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_a_correctly_rounded_result_is_within_half_an_ulp(entry: Entry, dtype: torch.dtype) -> None:
    activation = parse(entry.spec)
    x = torch.linspace(-8, 8, 33, dtype=torch.float64).to(dtype) + torch.tensor(0.25, dtype=dtype)
    for derivative in (False, True):
        first = ulp_error(activation, x, torch.zeros_like(x), derivative=derivative)
        assert first is not None
        again = ulp_error(activation, x, first[0].to(dtype), derivative=derivative)
        assert again is not None
        assert (again[1] <= 0.5 + 1e-9).all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_one_step_away_is_one_ulp(dtype: torch.dtype) -> None:
    relu = parse("relu")
    info = torch.finfo(dtype)
    x = torch.tensor([1.0, 1.5, 3.0, info.smallest_normal / 4], dtype=dtype)
    least = info.smallest_normal * info.eps
    step = torch.tensor([info.eps, info.eps, 2 * info.eps, least], dtype=torch.float64)
    compared = ulp_error(relu, x, (x.double() + step).to(dtype))
    assert compared is not None
    assert compared[1].tolist() == [1.0] * 4


@ENTRIES
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_infinite_x_means_the_limit(entry: Entry, dtype: torch.dtype) -> None:
    x = torch.tensor([-math.inf, math.inf], dtype=dtype)
    compared = ulp_error(parse(entry.spec), x, torch.zeros_like(x))
    assert compared is not None
    far = torch.tensor([-1e30, 1e30], dtype=torch.float64)
    near = formula_in_float64(expressions(entry)[0][1], parse(entry.spec).parameters, far)
    for limit, value in zip(compared[0].tolist(), near.tolist(), strict=True):
        expected = math.copysign(math.inf, value) if abs(value) > 1e20 else value
        assert limit == pytest.approx(expected, rel=1e-15)


def test_nan_and_infinity() -> None:
    relu, nan, inf = parse("relu"), math.nan, math.inf
    x = torch.tensor([nan, nan, inf, 1.0, 1.0])
    compared = ulp_error(relu, x, torch.tensor([nan, 1.0, inf, inf, nan]))
    assert compared is not None
    assert str(compared[1].tolist()) == str([0.0, nan, 0.0, inf, nan])


def test_a_users_own_has_no_reference() -> None:
    x = torch.tensor([1.0])
    assert ulp_error(parse("a.b:c"), x, x) is None


def test_exact_at_does_not_underflow() -> None:
    value = exact_at(parse("softplus"), -1000.0)
    assert mpmath.almosteq(value, mpmath.exp(-1000), 1e-12)


def test_nobodys_precision_is_changed() -> None:
    before = mpmath.mp.prec
    exact_at(parse("softplus"), -1000.0)
    assert mpmath.mp.prec == before
