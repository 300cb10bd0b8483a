"""Measure signals in random nets of finite width: many nets at once, as batched products."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from actcompare.activations.gaussian import Array, Curve
from actcompare.machine.memory import check_fits
from actcompare.propagation.initialisation import Initialisation
from actcompare.propagation.theory import Law
from actcompare.units.statistics import CONSTANT_SPREAD, EPS

CHUNK_BYTES = 2**28
"""Memory for the weights and slopes of the nets that are measured together."""


@dataclass(frozen=True)
class Size:
    """The nets to measure."""

    width: int
    """Units of a hidden layer."""
    layers: int
    """Hidden layers."""
    nets: int


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
    cases: Sequence[tuple[Curve, Initialisation]],
    X: Tensor,
    size: Size,
    *,
    seed: int = 0,
    more: Callable[[int], bool] = lambda _: True,
) -> list[Signals]:
    """Measure signals in random nets, from one forward and one backward pass of each.

    Every case gets the same random numbers, scaled to its own variances; a net's depend on the seed
    and its number alone. The backward pass starts at random vectors, one per sample, at the
    pre-activations after the last hidden layer.

    Args:
        cases: Activations of the hidden layers, each with an initialisation.
        X: Inputs, float64, shape (sample, input), on the device to compute on.
        size: The nets.
        seed: Seed of the weights.
        more: Called with the number of nets that are done; returns whether to go on.

    Returns:
        The signals of each case.

    Raises:
        ActcompareError: A net does not fit into memory.
    """
    layer = size.width**2 + 2 * size.width * len(X)
    each = 8 * (size.layers * layer + size.width * X.shape[1])
    cure = "use --theory-only, or a smaller --layers or --width"
    check_fits(f"a net of width {size.width} and {size.layers} layers", 2 * each, cure, X.device)
    together = max(1, min(size.nets, CHUNK_BYTES // each))
    parts: list[list[Signals]] = [[] for _ in cases]
    for begun in range(0, size.nets, together):
        if begun and not more(begun):
            break
        nets = range(begun, min(begun + together, size.nets))
        for uniform in (False, True):
            chosen = [i for i, (_, how) in enumerate(cases) if how.uniform == uniform]
            numbers = _Numbers(X, replace(size, nets=len(nets)), nets, seed, uniform)
            for i in chosen:
                parts[i].append(_measure(*cases[i], X, numbers))
    return [Signals.together(part) for part in parts]


class _Numbers:
    """Random numbers of mean 0 and variance 1 for the weights and biases of some nets."""

    def __init__(self, X: Tensor, size: Size, nets: range, seed: int, uniform: bool) -> None:
        self._generators = [torch.Generator(X.device).manual_seed(_net_seed(seed, n)) for n in nets]
        self._uniform, self._device = uniform, X.device
        width, after = size.width, size.layers
        self.top = self._draw(len(X), width)
        self.weights = [self._draw(width, width if i else X.shape[1]) for i in range(after + 1)]
        """The weights before each hidden layer and after the last, shape (net, unit, input)."""
        self.biases = [self._draw(1, width) for _ in range(after + 1)]

    def _draw(self, *shape: int) -> Tensor:
        """Return numbers of shape (net, *shape)."""
        out = torch.empty((len(self._generators), *shape), dtype=torch.float64, device=self._device)
        for net, generator in zip(out, self._generators, strict=True):
            if self._uniform:
                net.uniform_(-math.sqrt(3), math.sqrt(3), generator=generator)
            else:
                net.normal_(generator=generator)
        return out


def _net_seed(seed: int, net: int) -> int:
    return int(np.random.SeedSequence([seed, net]).generate_state(1, np.uint64)[0] >> 1)


def _measure(curve: Curve, how: Initialisation, X: Tensor, numbers: _Numbers) -> Signals:
    slopes, units, lengths, apart = (list[Tensor]() for _ in range(4))
    a = X.expand(len(numbers.top), -1, -1)
    for i, (weight, bias) in enumerate(zip(numbers.weights, numbers.biases, strict=True)):
        law = how.hidden if i else how.first
        z = torch.baddbmm(
            bias, _centred(a, law), weight.mT, beta=math.sqrt(law.sigma_b2), alpha=_scale(law, a)
        )
        lengths.append(z.square().mean(2).log().mean(1))
        apart.append(_distance(z).mean(1))
        if i < len(numbers.weights) - 1:
            a, slope = curve.at(z)
            slopes.append(slope)
            units.append(_verdicts(a, slope))
    gradients = _backward(numbers.top, numbers.weights[1:], slopes, how.hidden)
    found = [torch.stack(lengths, 1), gradients, torch.stack(apart, 1), *torch.stack(units, 2)]
    return Signals(*(each.double().cpu().numpy() for each in found))


def _centred(a: Tensor, law: Law) -> Tensor:
    """Subtract the mean over inputs, as weights do whose rows are centred."""
    return a - a.mean(2, keepdim=True) if law.centred else a


def _scale(law: Law, a: Tensor) -> float:
    """Return the standard deviation of the weights that act on a."""
    return math.sqrt(law.sigma_w2 / max(1, a.shape[2] - law.centred))


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


def _backward(top: Tensor, weights: Sequence[Tensor], slopes: Sequence[Tensor], law: Law) -> Tensor:
    """Return the log mean square of the gradient at each layer, shape (net, layer)."""
    gradient, log = _normalised(top)
    # The random vector at the top has length 1 in the mean, but not exactly.
    logs = [torch.zeros_like(log)]
    for weight, slope in zip(reversed(weights), reversed(slopes), strict=True):
        into = _centred(gradient @ weight, law)
        gradient, log = _normalised(into * slope * _scale(law, into))
        logs.append(logs[-1] + log)
    return torch.stack([each.mean(1) for each in reversed(logs)], 1)


def _normalised(gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Scale each sample's gradient to mean square 1; return it and the log of its mean square."""
    square = gradient.square().mean(2, keepdim=True)
    return gradient / square.sqrt().clamp(min=1e-150), square[..., 0].log()
