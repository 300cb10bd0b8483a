"""Dead units by theory: closed forms, limits, and nets that were drawn."""

import math

import pytest
import torch

from actcompare.activations.gaussian import Curve
from actcompare.activations.spec import parse
from actcompare.propagation.theory.dead import born_dead_share, zero_dead_share, zero_regions


def curve(spec: str) -> Curve:
    return Curve.of(parse(spec))


@pytest.mark.parametrize(
    ("width", "layers", "share"),
    [
        (2, 2, 0.4375),
        (2, 9, 0.924915313721),
        (2, 20, 0.996828788061),
        (3, 9, 0.69934219867),
        (5, 9, 0.2485407415),
        (10, 20, 0.0193511091949),
    ],
)
def test_nets_that_are_born_dead(width: int, layers: int, share: float) -> None:
    assert born_dead_share(width, layers) == pytest.approx(share, rel=1e-9)


@pytest.mark.parametrize(
    ("samples", "c", "share"),
    [(1797, 0.9, 0.129596294518), (1797, 0.99, 0.366130778279), (2, 0.5, 1 / 3)],
)
def test_dead_on_every_sample(samples: int, c: float, share: float) -> None:
    for q in (0.1, 1.0, 7.0):  # relu does not care about the scale
        found = zero_dead_share(curve("relu"), q, 1 - c, samples)
        assert found == pytest.approx(share, rel=1e-9)


def test_alike_samples_count_as_one() -> None:
    assert zero_dead_share(curve("relu"), 1.0, 1e-12, 1000) == pytest.approx(0.5, abs=2e-4)
    assert zero_dead_share(curve("relu"), 1.0, 1.0, 3) == pytest.approx(1 / 8)
    assert zero_dead_share(curve("relu"), 1.0, 1.4, 3) == pytest.approx(1 / 8)


def test_regions_of_zeros() -> None:
    expected = {"relu": (-math.inf, 0), "hardswish": (-math.inf, -3), "softshrink": (-0.5, 0.5)}
    for spec, region in expected.items():
        (found,) = zero_regions(curve(spec))
        assert found == pytest.approx(region, abs=1e-12)
    assert zero_regions(curve("softplus")) == zero_regions(curve("tanh")) == []
    assert zero_dead_share(curve("gelu"), 1.0, 0.1, 10) == 0


def test_the_share_is_that_of_drawn_pre_activations() -> None:
    generator, c = torch.Generator().manual_seed(0), 0.7
    shared = torch.randn(200_000, 1, generator=generator)
    own = torch.randn(200_000, 4, generator=generator)
    z = math.sqrt(2.0) * (math.sqrt(c) * shared + math.sqrt(1 - c) * own)
    drawn = (torch.nn.functional.softshrink(z) == 0).all(1).double().mean().item()
    assert zero_dead_share(curve("softshrink"), 2.0, 1 - c, 4) == pytest.approx(drawn, abs=0.003)
