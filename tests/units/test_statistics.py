"""Statistics of units: the same however they are fed, and verdicts that name hand-made units."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from actcompare import CATALOGUE, UnitAccumulator, parse
from actcompare.units.statistics import EPS, VERDICTS, UnitStatistics, firing_rate_bound, slopes

ALL = [entry.spec for entry in CATALOGUE]
SAMPLES = 200
GRID = torch.linspace(-30, 30, 60_001, dtype=torch.float64)
"""Pre-activations among which units of each kind are looked for."""


def build(spec: str) -> nn.Module:
    made = parse(spec).build(torch.float64, torch.device("cpu"))
    assert isinstance(made, nn.Module)
    return made


def watch(function: nn.Module, z: Tensor, batches: list[int]) -> UnitStatistics:
    seen = UnitAccumulator(z.shape[1])
    for a, slope in zip(*(torch.split(t, batches) for t in slopes(function, z)), strict=True):
        seen.update(a, slope)
    return seen.statistics()


def spread_over(values: Tensor) -> Tensor:
    """SAMPLES of the values, evenly."""
    return values[torch.linspace(0, len(values) - 1, SAMPLES).long()]


def hand_made(function: nn.Module) -> dict[str, Tensor]:
    """Pre-activations of a unit of each kind that the function allows, each of shape (sample,)."""
    f, slope = slopes(function, GRID)
    flat, zero = GRID[slope.abs() <= EPS / 2], GRID[f == 0]
    steep = GRID[slope.abs() >= 10 * EPS]
    kinds = {"healthy": spread_over(steep[(steep > -3) & (steep < 3)])}
    kinds["constant"] = kinds["healthy"][SAMPLES // 3].expand(SAMPLES)
    if len(flat) > SAMPLES:
        kinds["gradient_dead"] = spread_over(flat)
        almost = spread_over(flat).clone()
        almost[: SAMPLES // 25] = kinds["healthy"][: SAMPLES // 25]  # 4 % of the samples
        kinds["saturated"] = almost
    if len(exact := GRID[slope == 0]) > SAMPLES:
        kinds["gradient_zero"] = exact[
            :SAMPLES
        ]  # the farthest: next to others torch's paths differ
    if len(zero) > SAMPLES:
        kinds["zero_dead"] = zero[:SAMPLES]
    small = GRID[f.abs() <= 1e-4 * f[(GRID > -3) & (GRID < 3)].abs().mean()]
    if len(small) > 1:
        kinds["dormant"] = small.repeat(SAMPLES)[:SAMPLES]
    return kinds


@pytest.mark.parametrize("spec", ALL)
def test_hand_made_units_are_named(spec: str) -> None:
    function = build(spec)
    kinds = hand_made(function)
    z = torch.stack(list(kinds.values()), dim=1)
    verdicts = watch(function, z, [SAMPLES]).verdicts()
    named = dict(zip(kinds, range(len(kinds)), strict=True))
    for kind, unit in named.items():
        if kind == "healthy":
            assert [v for v in VERDICTS if verdicts[v][unit]] == []
        else:
            assert verdicts[kind][unit], kind
    assert not verdicts["zero_dead"][named["constant"]]
    if "saturated" in named:
        assert not verdicts["gradient_dead"][named["saturated"]]


def test_the_zoo_has_units_of_every_kind() -> None:
    kinds = {spec: set(hand_made(build(spec))) for spec in ALL}
    assert {"zero_dead", "gradient_dead", "gradient_zero", "dormant"} <= kinds["relu"]
    assert "gradient_dead" in kinds["softplus"]
    assert "zero_dead" not in kinds["softplus"]
    assert "gradient_dead" not in kinds["leaky_relu"]
    assert "gradient_dead" in kinds["tanh"]


def naive(function: nn.Module, z: Tensor) -> dict[str, list[bool]]:
    """The criteria written as they are defined."""
    a, slope = (t.double().numpy() for t in slopes(function, z))
    layer = np.abs(a).mean()
    verdicts: dict[str, list[bool]] = {name: [] for name in VERDICTS}
    for unit in range(a.shape[1]):
        mine, steep = a[:, unit], np.abs(slope[:, unit])
        std = mine.std()
        verdicts["zero_dead"].append(bool((mine == 0).all()))
        verdicts["gradient_dead"].append(bool(steep.max() <= EPS))
        verdicts["gradient_zero"].append(bool(steep.max() == 0))
        verdicts["constant"].append(bool(std == 0 or std <= 1e-3 * abs(mine.mean())))
        verdicts["dormant"].append(bool(np.abs(mine).mean() / layer <= 0.025) if layer else True)
        verdicts["saturated"].append(bool((steep <= EPS).mean() >= 0.95))
    return verdicts


@settings(deadline=None, max_examples=60)
@given(
    spec=st.sampled_from(ALL),
    batches=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_verdicts_do_not_depend_on_the_batches(
    spec: str, batches: list[int], seed: int, dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(seed)
    units, n = 12, sum(batches)
    centre = 8 * torch.randn(units, generator=generator)
    width = 4 * torch.rand(units, generator=generator).square()
    z = (centre + width * torch.randn(n, units, generator=generator)).to(dtype)
    function = parse(spec).build(dtype, torch.device("cpu"))
    assert isinstance(function, nn.Module)
    whole, parts = watch(function, z, [n]), watch(function, z, batches)
    assert whole.samples == parts.samples == n
    expected = naive(function, z)
    for name, verdict in whole.verdicts().items():
        assert torch.equal(verdict, parts.verdicts()[name]), name
        assert verdict.tolist() == expected[name], name
    for name in ("mean", "squares", "mean_abs"):
        one, two = getattr(whole, name), getattr(parts, name)
        assert torch.allclose(one, two, rtol=1e-4, atol=1e-6 * float(whole.high.abs().max()))
    for name in ("nonzero", "low", "high", "slope", "flat"):
        assert torch.equal(getattr(whole, name), getattr(parts, name))


def test_accumulators_merge() -> None:
    function, z = build("gelu"), torch.randn(50, 3, dtype=torch.float64)
    one, two = UnitAccumulator(3), UnitAccumulator(3)
    one.update(*slopes(function, z[:20]))
    two.update(*slopes(function, z[20:]))
    one.merge(two)
    one.merge(UnitAccumulator(3))
    whole = watch(function, z, [50])
    assert torch.allclose(one.statistics().squares, whole.squares)
    assert one.statistics().samples == 50
    empty = UnitAccumulator(3)
    empty.merge(two)
    assert empty.statistics().samples == 30


def test_a_channel_is_a_unit() -> None:
    z = torch.randn(5, 3, 4, 6)
    z[:, 1] = -z[:, 1].abs() - 1
    seen = UnitAccumulator(3)
    seen.update(*slopes(nn.ReLU(), z))
    found = seen.statistics()
    assert found.verdicts()["zero_dead"].tolist() == [False, True, False]
    assert (found.samples, found.values) == (5, 5 * 4 * 6)
    a = torch.relu(z).transpose(0, 1).flatten(1).double()
    assert torch.allclose(found.mean, a.mean(1))
    assert torch.allclose(found.squares, a.var(1, correction=0) * 120, rtol=1e-4)


def test_a_relu6_stuck_high_is_no_zero() -> None:
    verdicts = watch(nn.ReLU6(), torch.rand(40, 1) + 7, [40]).verdicts()
    said = {name for name in VERDICTS if verdicts[name][0]}
    assert said == {"gradient_dead", "gradient_zero", "constant", "saturated"}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_formats_are_counted_in_full(dtype: torch.dtype) -> None:
    a = torch.ones(5000, 1, dtype=dtype)
    seen = UnitAccumulator(1)
    seen.update(a, a)
    assert seen.statistics().nonzero.tolist() == [5000]
    assert seen.statistics().mean.tolist() == [1]


def test_what_is_not_a_number_is_not_dead() -> None:
    a = torch.tensor([[0.0], [math.nan]])
    seen = UnitAccumulator(1)
    seen.update(a, a)
    assert not any(bool(verdict[0]) for verdict in seen.statistics().verdicts().values())


def test_misuse_is_told() -> None:
    seen = UnitAccumulator(3)
    with pytest.raises(ValueError, match="no samples: call update"):
        seen.statistics()
    with pytest.raises(ValueError, match="are not"):
        seen.update(torch.zeros(2, 4), torch.zeros(2, 4))
    with pytest.raises(ValueError, match="are not"):
        seen.update(torch.zeros(2, 3), torch.zeros(1, 3))
    for other in (UnitAccumulator(4), UnitAccumulator(3, eps=0.1)):
        with pytest.raises(ValueError, match="into 3 units with eps"):
            seen.merge(other)
    seen.update(torch.zeros(0, 3), torch.zeros(0, 3))
    with pytest.raises(ValueError, match="no samples: call update"):
        seen.statistics()


def test_the_bound_is_the_published_one() -> None:
    assert firing_rate_bound(64) == pytest.approx(0.046, abs=5e-4)
    assert firing_rate_bound(1797) == pytest.approx(0.0017, abs=5e-5)
    for n in (1, 10, 1000):
        assert (1 - firing_rate_bound(n)) ** n == pytest.approx(0.05)


@pytest.mark.parametrize("shape", [(500, 6), (20, 6, 5), (20, 6, 100), (1, 6, 3000), (7, 6, 9, 9)])
@pytest.mark.parametrize("offset", [0.0, 1.0, 30.0, 1000.0])
def test_variances_are_known_whatever_the_mean(shape: tuple[int, ...], offset: float) -> None:
    """Down to a spread of a thousandth of the mean, where units are called constant."""
    a = torch.randn(shape, generator=torch.Generator().manual_seed(0)) + offset
    a[:, 0] = 0
    seen = UnitAccumulator(6)
    seen.update(a, torch.ones_like(a))
    expected = a.double().transpose(0, 1).flatten(1).var(1, correction=0)
    found = seen.statistics()
    assert torch.allclose(found.squares / found.values, expected, rtol=1e-3)
    assert found.squares[0] == 0
    assert found.layer_variance == pytest.approx(float(a.double().var(correction=0)), rel=1e-3)
