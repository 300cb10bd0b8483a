"""Streamed statistics of a layer's units over a data set, and verdicts on each unit.

A unit's activation is a = f(z), where z is its pre-activation. Verdicts, each over all samples:

zero_dead       a == 0 on every sample
gradient_dead   |f'(z)| <= eps on every sample
gradient_zero   f'(z) == 0 on every sample
constant        std(a) <= 1e-3 |mean(a)|, or std(a) == 0
dormant         mean |a| <= tau times the layer's mean of mean |a| (Sokar et al. 2023,
                "The dormant neuron phenomenon in deep reinforcement learning")
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
from actcompare.stats import unseen_share

VERDICTS = ("zero_dead", "gradient_dead", "gradient_zero", "constant", "dormant", "saturated")

EPS = 1e-3
"""Largest |f'(z)| that counts as practically no gradient."""

TAU = 0.025
"""Largest mean |a| of a dormant unit, relative to the layer's mean."""

SATURATED_SHARE = 0.95
"""Smallest share of samples on which a saturated unit has |f'(z)| <= EPS."""

NEAR_ZERO = 0.05
"""Largest |a| of an activation that is near zero, as fastai's ActivationStats has it."""

CONSTANT_SPREAD = 1e-3
"""Largest standard deviation of a constant unit, relative to |mean|."""


@dataclass(frozen=True)
class UnitStatistics:
    """Statistics of each unit; every tensor is float64 of shape (unit,), on the CPU."""

    samples: int
    values: int
    """Activations per unit: samples times positions in space or time."""
    nonzero: Tensor
    """Number of activations that are not 0."""
    near: Tensor
    """Number of activations with |a| <= NEAR_ZERO."""
    low: Tensor
    high: Tensor
    mean: Tensor
    squares: Tensor
    """Sum of squared differences from the mean (Welford's M2)."""
    mean_abs: Tensor
    slope: Tensor
    """Largest |f'(z)|."""
    flat: Tensor
    """Number of values with |f'(z)| <= eps."""
    eps: float

    def verdicts(self, tau: float = TAU) -> dict[str, Tensor]:
        """Return whether each of VERDICTS applies, bool of shape (unit,)."""
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
        """Return the statistics of some of the units, as if they were a layer."""
        parts: dict[str, Any] = {
            name: value[units] for name, value in vars(self).items() if isinstance(value, Tensor)
        }
        return replace(self, **parts)

    @property
    def sparsity(self) -> float:
        """Share of the layer's activations that are exactly 0."""
        return 1 - float(self.nonzero.mean()) / self.values

    @property
    def near_zero(self) -> float:
        """Share of the layer's activations with |a| <= NEAR_ZERO."""
        return float(self.near.mean()) / self.values

    @property
    def layer_mean(self) -> float:
        """Mean of all activations of the layer."""
        return float(self.mean.mean())

    @property
    def layer_variance(self) -> float:
        """Variance of all activations of the layer, over units, samples and space."""
        within = float(self.squares.mean()) / self.values
        return within + float((self.mean - self.mean.mean()).square().mean())

    @property
    def not_finite(self) -> Tensor:
        """Whether each unit's activation was ever infinite or NaN, bool of shape (unit,)."""
        return ~(self.low.isfinite() & self.high.isfinite())


_LONG = 64
"""Positions in space from which they are reduced before samples."""

_LONG_ROW = 256
"""Positions in space from which reducing them first is worth the extra calls."""

_CANCELS = 1e-2
"""Variances below this share of the squared mean are recomputed from centred values."""

_AT_ONCE = 2**20
"""Most activations summarised at once on a CPU: few enough to stay in its cache between passes."""

_PENDING = 32
"""Number of batch summaries collected before they are merged."""


class _Summary(NamedTuple):
    """Statistics of some batches in the computing dtype; each tensor has shape (unit,)."""

    samples: int
    values: int
    mean: Tensor
    variance: Tensor
    high: Tensor
    nonzero: Tensor
    near: Tensor
    low: Tensor | None
    """Smallest activation; None means 0."""
    mean_abs: Tensor | None
    """Mean |a|; None means that it equals the mean."""
    slope: Tensor | None
    """Largest |f'|; None means 1 for a unit with an activation that is not 0, and 0 otherwise."""
    flat: Tensor | None
    """Number of values with |f'| <= eps; None means the number of zeros."""


class Scratch:
    """Buffers reused across batches: new memory pages cost as much as two passes."""

    def __init__(self) -> None:
        self._kept: dict[torch.dtype, Tensor] = {}
        self._views: dict[tuple[torch.dtype, torch.Size], Tensor] = {}

    def like(self, t: Tensor) -> Tensor:
        """Return an uninitialised buffer of the shape and dtype of a tensor."""
        if t.device.type != "cpu":  # torch's allocator reuses memory there
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
    """Streamed statistics of a layer's units over batches of any size.

    Feed it the activations and slopes of a layer in `eval()` mode:

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
        """Add a batch.

        Args:
            activations: f(z), shape (sample, unit), or (sample, channel, ...) for a convolution.
                The units of a convolution are its channels, reduced over samples and space.
            slopes: f'(z), same shape; None for relu, whose slope is 1 if the activation is not 0,
                and 0 otherwise.
            axis: The axis of units; -1 for sequences of shape (sample, time, unit).
            samples: Number of samples in the batch; by default the length of the first axis.

        Raises:
            ValueError: The shapes differ, or do not match the number of units.
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
        a = _in_columns(activations.detach(), axis)
        d = None if slopes is None else _in_columns(slopes.detach(), axis)
        samples, scratch = (
            len(activations) if samples is None else samples,
            self._scratch or Scratch(),
        )
        rows = max(1, _AT_ONCE * len(a) // a.numel()) if a.device.type == "cpu" else len(a)
        for first in range(0, len(a), rows):
            some = slice(first, first + rows)
            part = None if d is None else d[some]
            self._seen.append(_summarise(a[some], part, samples, self.eps, scratch))
            samples = 0  # counted once
        if len(self._seen) > _PENDING:
            self._seen = [_together(self._seen)]

    def merge(self, other: "UnitAccumulator") -> None:
        """Add all batches of another accumulator of the same units.

        Raises:
            ValueError: The number of units or eps differs.
        """
        if (other.units, other.eps) != (self.units, self.eps):
            raise ValueError(
                f"cannot merge {other.units} units with eps {other.eps} into {self.units} units"
                f" with eps {self.eps}"
            )
        self._seen += other._seen

    def statistics(self) -> UnitStatistics:
        """Return the statistics over all batches so far.

        Raises:
            ValueError: There were no samples.
        """
        if not self._seen:
            raise ValueError("no samples: call update first")
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
            near=seen.near.cpu(),
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
    """Return the 95 % upper bound of the firing rate of a unit that fired on none of n samples."""
    return unseen_share(samples)


def _in_columns(t: Tensor, axis: int) -> Tensor:
    """Reshape to (outer, unit, inner), copying only if the memory layout requires it."""
    if t.dim() == 2 and axis in (1, -1):
        return t.unsqueeze(2)
    axis %= t.dim()
    if t.stride(axis) == 1:  # channels last
        t, axis = t.movedim(axis, -1), t.dim() - 1
    inner = math.prod(t.shape[axis + 1 :])
    return t.reshape(-1, t.shape[axis], inner)


def _over_units(t: Tensor, how: str) -> Tensor:
    """Reduce (outer, unit, inner) over the outer and the inner axis, one after the other.

    The order suits a CPU's vector units; reducing both axes at once takes ten times as long.
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
    """Summarise a batch of activations and slopes, both of shape (outer, unit, inner).

    This must be cheap compared with the layer itself: every pass over memory counts, and in small
    layers every call. `_together` does the rest for many batches at once. On a CPU, aminmax, norms
    and sums of bools take ten times as long as the operations used here.
    """
    if a.dtype in (torch.float16, torch.bfloat16):  # too few digits for sums
        a = a.float()
    values, buffer = a.shape[0] * a.shape[2], scratch.like(a)
    on_cpu = a.device.type == "cpu"  # elsewhere, reading a number would synchronise
    mean, variance = _moments(a, buffer)
    high = _over_units(a, "amax")
    nonzero = _over_units(torch.ne(a, 0, out=buffer), "sum")
    low = mean_abs = slope = flat = None
    if slopes is None:
        near = _over_units(torch.le(a, NEAR_ZERO, out=buffer), "sum")
        if not (on_cpu and float(nonzero.max()) < values):  # otherwise every unit has a zero
            low = _over_units(a, "amin")
    else:
        low = _over_units(a, "amin")
        size = a
        if not (on_cpu and float(low.min()) >= 0):
            size = torch.abs(a, out=buffer)
            mean_abs = _over_units(size, "mean")
        near = _over_units(torch.le(size, NEAR_ZERO, out=buffer), "sum")
        slope = _over_units(torch.abs(slopes.to(a.dtype), out=buffer), "amax")
        flat = _over_units(torch.le(buffer, eps, out=buffer), "sum")
    return _Summary(
        samples, values, mean, variance, high, nonzero, near, low, mean_abs, slope, flat
    )


def _moments(a: Tensor, buffer: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and variance of each unit, both of shape (unit,)."""
    outer, units, inner = a.shape
    if a.device.type != "cpu":
        variance, mean = torch.var_mean(a, (0, 2), correction=0)
        return mean, variance
    if inner == 1:  # batch norm computes both in one call, vectorised for channels last
        last = a.view(outer, 1, 1, units).permute(0, 3, 1, 2)
        mean, variance = torch.batch_norm_update_stats(last, None, None, 0.0)
        return mean, variance
    mean = _over_units(a, "sum").double() / (outer * inner)
    variance = _mean_square(a, buffer) - mean**2
    if bool((variance < _CANCELS * mean**2).any()):
        variance = _mean_square(torch.sub(a, mean.to(a.dtype)[:, None], out=buffer), buffer)
    return mean, variance


def _mean_square(a: Tensor, buffer: Tensor) -> Tensor:
    """Return the mean square of each unit of (outer, unit, inner), shape (unit,)."""
    count = a.shape[0] * a.shape[2]
    if a.shape[2] >= _LONG_ROW:
        rows: Tensor = torch.linalg.vector_norm(a, dim=2).double()
        return rows.square_().sum(0) / count
    return _over_units(torch.mul(a, a, out=buffer), "sum").double() / count


def _together(seen: Sequence[_Summary]) -> _Summary:
    """Merge summaries in float64; for variances see Chan, Golub and LeVeque (1983)."""
    if len(seen) == 1:
        return _whole(seen[0])
    nothing = torch.zeros_like(seen[0].mean)

    def stacked(name: str) -> tuple[Tensor, Tensor]:
        """Return a field, shape (summary, unit), and whether it is set, shape (summary, 1)."""
        found = [getattr(each, name) for each in seen]
        given = torch.tensor([part is not None for part in found])[:, None]
        parts = torch.stack([nothing if part is None else part for part in found])
        return _in_float64(parts), given.to(parts.device)

    means, variances, high, nonzero, near = (
        stacked(name)[0] for name in ("mean", "variance", "high", "nonzero", "near")
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
        near=near.sum(0),
        low=low.amin(0),
        mean_abs=(shares * torch.where(has_abs, means_abs, means)).sum(0),
        slope=torch.where(has_slope, slope, nonzero.clamp(max=1)).amax(0),
        flat=torch.where(has_flat, flat, counts - nonzero).sum(0),
    )


def _whole(seen: _Summary) -> _Summary:
    """Return a summary in float64, with None replaced by the value that it stands for."""
    mean, nonzero = seen.mean, seen.nonzero
    rows = torch.stack(
        [
            mean,
            seen.variance,
            seen.high,
            nonzero,
            seen.near,
            torch.zeros_like(mean) if seen.low is None else seen.low,
            mean if seen.mean_abs is None else seen.mean_abs,
            nonzero.clamp(max=1) if seen.slope is None else seen.slope,
            seen.values - nonzero if seen.flat is None else seen.flat,
        ]
    )
    return _Summary(seen.samples, seen.values, *_in_float64(rows).unbind())


def _in_float64(t: Tensor) -> Tensor:
    """Convert to float64 on the same device; on the CPU for MPS, which has no float64."""
    return t.cpu().double() if t.device.type == "mps" else t.double()


def slopes(function: Callable[[Tensor], Tensor], z: Tensor) -> tuple[Tensor, Tensor]:
    """Return f(z) and f'(z) of an elementwise function, in the shape of z, using autograd."""
    z = z.detach().requires_grad_()
    with torch.enable_grad():
        a = function(z)
    return a.detach(), backward_through(
        a, z, torch.ones((), dtype=a.dtype, device=a.device).expand_as(a)
    )


SHARES = tuple(f"{verdict}_share" for verdict in VERDICTS)


def with_shares(columns: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    """Return the columns of layers, with a share of units for each verdict added."""
    shares = {
        f"{verdict}_share": list(np.divide(columns[verdict], columns["units"]).tolist())
        for verdict in VERDICTS
        if columns
    }
    return {**{name: list(values) for name, values in columns.items()}, **shares}
