"""What the units of a layer do over a data set: streamed statistics, and verdicts on each unit.

A unit's activation is a = f(z). Verdicts, each a criterion over all samples seen:

zero_dead       a == 0 on every sample
gradient_dead   |f'(z)| <= eps on every sample
gradient_zero   f'(z) == 0 on every sample
constant        std(a) <= 1e-3 |mean(a)|, or std(a) == 0
dormant         mean |a| <= tau times the layer's mean of it (Sokar et al. 2023, "The dormant neuron
                phenomenon in deep reinforcement learning")
saturated       |f'(z)| <= eps on at least 95 % of samples
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from actcompare.derivatives import backward_through

VERDICTS = ("zero_dead", "gradient_dead", "gradient_zero", "constant", "dormant", "saturated")
EPS = 1e-3
TAU = 0.025
SATURATED_SHARE = 0.95
CONSTANT_SPREAD = 1e-3


@dataclass(frozen=True)
class UnitStatistics:
    """What was seen of each unit; every tensor is float64 of shape (unit,), on the CPU."""

    samples: int
    values: int
    """Activations seen of each unit: samples times positions in space."""
    nonzero: Tensor
    """How many of them are not 0."""
    low: Tensor
    high: Tensor
    mean: Tensor
    squares: Tensor
    """Sum of squared differences from the mean (Welford's M2)."""
    mean_abs: Tensor
    slope: Tensor
    """Largest |f'(z)|."""
    flat: Tensor
    """How many of the values have |f'(z)| <= eps."""
    eps: float

    def verdicts(self, tau: float = TAU) -> dict[str, Tensor]:
        """For each of VERDICTS whether it holds, of shape (unit,)."""
        std = (self.squares / self.values).sqrt()
        return {
            "zero_dead": self.nonzero == 0,
            "gradient_dead": self.slope <= self.eps,
            "gradient_zero": self.slope == 0,
            "constant": std <= CONSTANT_SPREAD * self.mean.abs(),
            "dormant": self.mean_abs <= tau * self.mean_abs.mean(),
            "saturated": self.flat >= SATURATED_SHARE * self.values,
        }

    @property
    def sparsity(self) -> float:
        """Share of the layer's activations that are exactly 0."""
        return 1 - float(self.nonzero.mean()) / self.values


_COLUMNS = ("nonzero", "low", "high", "mean", "squares", "mean_abs", "slope", "flat")


class UnitAccumulator:
    """Statistics of a layer's units over batches of any size, fed one after the other.

    Feed it what a layer computes in `eval()` mode:

        seen = UnitAccumulator(64)
        seen.update(f(z), slopes(f, z))
        seen.statistics().verdicts()["zero_dead"]
    """

    def __init__(self, units: int, eps: float = EPS) -> None:
        self.units, self.eps = units, eps
        self._seen: UnitStatistics | None = None

    def update(self, activations: Tensor, slopes: Tensor) -> None:
        """Take in a batch.

        Args:
            activations: f(z), shape (sample, unit), or (sample, channel, ...) for a convolution,
                whose units are its channels, reduced over samples and space.
            slopes: f'(z), of the same shape.

        Raises:
            ValueError: the shapes differ from each other, or from the number of units.
        """
        if activations.shape != slopes.shape or activations.shape[1:2] != (self.units,):
            raise ValueError(
                f"activations of shape {tuple(activations.shape)} and slopes of shape"
                f" {tuple(slopes.shape)} are not (sample, {self.units}, ...)"
            )
        if len(activations) == 0:
            return
        seen = _summarise(activations.detach(), slopes.detach(), self.eps)
        self._seen = seen if self._seen is None else _merge(self._seen, seen)

    def merge(self, other: "UnitAccumulator") -> None:
        """Take in all that another one has seen of the same units.

        Raises:
            ValueError: it is for another number of units, or another eps.
        """
        if (other.units, other.eps) != (self.units, self.eps):
            raise ValueError(
                f"{other.units} units with eps {other.eps} are not {self.units} with {self.eps}"
            )
        if other._seen is not None:
            self._seen = other._seen if self._seen is None else _merge(self._seen, other._seen)

    def statistics(self) -> UnitStatistics:
        """What was seen so far.

        Raises:
            ValueError: nothing was.
        """
        if self._seen is None:
            raise ValueError("no sample was seen")
        return self._seen


def firing_rate_bound(samples: int) -> float:
    """How often a unit that was silent on all of n samples may still fire, at 95 % confidence.

    The rate p at which n silent samples have probability 0.05: 1 - 0.05^(1/n), about 3/n.
    """
    return float(1 - 0.05 ** (1 / samples))


def _summarise(a: Tensor, slopes: Tensor, eps: float) -> UnitStatistics:
    samples = len(a)
    if a.dtype in (torch.float16, torch.bfloat16):  # whose sums would stand still
        a, slopes = a.float(), slopes.float()
    if a.dim() > 2:
        a, slopes = (t.transpose(0, 1).flatten(1).T for t in (a, slopes))
    # On a CPU var_mean, aminmax and sums of truth values take ten times as long as these.
    low, high, mean = a.amin(0), a.amax(0), a.mean(0)
    squares = (a - mean).square_().sum(0)
    nonzero = a.clone().ne_(0).sum(0)
    mean_abs = mean if bool((low >= 0).all()) else a.abs().mean(0)
    steep = slopes.abs()
    slope = steep.amax(0)
    flat = steep.le_(eps).sum(0)
    found = torch.stack([nonzero, low, high, mean, squares, mean_abs, slope, flat]).cpu().double()
    columns = dict(zip(_COLUMNS, found.unbind(), strict=True))
    return UnitStatistics(samples, len(a), eps=eps, **columns)


def _merge(one: UnitStatistics, two: UnitStatistics) -> UnitStatistics:
    """Both together; mean and squares as in Chan, Golub and LeVeque (1983)."""
    values = one.values + two.values
    share = two.values / values
    step = two.mean - one.mean
    return UnitStatistics(
        samples=one.samples + two.samples,
        values=values,
        nonzero=one.nonzero + two.nonzero,
        low=torch.minimum(one.low, two.low),
        high=torch.maximum(one.high, two.high),
        mean=one.mean + share * step,
        squares=one.squares + two.squares + step**2 * one.values * share,
        mean_abs=one.mean_abs + share * (two.mean_abs - one.mean_abs),
        slope=torch.maximum(one.slope, two.slope),
        flat=one.flat + two.flat,
        eps=one.eps,
    )


def slopes(function: torch.nn.Module, z: Tensor) -> tuple[Tensor, Tensor]:
    """f(z) and f'(z) of an elementwise function, both of the shape of z, by autograd."""
    z = z.detach().requires_grad_()
    with torch.enable_grad():
        a = function(z)
    return a.detach(), backward_through(a, z, torch.ones_like(a))
