"""Compare properties of activations, each measured on the function itself."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from actcompare.activations.derivatives import Function, build_elementwise, differentiate, zero_edge
from actcompare.activations.smoothness import SYMBOLS, Jump, find_jumps, largest
from actcompare.activations.spec import Activation, Specs, parse_all
from actcompare.errors import ActcompareError
from actcompare.machine.devices import resolve_device, resolve_dtype
from actcompare.machine.environment import Environment, describe_environment
from actcompare.machine.processors import torch_threads
from actcompare.properties.explain import RARE, read_comparison
from actcompare.properties.records import ComparisonConfig, Properties
from actcompare.table import Table, Tabular

if TYPE_CHECKING:
    pass

NEAR = 30.0
"""[-NEAR, NEAR], where the shape of an activation shows, is probed most densely."""

NEAR_POINTS = 2**15

NORMAL_REACH = 9.0
"""P(|z| > 9) is 2e-19 for a standard normal z."""

NORMAL_POINTS = 2**18


@dataclass(frozen=True)
class Comparison(Tabular):
    """Properties of several activations."""

    config: ComparisonConfig
    environment: Environment
    properties: tuple[Properties, ...]

    @cached_property
    def table(self) -> Table:
        """The tidy records, one per activation."""
        return Table.of([asdict(each) for each in self.properties])

    def reading(self) -> str:
        """Describe what the properties mean for the choice of an activation."""
        return read_comparison(self.properties, self.config.dtype)


def compare(
    activations: Specs = ("relu", "softplus"),
    *,
    dtype: str | torch.dtype = "float32",
    device: str = "cpu",
) -> Comparison:
    """Compare activations property by property, in `dtype` on `device`.

    Raises:
        UsageError: A SPEC or the dtype is wrong.
        ActcompareError: The device is not available, or a function fails on it.
    """
    where, (dtype, kind) = resolve_device(device), resolve_dtype(dtype)
    with torch_threads(1):  # several would wait for each other, as the operations are small
        found = tuple(_probe(a, kind, where) for a in parse_all(activations))
    config = ComparisonConfig(tuple(p.activation for p in found), dtype, device)
    return Comparison(config, describe_environment(where), found)


@dataclass(frozen=True)
class _Probes:
    """f, f' and f'' in float64 at ascending points of the dtype, each of shape (point,)."""

    x: Tensor
    f: Tensor
    df: Tensor
    d2f: Tensor | None


def _probe(activation: Activation, dtype: torch.dtype, device: torch.device) -> Properties:
    function, label = build_elementwise(activation, dtype, device), activation.label

    def at(points: Tensor) -> _Probes:
        x = torch.unique(points.to(dtype))
        f, df, d2f = differentiate(function, x.to(device), label, 2)
        assert df is not None
        return _Probes(x.double(), f.double(), df.double(), None if d2f is None else d2f.double())

    eps = torch.finfo(dtype).eps
    everywhere, near = at(_everywhere(dtype)), at(_near(dtype, activation.parameters))
    chosen = at(torch.tensor([-2.0, 0.0, 5.0], dtype=torch.float64))
    smoothness, jumps = find_jumps(function, label, near.x, dtype, device)
    jump, kink = smoothness == "discontinuous", smoothness == "C0"
    # Nodes on both sides of each jump keep every cell of the quadrature within one branch.
    sides = torch.tensor([x for j in jumps for x in (j.below, j.above)], dtype=torch.float64)
    normal = at(torch.cat([_normal_nodes(), sides]))
    left, right = _limit(everywhere, -1), _limit(everywhere, 1)
    outputs = torch.cat([everywhere.f, near.f, normal.f])
    outputs = outputs[~outputs.isnan()]
    if not len(outputs):
        raise ActcompareError(f"{label} is NaN everywhere")
    ends = [v for v in (left, right) if v is not None]
    mass = _normal_mass(normal.x)
    zero_grad = _zero_regions(function, everywhere, dtype, device, derivative=True)
    zero_output = _zero_regions(function, everywhere, dtype, device, derivative=False)
    return Properties(
        activation=label,
        formula=activation.entry.formula if activation.entry else None,
        derivative=activation.entry.derivative if activation.entry else None,
        smoothness=smoothness,
        jumps=", ".join(f"{SYMBOLS[smoothness]} by {j.step:.3g} at {j.x:.6g}" for j in jumps),
        range_min=min([outputs.min().item() + 0.0, *ends]),
        range_max=max([outputs.max().item() + 0.0, *ends]),
        limit_neg_inf=left,
        limit_pos_inf=right,
        value_at_neg2=chosen.f[0].item(),
        value_at_0=chosen.f[1].item(),
        value_at_5=chosen.f[2].item(),
        grad_at_neg2=chosen.df[0].item(),
        grad_at_0=chosen.df[1].item(),
        grad_at_5=chosen.df[2].item(),
        monotone=_monotone(near, eps, [j.step for j in jumps] if jump else []),
        convex=not jump and _never_falls(near.df, 8 * eps * largest(near.df)),
        lipschitz=math.inf if jump else _steepest(everywhere, near, normal, jumps if kink else []),
        max_curvature=math.inf if jump or kink else _curvature(near, normal, jumps),
        zero_output_share=sum(_normal_probability(*region) for region in zero_output),
        zero_grad_share=sum(_normal_probability(*region) for region in zero_grad),
        zero_output_below=_reaching(zero_output, -math.inf),
        zero_grad_below=_reaching(zero_grad, -math.inf),
        zero_grad_above=_reaching(zero_grad, math.inf),
        mean_output=_expectation(mass, normal.f),
        second_moment=_expectation(mass, normal.f**2),
        grad_second_moment=_expectation(mass, normal.df**2),
        nan_grad_beyond=_nan_beyond(everywhere),
        dead_units=_dead_units(zero_grad),
    )


# --- points --------------------------------------------------------------------------------------


def _everywhere(dtype: torch.dtype) -> Tensor:
    """Return points from the smallest number of the dtype to the largest, dense around 0."""
    info = torch.finfo(dtype)
    top, bottom = math.log2(info.max), math.log2(info.smallest_normal)
    powers = 2.0 ** torch.linspace(bottom, math.floor(top), 8 * int(top - bottom)).double()
    ends = torch.tensor([info.max, info.smallest_normal * info.eps], dtype=torch.float64)
    half = torch.cat([powers, ends, torch.linspace(0, 1024, 2**14 + 1).double()])
    half = half[half <= info.max]
    return torch.cat([-half, half])


def _near(dtype: torch.dtype, parameters: Mapping[str, Any]) -> Tensor:
    """Return points dense in [-NEAR, NEAR], sparser in [-1024, 1024], and near the parameters."""
    dense = torch.linspace(-NEAR, NEAR, NEAR_POINTS + 1, dtype=torch.float64)
    wide = _everywhere(dtype)
    numbers = [abs(float(v)) for v in parameters.values() if isinstance(v, int | float)]
    named = numbers + [a / b for a in numbers for b in numbers if b]
    around = torch.tensor([0.999, 1.001, 0.5, 1.5], dtype=torch.float64)
    near = torch.cat([v * around for v in named]) if named else around
    near = near[near < torch.finfo(dtype).max / 4]
    return torch.cat([dense, wide[wide.abs() <= 1024], near, -near])


def _normal_nodes() -> Tensor:
    """Return midpoints of equal cells; 0, a kink of many activations, is between two of them."""
    cell = 2 * NORMAL_REACH / NORMAL_POINTS
    return (torch.arange(NORMAL_POINTS, dtype=torch.float64) + 0.5) * cell - NORMAL_REACH


def _normal_mass(x: Tensor) -> Tensor:
    """Return quadrature weights: P(z is nearest to x[i]) for z ~ N(0,1) and ascending x."""
    edges = torch.cat([torch.tensor([-math.inf]), (x[1:] + x[:-1]) / 2, torch.tensor([math.inf])])
    # Subtract in the nearer tail, since 1 - tiny rounds to 1.
    lower, upper = torch.special.ndtr(edges), torch.special.ndtr(-edges)
    return torch.where(x < 0, lower[1:] - lower[:-1], upper[:-1] - upper[1:])


def _expectation(mass: Tensor, values: Tensor) -> float:
    """Return the weighted sum, rounded; the error of the quadrature is about 1e-9."""
    return round((mass * values).sum().item(), 12) + 0.0


# --- properties ----------------------------------------------------------------------------------


def _limit(probes: _Probes, side: int, values: Tensor | None = None) -> float | None:
    """Return the limit of f (or other values) at side * infinity: finite, infinite, or None.

    As |x| doubles, f diverges if its steps do not shrink, and converges if they become negligible
    relative to its value.
    """
    x = probes.x * side
    top = int(math.log2(x.max().item()))
    doubling = 2.0 ** torch.arange(top - 5, top, dtype=torch.float64)
    index = torch.searchsorted(x if side > 0 else x.flip(0), doubling)
    values = probes.f if values is None else values
    f = (values if side > 0 else values.flip(0))[index]
    if f[-1].isinf():
        return f[-1].item()
    steps = f[1:] - f[:-1]
    if bool((steps.abs() <= 1e-3 * f[-1].abs() + 1e-6).all()) and not _steady(steps):
        return 0.0 if f[-1] == 0 else f[-1].item()
    if _steady(steps):
        return math.copysign(math.inf, steps[-1].item())
    return None


def _steady(steps: Tensor) -> bool:
    same = bool((steps > 0).all()) or bool((steps < 0).all())
    return same and bool(steps[-1].abs() >= 0.5 * steps[0].abs())


def _steepest(everywhere: _Probes, near: _Probes, normal: _Probes, kinks: Sequence[Jump]) -> float:
    """Return the largest |f'|, including both sides of each kink; infinite if f' is unbounded."""
    growing = [_limit(everywhere, side, everywhere.df) for side in (-1, 1)]
    if any(v is not None and math.isinf(v) for v in growing):
        return math.inf
    steepest = largest(torch.cat([everywhere.df, near.df, normal.df]))
    return max([steepest, *(j.beside for j in kinks)])


def _monotone(near: _Probes, eps: float, jumps: list[float]) -> bool:
    slack = 4 * eps * torch.maximum(near.f.abs(), near.x.abs())  # allow for rounding of f
    rising = _never_falls(near.f, slack) and all(step > 0 for step in jumps)
    falling = _never_falls(-near.f, slack) and all(step < 0 for step in jumps)
    return rising or falling


def _never_falls(values: Tensor, slack: Tensor | float) -> bool:
    return bool((values >= values.cummax(0).values - slack).all())


def _curvature(near: _Probes, normal: _Probes, jumps: list[Jump]) -> float | None:
    if near.d2f is None or normal.d2f is None:
        return None
    return max([largest(torch.cat([near.d2f, normal.d2f])), *(j.beside for j in jumps)])


def _zero_regions(
    function: Function,
    probes: _Probes,
    dtype: torch.dtype,
    device: torch.device,
    *,
    derivative: bool,
) -> list[tuple[float, float]]:
    """Return the intervals on which f (or f') is exactly 0; bisection locates their ends.

    An interval that includes the last number of the dtype ends at infinity.
    """
    zero = (probes.df if derivative else probes.f) == 0
    x, regions = probes.x.tolist(), []
    start = 0
    for is_zero, run in itertools.groupby(zero.tolist()):
        stop = start + len(list(run)) - 1
        if is_zero and stop > start:
            low, high = -math.inf, math.inf
            if start > 0:
                low = zero_edge(
                    function, x[start], x[start - 1], dtype, device, derivative=derivative
                )
            if stop < len(x) - 1:
                high = zero_edge(
                    function, x[stop], x[stop + 1], dtype, device, derivative=derivative
                )
            regions.append((low + 0.0, high + 0.0))  # no -0
        start = stop + 1
    return regions


def _nan_beyond(probes: _Probes) -> float | None:
    broken = probes.x.abs()[probes.df.isnan()]
    return broken.min().item() if len(broken) else None


def _reaching(regions: list[tuple[float, float]], end: float) -> float | None:
    for low, high in regions:
        if end in (low, high):
            return high if end < 0 else low
    return None


def _normal_probability(low: float, high: float) -> float:
    """Return P(low < z < high) for z ~ N(0,1), computed from the nearer tail."""
    if low > 0:
        low, high = -high, -low
    return (math.erfc(-high / math.sqrt(2)) - math.erfc(-low / math.sqrt(2))) / 2


def _dead_units(regions: list[tuple[float, float]]) -> str:
    if not regions:
        return "no"
    if any(_normal_probability(low, high) > RARE for low, high in regions):
        return "yes"
    outer = [region for region in regions if math.inf in region or -math.inf in region]
    return "only " + " and ".join(_interval(low, high) for low, high in outer or regions[:1])


def _interval(low: float, high: float) -> str:
    if low == -math.inf:
        return f"below {high:.6g}"
    if high == math.inf:
        return f"above {low:.6g}"
    return f"between {low:.3g} and {high:.3g}"
