"""Measure signals in random nets of finite width: many nets at once, as batched products."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from actcompare.activations.gaussian import Array, Curve
from actcompare.propagation.initialisation import Initialisation
from actcompare.units.statistics import CONSTANT_SPREAD, EPS

CHUNK_BYTES = 2**28
"""Memory for the weights and slopes of the nets that are measured together."""


@dataclass(frozen=True)
class Signals:
    """Signals in several nets; each array has the shape (net, layer).

    Lengths, gradients and distances have one layer more than units: the pre-activations after the
    last hidden layer, where the gradient is 1.
    """

    log_q: Array
    """Log of the mean square of the pre-activations, in the mean over samples."""
    log_gradient: Array
    """Log of the mean square of the gradient, in the mean over samples."""
    distance: Array
    """1 - c of pairs of samples, in the mean over pairs."""
    zero_dead: Array
    """Share of units whose output is 0 on every sample."""
    gradient_dead: Array
    """Share of units with |f'| <= EPS on every sample."""
    constant: Array
    """Share of units whose output is practically the same on every sample."""

    @classmethod
    def together(cls, parts: "Sequence[Signals]") -> "Signals":
        """Return the signals of all nets of several measurements."""
        return cls(*(np.concatenate(each) for each in zip(*map(_arrays, parts), strict=True)))

    @property
    def born_dead(self) -> int:
        """Number of nets in which all units of some layer are zero-dead."""
        return int((self.zero_dead == 1).any(1).sum())


def _arrays(signals: Signals) -> list[Array]:
    return list(vars(signals).values())


def measure(
    curve: Curve,
    how: Initialisation,
    X: Tensor,
    *,
    width: int,
    layers: int,
    nets: int,
    seed: int = 0,
) -> Signals:
    """Measure signals in `nets` random nets, from one forward and one backward pass each.

    The backward pass starts at random vectors, one per sample, at the pre-activations after the
    last hidden layer.

    Args:
        curve: The activation of the hidden layers.
        how: The initialisation.
        X: Inputs, float64, shape (sample, input), at least two samples.
        width: Units of a hidden layer.
        layers: Hidden layers.
        nets: Number of nets.
        seed: Seed of the weights; the same one gives the same random numbers to every activation.
    """
    generator = torch.Generator(X.device).manual_seed(seed)
    each = 8 * layers * width * (width + 2 * len(X))
    size = max(1, min(nets, CHUNK_BYTES // each))
    parts = [
        _measure(curve, how, X, (min(size, nets - begun), layers, width), generator)
        for begun in range(0, nets, size)
    ]
    return Signals.together(parts)


def _measure(
    curve: Curve,
    how: Initialisation,
    X: Tensor,
    shape: tuple[int, int, int],
    generator: torch.Generator,
) -> Signals:
    nets, layers, width = shape
    weights, slopes, units = list[Tensor](), list[Tensor](), list[Tensor]()
    lengths, apart = list[Tensor](), list[Tensor]()
    a = X.expand(nets, -1, -1)
    for i in range(layers + 1):
        weight, bias = _draw(how, i, (nets, width, a.shape[2]), generator)
        z = torch.baddbmm(bias, a, weight.mT)
        lengths.append(z.square().mean(2).log().mean(1))
        apart.append(_distance(z).mean(1))
        if i < layers:
            a, slope = curve.at(z)
            slopes.append(slope)
            units.append(_verdicts(a, slope))
        if i:
            weights.append(weight)
    gradient = torch.randn(z.shape, generator=generator, dtype=z.dtype, device=z.device)
    gradients = _backward(gradient, weights, slopes)
    dead = torch.stack(units, 2)
    found = [torch.stack(lengths, 1), gradients, torch.stack(apart, 1), *dead]
    return Signals(*(each.double().cpu().numpy() for each in found))


def _draw(
    how: Initialisation, layer: int, shape: tuple[int, int, int], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return the weights of a layer, shape (net, unit, input), and biases, (net, 1, unit)."""
    law = how.hidden if layer else how.first
    nets, units, inputs = shape

    def draw(*shape: int) -> Tensor:
        empty = torch.empty(shape, dtype=torch.float64, device=generator.device)
        if how.uniform:
            return empty.uniform_(-math.sqrt(3), math.sqrt(3), generator=generator)
        return empty.normal_(generator=generator)

    weight, bias = draw(nets, units, inputs), draw(nets, 1, units)
    if law.centred:
        weight -= weight.mean(2, keepdim=True)
        inputs -= 1
    weight.mul_(math.sqrt(law.sigma_w2 / inputs))
    return weight, bias.mul_(math.sqrt(law.sigma_b2))


def _distance(z: Tensor) -> Tensor:
    """Return 1 - c of neighbouring samples, shape (net, pair)."""
    unit = z / z.norm(dim=2, keepdim=True)
    first, second = unit[:, : len(unit[0]) // 2 * 2 : 2], unit[:, 1::2]
    distance: Tensor = (second - first).square().sum(2) / 2
    return distance


def _verdicts(a: Tensor, slope: Tensor) -> Tensor:
    """Return the shares of zero-dead, gradient-dead and constant units, shape (3, net)."""
    spread, mean = torch.std_mean(a, 1, correction=0)
    found = [(a == 0).all(1), (slope.abs() <= EPS).all(1), spread <= CONSTANT_SPREAD * mean.abs()]
    return torch.stack([each.double().mean(1) for each in found])


def _backward(top: Tensor, weights: Sequence[Tensor], slopes: Sequence[Tensor]) -> Tensor:
    """Return the log mean square of the gradient at each layer, shape (net, layer)."""
    gradient, log = _normalised(top)
    # The random vector at the top has length 1 in the mean, but not exactly.
    logs = [torch.zeros_like(log)]
    for weight, slope in zip(reversed(weights), reversed(slopes), strict=True):
        gradient, log = _normalised((gradient @ weight) * slope)
        logs.append(logs[-1] + log)
    return torch.stack([each.mean(1) for each in reversed(logs)], 1)


def _normalised(gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Scale each sample's gradient to mean square 1; return it and the log of its mean square."""
    square = gradient.square().mean(2, keepdim=True)
    return gradient / square.sqrt().clamp(min=1e-150), square[..., 0].log()
