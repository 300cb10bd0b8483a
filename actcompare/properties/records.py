"""What `table` was asked for, and the properties it found."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Properties:
    """What probing finds of one activation in one dtype. An infinity means unbounded."""

    activation: str
    formula: str | None
    """None for a user's own function, and so is the derivative."""
    derivative: str | None
    smoothness: str
    """discontinuous, C0 (continuous, kinks), C1 (f' continuous, f'' jumps) or C2+;
    C1+ where f' is continuous and torch has no f''."""
    jumps: str
    """Which of f, f', f'' is the first to jump; by how much, and where."""
    range_min: float
    range_max: float
    limit_neg_inf: float | None
    """None where there is no limit."""
    limit_pos_inf: float | None
    value_at_neg2: float
    value_at_0: float
    value_at_5: float
    grad_at_neg2: float
    grad_at_0: float
    grad_at_5: float
    monotone: bool
    """Nowhere falling, or nowhere rising."""
    convex: bool
    lipschitz: float
    """The largest |f'|; infinite where f jumps."""
    max_curvature: float | None
    """The largest |f''|; infinite where f' jumps, None where torch has no f''."""
    zero_output_share: float
    """P(f(z) = 0) for z ~ N(0,1)."""
    zero_grad_share: float
    zero_output_below: float | None
    """The largest x at and under which the dtype gives exactly 0; None where there is none."""
    zero_grad_below: float | None
    zero_grad_above: float | None
    """The smallest x at and over which the gradient is exactly 0."""
    mean_output: float
    """E f(z) for z ~ N(0,1), by quadrature; as are the next two."""
    second_moment: float
    grad_second_moment: float
    nan_grad_beyond: float | None
    """The least |x| at which a finite x has a NaN gradient; None where there is none."""
    dead_units: str
    """Whether a unit can get exactly zero gradient on a whole region: yes, only ..., or no."""


@dataclass(frozen=True)
class ComparisonConfig:
    """What was asked for."""

    activations: tuple[str, ...]
    dtype: str
    device: str
