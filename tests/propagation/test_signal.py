"""`signal_depth` as a whole: what theory and measurement say of each row."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from actcompare import signal_depth
from actcompare.activations.catalogue import CATALOGUE
from actcompare.activations.gaussian import Curve
from actcompare.activations.spec import parse
from actcompare.errors import ActcompareError, UsageError
from actcompare.propagation.initialisation import initialisation
from actcompare.propagation.records import Prospect
from actcompare.propagation.signal import Propagation
from actcompare.propagation.theory.maps import distances

SMALL: dict[str, Any] = {"layers": 6, "width": 32, "nets": 4}


@pytest.fixture(scope="module")
def found() -> Propagation:
    return signal_depth(["relu", "softplus"], layers=10, width=128, nets=8)


def row(found: Propagation, activation: str, init: str) -> Prospect:
    rows = [r.prospect for r in found.rows]
    return next(r for r in rows if (r.activation, r.init) == (activation, init))


def test_theory_and_measurement_agree(found: Propagation) -> None:
    assert len(found.rows) == 6
    for each in found.rows:
        assert each.prospect.agrees == 1 or each.beyond_theory
    assert sum(each.prospect.agrees == 1 for each in found.rows) >= 5


def test_relu_loses_a_factor_of_six_per_layer_by_default(found: Propagation) -> None:
    default = row(found, "relu", "default")
    assert default.chi == pytest.approx(1 / 6)
    assert default.log10_gradient_theory == pytest.approx(-10 * math.log10(6))
    assert default.log10_gradient_measured == pytest.approx(-10 * math.log10(6), abs=0.3)
    assert default.reach_layers == 3
    assert default.phase == "ordered"


def test_critical_keeps_gradients_and_apart(found: Propagation) -> None:
    for activation in ("relu", "softplus"):
        critical = row(found, activation, "critical")
        assert critical.phase == "critical"
        assert critical.log10_gradient_theory == pytest.approx(0, abs=0.01)
        assert critical.reach_layers == math.inf
        assert critical.fixed_point == pytest.approx(critical.q0, rel=0.05)


def test_dead_units_are_those_of_theory(found: Propagation) -> None:
    for init in ("default", "kaiming"):
        relu = row(found, "relu", init)
        assert relu.zero_dead_measured == pytest.approx(relu.zero_dead_theory, abs=0.05)
    assert row(found, "softplus", "kaiming").zero_dead_measured == 0


def test_layers_begin_and_end_as_the_rows_say(found: Propagation) -> None:
    records = found.layers()
    assert len(records) == 6 * 11
    first, last = records[0], records[10]
    relu = row(found, "relu", "default")
    assert first["log10_gradient_theory"] == pytest.approx(relu.log10_gradient_theory)
    assert first["log10_gradient_measured"] == pytest.approx(relu.log10_gradient_measured)
    assert last["one_minus_c_theory"] == relu.one_minus_c_theory
    assert last["log10_gradient_theory"] == last["log10_gradient_measured"] == 0


def test_the_same_seed_gives_the_same_numbers_and_no_net_depends_on_the_others() -> None:
    one, two = (signal_depth("relu", init=["kaiming"], **SMALL) for _ in range(2))
    assert one.table.records == two.table.records
    other = signal_depth("relu", init=["kaiming"], **SMALL | {"seed": 1})
    assert one.table.records != other.table.records


def test_theory_alone_measures_nothing() -> None:
    found = signal_depth("gelu", theory_only=True, layers=20)
    for each in found.rows:
        assert each.nets == 0
        assert each.prospect.log10_gradient_theory is not None
        assert each.prospect.log10_gradient_measured is None
        assert each.prospect.agrees is None


def test_a_time_limit_ends_with_fewer_nets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actcompare.propagation.measure.CHUNK_BYTES", 1)
    found = signal_depth("relu", init=["kaiming"], **SMALL | {"time_limit": 1e-9})
    assert found.rows[0].nets == 1
    assert found.rows[0].prospect.log10_gradient_low is None


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.spec)
def test_every_activation_has_an_answer(entry: object) -> None:
    spec = entry.spec  # type: ignore[attr-defined]
    found = signal_depth(spec, **SMALL)
    for each in found.rows:
        prospect = each.prospect
        if each.why:
            assert prospect.log10_gradient_theory is None
            assert each.why in found.reading()
        else:
            assert prospect.fixed_point_kind
            assert prospect.log10_gradient_measured is not None
    assert spec in found.reading()


def test_a_constant_loses_everything() -> None:
    found = signal_depth(lambda x: x * 0 + 1, init=["kaiming", "critical"], **SMALL)
    kaiming, critical = found.rows
    assert kaiming.prospect.log10_gradient_theory == -math.inf
    assert kaiming.prospect.log10_gradient_measured == -math.inf
    assert kaiming.prospect.constant == 1
    assert "no stable critical initialisation" in critical.why
    assert "With Kaiming's: <lambda> 0." in found.reading()


def test_ten_thousand_layers_do_not_overflow() -> None:
    found = signal_depth("relu", init=["default"], layers=10_000, theory_only=True)
    assert found.rows[0].prospect.log10_gradient_theory == pytest.approx(-10_000 * math.log10(6))
    found = signal_depth("relu", init=["8,0.5"], layers=800, theory_only=True)
    steep = found.rows[0].prospect
    assert steep.log10_gradient_theory == pytest.approx(800 * math.log10(4), rel=1e-3)
    assert (steep.fixed_point_kind, steep.phase) == ("none", "none")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": 1}, "layers must be from 2 to 10,000"),
        ({"layers": 10_001}, "layers must be"),
        ({"width": 1}, "width must be from 2"),
        ({"nets": 0}, "nets must be at least 1, not 0; or use --theory-only"),
        ({"seed": -1}, "seed must be"),
        ({"time_limit": math.nan}, "time-limit must be positive"),
        ({"init": ["-1,0"]}, "SIGMA_W2 must be from 0.001"),
        ({"init": ["nan,0"]}, "SIGMA_W2 must be from 0.001"),
        ({"init": ["he"]}, "is not one of default, kaiming"),
        ({"init": ["2,0"], "train": True}, "--train is for default"),
        ({"threads": 0}, "threads"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        signal_depth("relu", **SMALL | settings)


def test_data_without_a_signal_are_refused() -> None:
    y = np.arange(40) % 2
    with pytest.raises(ActcompareError, match="inputs are constant"):
        signal_depth("relu", (np.ones((40, 3)), y), **SMALL)
    with pytest.raises(ActcompareError, match="arrays: "):
        signal_depth("relu", (np.ones((1, 3)), y[:1]), **SMALL)
    with pytest.raises(ActcompareError, match="not elementwise"):
        signal_depth(lambda x: x - x.mean(), **SMALL)


def test_what_does_not_fit_is_said_before_anything_is_computed() -> None:
    with pytest.raises(ActcompareError, match=r"use --theory-only, or a smaller --layers"):
        signal_depth("relu", layers=10_000, width=65_536)


def test_a_users_table_is_read_as_in_train(tmp_path: Path) -> None:
    path = tmp_path / "some.csv"
    rows = "\n".join(f"{i % 7},{i % 5},{i % 2}" for i in range(60))
    path.write_text(f"a,b,y\n{rows}\n", encoding="utf-8")
    found = signal_depth("relu", str(path), target="y", init=["kaiming"], **SMALL)
    assert found.rows[0].prospect.log10_gradient_measured is not None


@pytest.mark.cuda
def test_a_gpu_agrees_with_the_theory() -> None:
    found = signal_depth("relu", layers=10, width=128, nets=8, device="cuda")
    assert all(each.prospect.agrees in (1, None) for each in found.rows)


@pytest.mark.parametrize("init", ["0.001,0", "1000,1000"])
def test_signals_beyond_float64_are_not_measured(init: str) -> None:
    found = signal_depth("relu", init=[init], layers=300, width=8, nets=2)
    (row,) = found.rows
    assert abs(row.prospect.log10_gradient_theory or 0) > 300
    assert row.prospect.log10_gradient_measured is None
    assert "leaves the range of float64" in found.reading()
    assert "no stable" not in found.reading()


def test_reach_does_not_depend_on_the_number_of_layers() -> None:
    for init, reach in (("default", 2), ("kaiming", 18)):
        found = {
            layers: signal_depth("softplus", init=[init], layers=layers, theory_only=True)
            for layers in (2, 5, 50)
        }
        assert {each.rows[0].prospect.reach_layers for each in found.values()} == {reach}


def test_initialisations_are_given_once() -> None:
    found = signal_depth("relu", init=["2,0", "2.0, 0", "2,0.0"], layers=3, theory_only=True)
    assert found.config.inits == ("2,0",)
    for wrong, message in (
        ([], "no initialisation"),
        ([(1.9, 0)], "is not text"),
        (["x"], "is not one"),
    ):
        with pytest.raises(UsageError, match=message):
            signal_depth("relu", init=wrong, layers=3, theory_only=True)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="layers must be a whole number"):
        signal_depth("relu", layers=4.5, theory_only=True)  # type: ignore[arg-type]


def test_a_table_of_the_correlation_map_follows_the_map() -> None:
    """Through many layers of constant length it is interpolated."""
    found = signal_depth("tanh", init=["critical"], layers=450, theory_only=True)
    apart = found.rows[0].theory.one_minus_c
    curve = Curve.of(parse("tanh"))
    law = initialisation("critical", curve, inputs=64, width=256, mean_square=1.0).hidden
    assert apart is not None
    exact = distances(curve, law, 1.0, float(apart[200]), 150)
    assert apart[200:351] == pytest.approx(exact, rel=5e-3)


@pytest.mark.parametrize(
    "function",
    [torch.exp, torch.zeros_like, lambda x: x * 0 + 1, lambda x: torch.exp(x * x / 100), torch.sin],
)
def test_no_row_holds_nan(function: Any) -> None:
    found = signal_depth(function, **SMALL)
    for each in found.table.records:
        assert not any(isinstance(v, float) and math.isnan(v) for v in each.values())
    assert "nan" not in found.reading()
