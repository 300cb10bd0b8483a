"""Expectations of an activation under Gaussian pre-activations, by quadrature.

Pre-activations of a wide random net are normal with mean 0; their variance is called q. Sources:
Poole et al. 2016, Exponential expressivity in deep neural networks through transient chaos;
Schoenholz et al. 2017, Deep information propagation.
"""

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from actcompare.activations.derivatives import Function, build_elementwise, differentiate
from actcompare.activations.smoothness import find_jumps
from actcompare.activations.spec import Activation
from actcompare.activations.user_code import describe
from actcompare.errors import ActcompareError

REACH = 12.0
"""Quadrature covers |z| <= REACH; the normal density is 2e-32 there."""

REACH_OF_PAIRS = 9.0
"""The same in two dimensions."""

POINTS = 16
"""Gauss-Legendre points in a panel."""

SCALES = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Panels end at these absolute pre-activations, between which an activation changes shape."""

NEGLIGIBLE_JUMP = 1e-5
"""A smaller jump of f, such as softplus's own at its threshold of 20, does not disturb theory."""

Array = npt.NDArray[np.float64]

LINEAR = 1e-12
"""Below this 1 - c, the correlation map is linear to within rounding."""

_PROBED = np.array([0.1, 1.0, 30.0])
"""Variances at which the quadrature is checked."""

_TOLERANCE = 1e-7

ROUNDING = 1e-11
"""Smaller shares of a variance are rounding of the quadrature."""

_NODES, _WEIGHTS = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(POINTS))


@dataclass(frozen=True)
class Curve:
    """An elementwise function in float64, and where it or its derivatives jump."""

    label: str
    function: Function
    breaks: tuple[float, ...]
    """Where f, f' or f'' jumps."""
    trouble: str = ""
    """Why expectations cannot be had, as a predicate, such as `jumps`; empty if they can."""

    @property
    def has_theory(self) -> bool:
        """Whether expectations of f and f' can be had, and f' is the derivative everywhere."""
        return not self.trouble

    @classmethod
    def of(cls, activation: Activation) -> "Curve":
        """Find the breaks of an activation.

        Raises:
            ActcompareError: The function fails, is not elementwise, or is not finite.
        """
        cpu, label = torch.device("cpu"), activation.label
        function = build_elementwise(activation, torch.float64, cpu)
        x = torch.linspace(-64, 64, 2**13 + 2, dtype=torch.float64)
        with _recorded():
            if not differentiate(function, x, label, 1)[0].isfinite().all():
                raise ActcompareError(f"{label} is not finite between -64 and 64")
            smoothness, jumps = find_jumps(function, label, x, torch.float64, cpu)
        widest = max((abs(jump.step) for jump in jumps), default=0.0)
        curve = cls(label, function, tuple(jump.x for jump in jumps))
        if smoothness == "discontinuous" and widest > NEGLIGIBLE_JUMP:
            return replace(curve, trouble="jumps, and f' misses that")
        return replace(curve, trouble=_trouble(curve))

    def at(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return f(z) and f'(z), in the shape of z, float64."""
        with _recorded():
            value, slope, _ = differentiate(self.function, z.flatten(), self.label, 1)
        assert slope is not None
        return value.view_as(z), slope.view_as(z)

    def values(self, z: Tensor) -> Tensor:
        """Return f(z), in the shape of z, float64.

        Raises:
            ActcompareError: The function fails.
        """
        with torch.no_grad():
            try:
                return self.function(z)
            except (Exception, SystemExit) as error:  # the function may be a user's
                shape = "x".join(map(str, z.shape))
                raise ActcompareError(
                    f"{self.label} failed on a tensor of shape {shape}: {describe(error)}"
                ) from error

    @cached_property
    def marks(self) -> Tensor:
        """The pre-activations at which panels end, shape (mark,)."""
        scales = {sign * scale for scale in SCALES for sign in (-1, 1)}
        return torch.tensor(sorted(scales.union(self.breaks)), dtype=torch.float64)


@contextlib.contextmanager
def _recorded() -> Iterator[None]:
    """Let autograd work, also where the caller has switched it off, as initialisers do."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def _trouble(curve: Curve) -> str:
    """Return why the quadrature fails, by comparing it with one of half the panels' width."""
    with np.errstate(all="ignore"):
        coarse, fine = (moments(curve, _PROBED, panels=panels) for panels in (1, 2))
    for name in ("f2", "d2"):
        one, other = getattr(coarse, name), getattr(fine, name)
        if not (np.isfinite(one) & np.isfinite(other)).all():
            return "has no finite mean square, or its slope has none"
        if (np.abs(one - other) > _TOLERANCE * np.abs(other)).any():
            return "oscillates or bends too fast for the quadrature"
    return ""


@dataclass(frozen=True)
class Moments:
    """Expectations at given variances q, with x = sqrt(q) z for z ~ N(0,1), shape (q,)."""

    q: Array
    f: Array
    """E f."""
    variance: Array
    """Var f."""
    f2: Array
    """E f^2."""
    f3: Array
    f4: Array
    d2: Array
    """E f'^2."""
    d4: Array
    zfd: Array
    """E z f f'."""
    zd: Array
    """E z f'."""
    fd2: Array
    """E f f'^2."""
    f2d2: Array
    """E f^2 f'^2."""
    z2d2: Array
    """E z^2 f'^2."""


def moments(curve: Curve, q: Array | float, *, panels: int = 1) -> Moments:
    """Return the expectations of an activation at variances q.

    Each panel, of width 1 or less, is integrated by Gauss-Legendre; panels end where the function
    jumps or bends.

    Args:
        curve: The activation.
        q: Variances of the pre-activations, positive, shape (q,) or one number.
        panels: Panels for each of the usual ones.
    """
    q = np.atleast_1d(np.asarray(q, dtype=np.float64))
    root = torch.from_numpy(np.sqrt(q))[:, None]
    z, weights = _panels(curve.marks / root, REACH, panels=panels)
    f, d = curve.at(root * z)
    # A panel without width has its nodes on a mark, where f' may be infinite.
    d = torch.where(weights > 0, d, 0.0)

    def mean(values: Tensor) -> Array:
        # A copy, since torch's many small blocks would keep glibc from reusing the large ones.
        return np.array((weights * values).sum(1).numpy())

    f_2, d_2 = f * f, d * d
    return Moments(
        q,
        f=mean(f),
        variance=mean((f - (weights * f).sum(1, keepdim=True)) ** 2),
        f2=mean(f_2),
        f3=mean(f_2 * f),
        f4=mean(f_2 * f_2),
        d2=mean(d_2),
        d4=mean(d_2 * d_2),
        zfd=mean(z * f * d),
        zd=mean(z * d),
        fd2=mean(f * d_2),
        f2d2=mean(f_2 * d_2),
        z2d2=mean(z * z * d_2),
    )


def mean_square_difference(curve: Curve, q: float, distance: float) -> float:
    """Return E (f(u) - f(v))^2 / 2 for normal u and v of variance q and correlation c.

    Args:
        curve: The activation.
        q: Variance, positive.
        distance: 1 - c, from 0 to 2. The correlation itself would cancel.
    """
    if distance < LINEAR:
        return q * distance * moments(curve, q).d2.item()
    return _over_pairs(
        curve, q, distance, lambda u, v: (curve.values(u) - curve.values(v)) ** 2 / 2
    )


def slope_product(curve: Curve, q: float, distance: float) -> float:
    """Return E f'(u) f'(v) for the same u and v."""
    if distance < LINEAR:
        return moments(curve, q).d2.item()
    return _over_pairs(curve, q, distance, lambda u, v: curve.at(u)[1] * curve.at(v)[1])


def _over_pairs(
    curve: Curve, q: float, distance: float, integrand: Callable[[Tensor, Tensor], Tensor]
) -> float:
    """Return the expectation of a symmetric function of u and v.

    u, v = sqrt(q) (sqrt(1 - g/2) s +- sqrt(g/2) t), where g = 1 - c, with independent normal s and
    t. By symmetry t >= 0 suffices. For each t, panels of s end where u or v meets a mark.
    """
    root, near, far = math.sqrt(q), math.sqrt(1 - distance / 2), math.sqrt(distance / 2)
    # Where u meets one break just as v meets another, the integral over s has a kink.
    meet = [(a - b) / 2 for a in curve.breaks for b in curve.breaks if a > b]
    ends = torch.tensor([[*SCALES, *meet]], dtype=torch.float64) / (root * far)
    t, outer = _panels(ends, REACH_OF_PAIRS, lowest=0.0)
    t, outer = t[0, :, None], outer[0]
    if near < 1e-9:  # v = -u
        return 2 * float((outer * integrand(root * far * t, -root * far * t)[:, 0]).sum())
    marks = curve.marks / root
    s, inner = _panels(torch.cat([marks - far * t, marks + far * t], 1) / near, REACH_OF_PAIRS)
    values = integrand(root * (near * s + far * t), root * (near * s - far * t))
    return 2 * float((outer * (inner * values).sum(1)).sum())


def _panels(
    marks: Tensor, reach: float, lowest: float | None = None, *, panels: int = 1
) -> tuple[Tensor, Tensor]:
    """Return nodes and weights for the standard normal density, each of shape (row, node).

    Args:
        marks: Where panels end besides the whole numbers, shape (row, mark).
        reach: The largest node.
        lowest: The smallest node; -reach by default.
        panels: Panels per whole number.
    """
    lowest = -reach if lowest is None else lowest
    steps = round(reach - lowest) * panels + 1
    whole = torch.linspace(lowest, reach, steps, dtype=torch.float64).expand(len(marks), -1)
    ends = torch.cat([whole, marks.clamp(lowest, reach)], 1).sort(1).values
    middle, half = (ends[:, 1:] + ends[:, :-1]) / 2, (ends[:, 1:] - ends[:, :-1]) / 2
    z = (middle[..., None] + half[..., None] * _NODES).flatten(1)
    density = torch.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    return z, (half[..., None] * _WEIGHTS).flatten(1) * density


def crossings(
    function: Callable[[Array], Array], low: float = 1e-10, high: float = 1e10
) -> list[float]:
    """Return where a function of variances q changes its sign, in ascending order.

    Args:
        function: Takes q, shape (q,), and returns values of that shape.
        low: The least q.
        high: The largest q.
    """
    grid = np.geomspace(low, high, 321)
    values = function(grid)
    # Rounding is no change of sign, and a zero may lie on the grid.
    clear = np.abs(values) > ROUNDING * grid
    grid, signs = grid[clear], np.sign(values[clear])
    at = np.flatnonzero(signs[1:] * signs[:-1] < 0)
    a, b, sign = np.log(grid[at]), np.log(grid[at + 1]), signs[at]
    for _ in range(60 if len(at) else 0):
        middle = (a + b) / 2
        left = np.sign(function(np.exp(middle))) == sign
        a, b = np.where(left, middle, a), np.where(left, b, middle)
    return [float(q) for q in np.exp((a + b) / 2)]
