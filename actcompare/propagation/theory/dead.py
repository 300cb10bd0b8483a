"""Dead units by theory: those that no sample excites, and nets that are born dead."""

import itertools
import math
from collections import Counter

import numpy as np
import torch

from actcompare.activations.gaussian import Array, Curve

_T = np.linspace(-12, 12, 2**15 + 1)

_NODES = torch.from_numpy(_T)
"""The trapezoidal rule is exact to rounding for smooth functions that vanish at both ends."""

_WEIGHTS = torch.from_numpy(np.exp(-_T * _T / 2) / math.sqrt(2 * math.pi) * (24 / 2**15))


def zero_regions(curve: Curve) -> list[tuple[float, float]]:
    """Return the intervals on which f is 0, between the places where it bends or jumps."""
    ends = [-math.inf, *sorted(curve.breaks), math.inf]
    found = []
    for low, high in itertools.pairwise(ends):
        inside = torch.linspace(max(low, -64), min(high, 64), 9, dtype=torch.float64)[1:-1]
        if bool((curve.values(inside) == 0).all()):
            found.append((low, high))
    return found


def zero_dead_share(curve: Curve, q: float, distance: float, samples: int) -> float:
    """Return the expected share of units that are 0 on every sample.

    The pre-activations of a unit on the samples are normal with variance q and pairwise correlation
    c: sqrt(q) (sqrt(c) t + sqrt(1 - c) s_i), with normal t and s_i. As c goes to 1, the share goes
    to the probability for a single sample: samples have become alike.

    Args:
        curve: The activation.
        q: Variance of the pre-activations.
        distance: 1 - c; a negative correlation counts as 0.
        samples: Number of samples.
    """
    regions = zero_regions(curve)
    if not regions or not (q > 0 and math.isfinite(q) and math.isfinite(distance)):
        return math.nan if regions else 0.0
    own = min(1.0, max(distance, 1e-300))
    shared, alone = math.sqrt(1 - own), math.sqrt(own)
    inside = torch.zeros_like(_NODES)
    for low, high in regions:
        ends = [(end / math.sqrt(q) - shared * _NODES) / alone for end in (low, high)]
        inside += torch.special.ndtr(ends[1]) - torch.special.ndtr(ends[0])
    return float((_WEIGHTS * inside**samples).sum())


def born_dead_share(width: int, layers: int) -> float:
    """Return the share of relu nets in which some layer is 0 on one given sample.

    Each unit is 0 with probability 1/2 if weights and biases are symmetric. For several samples
    this is an upper bound.
    """
    return float(-np.expm1(layers * np.log1p(-(0.5**width))))


def mean_zero_dead(curve: Curve, log_q: Array, distance: Array, samples: int) -> float:
    """Return the mean of `zero_dead_share` over layers."""
    layers = Counter(zip(np.exp(np.clip(log_q, -300, 300)), distance, strict=True))
    shares = (
        count * zero_dead_share(curve, float(q), float(each), samples)
        for (q, each), count in layers.items()
    )
    return sum(shares) / len(log_q)
