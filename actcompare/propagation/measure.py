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
from actcompare.propagation.theory.maps import Law
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
    space = _Numbers.space(X, replace(size, nets=together))
    for begun in range(0, size.nets, together):
        if begun and not more(begun):
            break
        nets = range(begun, min(begun + together, size.nets))
        for uniform in (False, True):
            chosen = [i for i, (_, how) in enumerate(cases) if how.uniform == uniform]
            numbers = space.drawn(nets, seed, uniform) if chosen else space
            for i in chosen:
                parts[i].append(_measure(*cases[i], X, numbers))
    return [Signals.together(part) for part in parts]


@dataclass(frozen=True)
class _Numbers:
    """Random numbers of mean 0 and variance 1 for the weights and biases of some nets."""

    top: Tensor
    """The gradient at the top, shape (net, sample, unit)."""
    weights: list[Tensor]
    """The weights before each hidden layer and after the last, shape (net, unit, input)."""
    biases: list[Tensor]
    """Their biases, shape (net, 1, unit)."""

    @classmethod
    def space(cls, X: Tensor, size: Size) -> "_Numbers":
        """Return memory for them, which is drawn into again and again."""

        def empty(*shape: int) -> Tensor:
            return torch.empty((size.nets, *shape), dtype=torch.float64, device=X.device)

        width, after = size.width, size.layers
        return cls(
            empty(len(X), width),
            [empty(width, width if i else X.shape[1]) for i in range(after + 1)],
            [empty(1, width) for _ in range(after + 1)],
        )

    def drawn(self, nets: range, seed: int, uniform: bool) -> "_Numbers":
        """Draw the numbers of some nets, and return them."""
        count, device = len(nets), self.top.device
        generators = [torch.Generator(device).manual_seed(_net_seed(seed, net)) for net in nets]

        def draw(into: Tensor) -> Tensor:
            for net, generator in zip(into, generators, strict=False):
                if uniform:
                    net.uniform_(-math.sqrt(3), math.sqrt(3), generator=generator)
                else:
                    net.normal_(generator=generator)
            return into[:count]

        return _Numbers(
            draw(self.top), [draw(each) for each in self.weights], [draw(b) for b in self.biases]
        )


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
        length = z.square().mean(2)
        lengths.append(length.log().mean(1))
        apart.append(_distance(z, length).mean(1))
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


def _distance(z: Tensor, length: Tensor) -> Tensor:
    """Return 1 - c of neighbouring samples, shape (net, pair).

    Args:
        z: Pre-activations, shape (net, sample, unit).
        length: Their mean squares, shape (net, sample).
    """
    unit = z * length.rsqrt()[..., None]
    first, second = unit[:, : len(unit[0]) // 2 * 2 : 2], unit[:, 1::2]
    return (second - first).square().mean(2) / 2


def _verdicts(a: Tensor, slope: Tensor) -> Tensor:
    """Return the shares of zero-dead, gradient-dead and constant units, shape (3, net)."""
    mean = a.mean(1)
    square = a.square().mean(1)
    # The difference of both is exact enough: a spread of CONSTANT_SPREAD is far above rounding.
    constant = square - mean * mean <= (CONSTANT_SPREAD * mean) ** 2
    found = [square == 0, slope.abs().amax(1) <= EPS, constant]
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
