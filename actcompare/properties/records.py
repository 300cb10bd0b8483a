"""Records of a comparison: its settings and the properties of each activation."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Properties:
    """Properties of one activation in one dtype. An infinity means unbounded."""

    activation: str
    formula: str | None
    """None for a user's function, as is the derivative."""
    derivative: str | None
    smoothness: str
    """discontinuous, C0 (continuous, but f' jumps), C1 (f' continuous, but f'' jumps) or C2+;
    C1+ if f' is continuous and torch has no f''."""
    jumps: str
    """The first of f, f', f'' that jumps: by how much, and where."""
    range_min: float
    range_max: float
    limit_neg_inf: float | None
    """None if there is no limit."""
    limit_pos_inf: float | None
    value_at_neg2: float
    value_at_0: float
    value_at_5: float
    grad_at_neg2: float
    grad_at_0: float
    grad_at_5: float
    monotone: bool
    """Whether f never decreases, or never increases."""
    convex: bool
    lipschitz: float
    """The largest |f'|; infinite if f jumps."""
    max_curvature: float | None
    """The largest |f''|; infinite if f' jumps, None if torch has no f''."""
    zero_output_share: float
    """P(f(z) = 0) for z ~ N(0,1)."""
    zero_grad_share: float
    zero_output_below: float | None
    """The largest x at and below which f is exactly 0 in the dtype; None if there is none."""
    zero_grad_below: float | None
    zero_grad_above: float | None
    """The smallest x at and above which the gradient is exactly 0; None if there is none."""
    mean_output: float
    """E f(z) for z ~ N(0,1), by quadrature, like the next two."""
    second_moment: float
    grad_second_moment: float
    nan_grad_beyond: float | None
    """The smallest finite |x| with a NaN gradient; None if there is none."""
    dead_units: str
    """Whether the gradient of a unit can be exactly 0 on a whole interval: yes, only ..., or no."""


@dataclass(frozen=True)
class ComparisonConfig:
    """Settings of a comparison."""

    activations: tuple[str, ...]
    dtype: str
    device: str
