"""Measured signals agree with the theory, and finite widths with their correction."""

import math

import numpy as np
import pytest
import torch

from actcompare.activations.catalogue import CATALOGUE
from actcompare.activations.gaussian import Array, Curve
from actcompare.activations.spec import parse
from actcompare.errors import ActcompareError, UsageError
from actcompare.propagation.initialisation import NAMES, initialisation
from actcompare.propagation.measure import Size, measure
from actcompare.propagation.theory.maps import Law, propagate
from actcompare.propagation.theory.width import correct


def curve(spec: str) -> Curve:
    return Curve.of(parse(spec))


def test_width_of_relu_and_of_softplus() -> None:
    relu = propagate(curve("relu"), Law(2.0, 0.0), np.array([1.0]), 50)
    found = correct(curve("relu"), Law(2.0, 0.0), relu, 256)
    assert found.variance == pytest.approx(5 * 50 / 256)
    assert found.radial == pytest.approx(0)
    softplus = propagate(curve("softplus"), Law(2.0, 0.0), np.array([1.0]), 50)
    found = correct(curve("softplus"), Law(2.0, 0.0), softplus, 256)
    theory = sum(step.log_chi[0] for step in softplus)
    assert theory + found.radial == pytest.approx(-7.1835, abs=5e-4)
    assert not found.holds


@pytest.mark.parametrize("how", ["default", "kaiming", "critical"])
@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.spec)
def test_measured_gradients_agree_with_the_theory(entry: object, how: str) -> None:
    """A shallower and narrower version of the benchmark, over the whole catalogue."""
    spec, layers, width, nets = entry.spec, 10, 128, 12  # type: ignore[attr-defined]
    found = curve(spec)
    X = torch.randn(24, 40, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    squares = X.square().mean(1).numpy()
    if not found.has_theory:
        pytest.skip(f"{spec} jumps: its gradient has no theory")
    try:
        made = initialisation(how, found, inputs=40, width=width, mean_square=float(squares.mean()))
    except ActcompareError as error:
        pytest.skip(str(error))
    q1 = made.first_variance(squares)
    steps = propagate(found, made.hidden, q1, layers)
    theory = np.sum([step.log_chi for step in steps], 0).mean()
    middle = np.array([math.exp(np.log(q1).mean())])
    off = correct(found, made.hidden, propagate(found, made.hidden, middle, layers), width)
    if not off.holds:
        pytest.skip(f"{spec} {how} is beyond the theory at this width")
    (signals,) = measure([(found, made)], X, Size(width, layers, nets))
    allowed = 4 * math.sqrt(off.variance / nets) + 0.1 * off.variance
    assert signals.log_gradient[:, 0].mean() == pytest.approx(theory + off.shift, abs=allowed)


@pytest.mark.parametrize(("width", "layers", "share"), [(2, 2, 0.4375), (3, 9, 0.69934219867)])
def test_nets_are_born_dead_as_often_as_the_closed_form_says(
    width: int, layers: int, share: float
) -> None:
    relu, nets = curve("relu"), 4000
    made = initialisation("kaiming", relu, inputs=3, width=width, mean_square=1.0)
    one = torch.ones(1, 3, dtype=torch.float64)
    (signals,) = measure([(relu, made)], one, Size(width, layers, nets))
    assert signals.born_dead / nets == pytest.approx(
        share, abs=4 * math.sqrt(share * (1 - share) / nets)
    )


def test_chunks_do_not_change_the_nets(monkeypatch: pytest.MonkeyPatch) -> None:
    found = curve("softplus")
    made = initialisation("default", found, inputs=5, width=8, mean_square=1.0)
    X = torch.randn(6, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def run() -> Array:
        (signals,) = measure([(found, made)], X, Size(8, 3, 5))
        return signals.log_q

    once = run()
    assert once.shape == (5, 4)
    assert np.array_equal(once, run())
    monkeypatch.setattr("actcompare.propagation.measure.CHUNK_BYTES", 1)
    chunked = run()
    assert chunked == pytest.approx(once, rel=1e-12)


def test_initialisations_have_the_variances_of_torchs_own() -> None:
    found = curve("relu")
    for name in ("default", "kaiming", "xavier"):
        made = initialisation(name, found, inputs=30, width=50, mean_square=1.0)
        first, hidden = torch.nn.Linear(30, 50), torch.nn.Linear(50, 50)
        for layer, law in ((first, made.first), (hidden, made.hidden)):
            spread = []
            for seed in range(40):
                torch.manual_seed(seed)
                layer.reset_parameters()
                if name == "kaiming":
                    torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                elif name == "xavier":
                    torch.nn.init.xavier_uniform_(layer.weight)
                spread.append(layer.weight.var().item() * layer.in_features)
            assert np.mean(spread) == pytest.approx(law.sigma_w2, rel=0.02)


@pytest.mark.parametrize("text", ["2", "a,b", "-1,0", "0,0", "1,-1", "nan,0", "1,inf", "1,2,3"])
def test_what_is_no_initialisation_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="init "):
        initialisation(text, curve("relu"), inputs=4, width=4, mean_square=1.0)
    assert "critical" in NAMES
