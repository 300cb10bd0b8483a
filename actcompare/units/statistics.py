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

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from actcompare.activations.derivatives import backward_through

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

    def of(self, units: slice) -> "UnitStatistics":
        """Of some of the units, as of a layer of their own."""
        parts: dict[str, Any] = {
            name: value[units] for name, value in vars(self).items() if isinstance(value, Tensor)
        }
        return replace(self, **parts)

    @property
    def sparsity(self) -> float:
        """Share of the layer's activations that are exactly 0."""
        return 1 - float(self.nonzero.mean()) / self.values

    @property
    def layer_mean(self) -> float:
        """Mean of all of the layer's activations."""
        return float(self.mean.mean())

    @property
    def layer_variance(self) -> float:
        """Variance of all of the layer's activations, over units, samples and space."""
        within = float(self.squares.mean()) / self.values
        return within + float((self.mean - self.mean.mean()).square().mean())

    @property
    def not_finite(self) -> Tensor:
        """Whether a unit's activation was ever infinite or NaN, of shape (unit,)."""
        return ~(self.low.isfinite() & self.high.isfinite())


_LONG = 64
"""Positions in space from which on they are reduced before samples are."""

_LONG_ROW = 256
"""Positions in space from which on reducing them pays for more calls."""

_CANCELS = 1e-2
"""A variance below this share of the squared mean is computed from differences."""

_PENDING = 32
"""Summaries of batches that are kept before they are put together."""


class _Summary(NamedTuple):
    """What was seen in some batches, as it was computed; each tensor is of shape (unit,)."""

    samples: int
    values: int
    mean: Tensor
    variance: Tensor
    high: Tensor
    nonzero: Tensor
    low: Tensor | None
    """None for 0."""
    mean_abs: Tensor | None
    """None for the mean."""
    slope: Tensor | None
    """The largest |f'|; None for 1 where anything is not 0, and 0 elsewhere."""
    flat: Tensor | None
    """None for all that is 0."""


class Scratch:
    """Memory to work in, kept from one batch to the next: new pages cost as much as two passes."""

    def __init__(self) -> None:
        self._kept: dict[torch.dtype, Tensor] = {}
        self._views: dict[tuple[torch.dtype, torch.Size], Tensor] = {}

    def like(self, t: Tensor) -> Tensor:
        """Of the shape and dtype of a tensor, with anything in it."""
        if t.device.type != "cpu":  # where torch keeps memory itself
            return torch.empty_like(t)
        view = self._views.get((t.dtype, t.shape))
        if view is None:
            kept = self._kept.get(t.dtype)
            if kept is None or kept.numel() < t.numel():
                kept = self._kept[t.dtype] = torch.empty(t.numel(), dtype=t.dtype)
                self._views.clear()
            view = self._views[t.dtype, t.shape] = kept[: t.numel()].view(t.shape)
        return view


class UnitAccumulator:
    """Statistics of a layer's units over batches of any size, fed one after the other.

    Feed it what a layer computes in `eval()` mode:

        >>> import torch
        >>> seen = UnitAccumulator(2)
        >>> z = torch.tensor([[1.0, -1.0], [2.0, -3.0]])
        >>> seen.update(*slopes(torch.relu, z))
        >>> seen.statistics().verdicts()["zero_dead"]
        tensor([False,  True])
    """

    def __init__(self, units: int, eps: float = EPS, scratch: Scratch | None = None) -> None:
        self.units, self.eps = units, eps
        self._scratch = scratch
        self._seen: list[_Summary] = []

    def update(
        self,
        activations: Tensor,
        slopes: Tensor | None,
        *,
        axis: int = 1,
        samples: int | None = None,
    ) -> None:
        """Take in a batch.

        Args:
            activations: f(z), shape (sample, unit), or (sample, channel, ...) for a convolution,
                whose units are its channels, reduced over samples and space.
            slopes: f'(z), of the same shape; None for relu, whose slope is 1 where the activation
                is not 0, and 0 elsewhere.
            axis: where the units lie; -1 for sequences of shape (sample, time, unit).
            samples: how many samples the batch is of; the length of the first axis by default.

        Raises:
            ValueError: the shapes differ from each other, or from the number of units.
        """
        shape = activations.shape
        fits = -len(shape) <= axis < len(shape) and shape[axis] == self.units
        if not fits or (slopes is not None and slopes.shape != shape):
            of_slopes = "none" if slopes is None else tuple(slopes.shape)
            raise ValueError(
                f"activations of shape {tuple(shape)} and slopes of shape {of_slopes} are not"
                f" (sample, {self.units}, ...)"
            )
        if activations.numel() == 0:
            return
        seen = _summarise(
            _in_columns(activations.detach(), axis),
            None if slopes is None else _in_columns(slopes.detach(), axis),
            len(activations) if samples is None else samples,
            self.eps,
            self._scratch or Scratch(),
        )
        self._seen.append(seen)
        if len(self._seen) > _PENDING:
            self._seen = [_together(self._seen)]

    def merge(self, other: "UnitAccumulator") -> None:
        """Take in all that another one has seen of the same units.

        Raises:
            ValueError: it is for another number of units, or another eps.
        """
        if (other.units, other.eps) != (self.units, self.eps):
            raise ValueError(
                f"{other.units} units with eps {other.eps} are not {self.units} with {self.eps}"
            )
        self._seen += other._seen

    def statistics(self) -> UnitStatistics:
        """What was seen so far.

        Raises:
            ValueError: nothing was.
        """
        if not self._seen:
            raise ValueError("no sample was seen")
        self._seen = [_together(self._seen)]
        (seen,) = self._seen
        low, mean_abs, slope, flat = seen.low, seen.mean_abs, seen.slope, seen.flat
        assert low is not None
        assert mean_abs is not None
        assert slope is not None
        assert flat is not None
        return UnitStatistics(
            samples=seen.samples,
            values=seen.values,
            nonzero=seen.nonzero.cpu(),
            low=low.cpu(),
            high=seen.high.cpu(),
            mean=seen.mean.cpu(),
            squares=seen.values * seen.variance.cpu(),
            mean_abs=mean_abs.cpu(),
            slope=slope.cpu(),
            flat=flat.cpu(),
            eps=self.eps,
        )


def firing_rate_bound(samples: int) -> float:
    """How often a unit that was silent on all of n samples may still fire, at 95 % confidence.

    The rate p at which n silent samples have probability 0.05: 1 - 0.05^(1/n), about 3/n.
    """
    return float(1 - 0.05 ** (1 / samples))


def _in_columns(t: Tensor, axis: int) -> Tensor:
    """The same values in shape (outer, unit, inner), copied only where memory asks for it."""
    if t.dim() == 2 and axis in (1, -1):
        return t.unsqueeze(2)
    axis %= t.dim()
    if t.stride(axis) == 1:  # channels last
        t, axis = t.movedim(axis, -1), t.dim() - 1
    inner = math.prod(t.shape[axis + 1 :])
    return t.reshape(-1, t.shape[axis], inner)


def _over_units(t: Tensor, how: str) -> Tensor:
    """A reduction over the outer and the inner axis of (outer, unit, inner), one after the other.

    In the order that a CPU can vectorise, which takes a tenth of the time of both at once.
    """
    inner = t.shape[2]
    if inner == 1:
        return getattr(t, how)((0, 2))  # type: ignore[no-any-return]
    if inner >= _LONG:
        return getattr(getattr(t, how)(2), how)(0)  # type: ignore[no-any-return]
    return getattr(getattr(t.flatten(1), how)(0).view(-1, inner), how)(1)  # type: ignore[no-any-return]


def _summarise(
    a: Tensor, slopes: Tensor | None, samples: int, eps: float, scratch: Scratch
) -> _Summary:
    """What is in a and its slopes, of shape (outer, unit, inner).

    This is to be small beside the layer's own arithmetic. Every pass over memory counts, and for
    small layers every call: what can wait is done for many batches at once, in `_together`. On a
    CPU aminmax, norms and sums of truth values take ten times as long as what is used here.
    """
    if a.dtype in (torch.float16, torch.bfloat16):  # whose sums would stand still
        a = a.float()
    values, buffer = a.shape[0] * a.shape[2], scratch.like(a)
    on_cpu = a.device.type == "cpu"  # elsewhere a look at a number would wait for the device
    mean, variance = _moments(a, buffer)
    high = _over_units(a, "amax")
    nonzero = _over_units(torch.ne(a, 0, out=buffer), "sum")
    low = mean_abs = slope = flat = None
    if slopes is None:
        if not (on_cpu and float(nonzero.max()) < values):  # else there are zeros in every unit
            low = _over_units(a, "amin")
    else:
        low = _over_units(a, "amin")
        if not (on_cpu and float(low.min()) >= 0):
            mean_abs = _over_units(torch.abs(a, out=buffer), "mean")
        slope = _over_units(torch.abs(slopes.to(a.dtype), out=buffer), "amax")
        flat = _over_units(torch.le(buffer, eps, out=buffer), "sum")
    return _Summary(samples, values, mean, variance, high, nonzero, low, mean_abs, slope, flat)


def _moments(a: Tensor, buffer: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of each unit, both of shape (unit,)."""
    outer, units, inner = a.shape
    if a.device.type != "cpu":
        variance, mean = torch.var_mean(a, (0, 2), correction=0)
        return mean, variance
    if inner >= _LONG_ROW:
        mean = _over_units(a, "sum").double() / (outer * inner)
        variance = _mean_square(a) - mean**2
        if bool((variance < _CANCELS * mean**2).any()):
            variance = _mean_square(torch.sub(a, mean.to(a.dtype)[:, None], out=buffer))
        return mean, variance
    # Batch norm's statistics are one call without a copy, vectorised for channels last.
    last = a.view(outer, 1, 1, units).permute(0, 3, 1, 2) if inner == 1 else a
    mean, variance = torch.batch_norm_update_stats(last, None, None, 0.0)
    return mean, variance


def _mean_square(a: Tensor) -> Tensor:
    """Of each unit of (outer, unit, inner), shape (unit,)."""
    rows: Tensor = torch.linalg.vector_norm(a, dim=2).double()
    return rows.square_().sum(0) / (a.shape[0] * a.shape[2])


def _together(seen: Sequence[_Summary]) -> _Summary:
    """All of them, in float64; variances as in Chan, Golub and LeVeque (1983)."""
    if len(seen) == 1:
        return _whole(seen[0])
    nothing = torch.zeros_like(seen[0].mean)

    def stacked(name: str) -> tuple[Tensor, Tensor]:
        """A field of shape (summary, unit), and where it was given, of shape (summary, 1)."""
        found = [getattr(each, name) for each in seen]
        given = torch.tensor([part is not None for part in found])[:, None]
        parts = torch.stack([nothing if part is None else part for part in found])
        return _in_float64(parts), given.to(parts.device)

    means, variances, high, nonzero = (
        stacked(name)[0] for name in ("mean", "variance", "high", "nonzero")
    )
    (low, _), (means_abs, has_abs) = stacked("low"), stacked("mean_abs")
    (slope, has_slope), (flat, has_flat) = stacked("slope"), stacked("flat")
    counts = means.new_tensor([each.values for each in seen])[:, None]
    values = sum(each.values for each in seen)
    shares = counts / values
    mean = (shares * means).sum(0)
    return _Summary(
        samples=sum(each.samples for each in seen),
        values=values,
        mean=mean,
        variance=(shares * (variances + (means - mean).square())).sum(0),
        high=high.amax(0),
        nonzero=nonzero.sum(0),
        low=low.amin(0),
        mean_abs=(shares * torch.where(has_abs, means_abs, means)).sum(0),
        slope=torch.where(has_slope, slope, nonzero.clamp(max=1)).amax(0),
        flat=torch.where(has_flat, flat, counts - nonzero).sum(0),
    )


def _whole(seen: _Summary) -> _Summary:
    """One of them, in float64, with what was left to follow."""
    mean, nonzero = seen.mean, seen.nonzero
    rows = torch.stack(
        [
            mean,
            seen.variance,
            seen.high,
            nonzero,
            torch.zeros_like(mean) if seen.low is None else seen.low,
            mean if seen.mean_abs is None else seen.mean_abs,
            nonzero.clamp(max=1) if seen.slope is None else seen.slope,
            seen.values - nonzero if seen.flat is None else seen.flat,
        ]
    )
    return _Summary(seen.samples, seen.values, *_in_float64(rows).unbind())


def _in_float64(t: Tensor) -> Tensor:
    """Where it was computed, but on an Apple GPU, which has no float64."""
    return t.cpu().double() if t.device.type == "mps" else t.double()


def slopes(function: Callable[[Tensor], Tensor], z: Tensor) -> tuple[Tensor, Tensor]:
    """f(z) and f'(z) of an elementwise function, both of the shape of z, by autograd."""
    z = z.detach().requires_grad_()
    with torch.enable_grad():
        a = function(z)
    return a.detach(), backward_through(
        a, z, torch.ones((), dtype=a.dtype, device=a.device).expand_as(a)
    )


SHARES = tuple(f"{verdict}_share" for verdict in VERDICTS)


def with_shares(columns: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    """Columns of layers with each verdict's count also as a share of the units."""
    shares = {
        f"{verdict}_share": list(np.divide(columns[verdict], columns["units"]).tolist())
        for verdict in VERDICTS
        if columns
    }
    return {**{name: list(values) for name, values in columns.items()}, **shares}
