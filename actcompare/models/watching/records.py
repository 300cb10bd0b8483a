"""Records of the activations seen in a model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from torch import Tensor

from actcompare.table import Table
from actcompare.units.statistics import EPS, VERDICTS, UnitStatistics, firing_rate_bound
from actcompare.units.wording import UNIT


@dataclass(frozen=True)
class WatchedLayer:
    """The units of one use of an activation, over all of its samples."""

    module: str
    """Path of the module that calls the activation; empty for the model itself."""
    use: str
    """SPEC of the activation, or the name of a user's function."""
    number: int
    """Index of this call of the module in a forward pass, from 1."""
    statistics: UnitStatistics = field(repr=False)
    role: str = UNIT
    """What the activation is for: a unit, or one of `actcompare.units.wording.ROLES`."""

    @property
    def name(self) -> str:
        """`blocks.2.mlp / gelu`, or `layer1.0 / relu #2` for a second use."""
        return name_of(self.module, self.use, self.number)

    @cached_property
    def verdicts(self) -> Mapping[str, Tensor]:
        """Whether each verdict applies, bool of shape (unit,)."""
        return self.statistics.verdicts()

    @property
    def units(self) -> int:
        """Number of units."""
        return len(self.statistics.mean)

    def counts(self) -> dict[str, int]:
        """Return the number of units that each verdict applies to."""
        return {verdict: int(self.verdicts[verdict].sum()) for verdict in VERDICTS}

    @property
    def dead(self) -> int:
        """Number of units that are zero-dead or gradient-dead."""
        return int((self.verdicts["zero_dead"] | self.verdicts["gradient_dead"]).sum())

    def row(self) -> dict[str, Any]:
        """Return the tidy record."""
        seen = self.statistics
        return {
            "layer": self.name,
            "module": self.module,
            "activation": self.use,
            "role": self.role,
            "units": self.units,
            **self.counts(),
            "sparsity": seen.sparsity,
            "near_zero": seen.near_zero,
            "mean": seen.layer_mean,
            "variance": seen.layer_variance,
            "not_finite": int(seen.not_finite.sum()),
            "samples": seen.samples,
            "values": seen.values,
            "firing_rate_bound": firing_rate_bound(seen.samples),
        }

    def unit_columns(self) -> dict[str, list[Any]]:
        """Return tidy columns: one record per unit."""
        seen = self.statistics
        return {
            "layer": [self.name] * self.units,
            "unit": list(range(self.units)),
            "samples": [seen.samples] * self.units,
            "values": [seen.values] * self.units,
            "nonzero": [int(count) for count in seen.nonzero],
            "near_zero": [int(count) for count in seen.near],
            "low": seen.low.tolist(),
            "high": seen.high.tolist(),
            "mean": seen.mean.tolist(),
            "std": (seen.squares / seen.values).sqrt().tolist(),
            "mean_abs": seen.mean_abs.tolist(),
            "max_abs_slope": seen.slope.tolist(),
            "flat": [int(count) for count in seen.flat],
            **{name: [int(held) for held in holds] for name, holds in self.verdicts.items()},
        }


def name_of(module: str, use: str, number: int) -> str:
    """Return the name of a use of an activation."""
    return f"{module or '(model)'} / {use}" + (f" #{number}" if number > 1 else "")


@dataclass(frozen=True)
class Unseen:
    """Something in a model that is or may be an activation, but cannot be watched."""

    where: str
    """Name of the use, or path of the module."""
    why: str

    def __str__(self) -> str:
        return f"{self.where}: {self.why}"


def layer_columns(layers: Sequence[WatchedLayer]) -> Table:
    """Return tidy columns: one record per use of an activation."""
    return Table.of([layer.row() for layer in layers])


def total_of(layers: Sequence[WatchedLayer]) -> dict[str, Any]:
    """Return the totals over layers of units: their number, count and share for each verdict."""
    layers = [layer for layer in layers if layer.role == UNIT]
    units = sum(layer.units for layer in layers)
    counts = {name: sum(layer.counts()[name] for layer in layers) for name in VERDICTS}
    shares = {f"{name}_share": count / units if units else 0.0 for name, count in counts.items()}
    return {"layers": len(layers), "units": units, **counts, **shares, "eps": EPS}
