"""The settings of a measurement of depth, and its results."""

from dataclasses import dataclass

from actcompare.activations.gaussian import Array
from actcompare.errors import UsageError

MOST_LAYERS = 10_000
"""Largest number of layers; theory alone takes a minute for so many."""

MOST_WIDTH = 65_536


@dataclass(frozen=True, kw_only=True)
class DepthConfig:
    """What is computed and measured.

    Raises:
        UsageError: A setting is out of bounds.
    """

    activations: tuple[str, ...]
    inits: tuple[str, ...]
    layers: int
    """Hidden layers that the signal passes."""
    width: int
    """Units of a hidden layer."""
    nets: int
    """Random nets that are measured; 0 for theory alone."""
    data: str
    device: str
    threads: int
    seed: int
    """Seed of the weights, and of the split whose training inputs are used."""
    time_limit: float
    """Seconds after which no more nets are measured."""

    def __post_init__(self) -> None:
        for name, least, most in (
            ("layers", 2, MOST_LAYERS),
            ("width", 2, MOST_WIDTH),
            ("nets", 0, 10**6),
            ("seed", 0, 2**63 - 1),
        ):
            value = getattr(self, name)
            if not isinstance(value, int):
                raise UsageError(f"{name} must be a whole number, not {value!r}")
            if not least <= value <= most:
                raise UsageError(f"{name} must be from {least:,} to {most:,}, not {value:,}")
        if not self.time_limit > 0:
            raise UsageError(f"time-limit must be positive, not {self.time_limit}")


@dataclass(frozen=True)
class Prospect:
    """What becomes of the signal with an activation and an initialisation.

    What theory or measurement cannot say is None. Gradients are those of the first layer over those
    of the last, as the logarithm to base 10 of the factor of their variance (mean square).
    """

    activation: str
    init: str
    sigma_w2: float | None
    """Variance of a weight times the number of its layer's inputs."""
    sigma_b2: float | None
    """Variance of a bias."""
    q0: float | None
    """Variance of the first pre-activations, in the mean over samples."""
    fixed_point: float | None
    """Variance that the signal approaches."""
    fixed_point_kind: str | None
    """attracting; none (the signal grows without bound); zero (it vanishes); any (it is kept)."""
    chi: float | None
    """Factor of the gradient's variance per layer at the fixed point."""
    slope_q: float | None
    """Slope of the length map at the fixed point."""
    xi_q: float | None
    """Layers in which the distance of the signal's variance from the fixed point falls by e."""
    xi_c: float | None
    """Layers in which the distance of correlations from their fixed point falls by e."""
    phase: str | None
    """ordered (chi < 1), critical, chaotic (chi > 1), or none without a fixed point."""
    reach_layers: float | None
    """Layers within which the gradient's variance stays within e^6 of its start; infinite on the
    edge of chaos."""
    log10_gradient_theory: float | None
    """By theory, for infinite width."""
    log10_gradient_corrected: float | None
    """By theory, corrected for the width."""
    log10_gradient_measured: float | None
    """Mean over nets."""
    log10_gradient_low: float | None
    log10_gradient_high: float | None
    """95 % interval of the mean."""
    one_minus_c_theory: float | None
    """1 - correlation of two samples after the last layer, by theory."""
    one_minus_c_measured: float | None
    """Mean over pairs and nets."""
    zero_dead_theory: float | None
    """Share of units that are 0 on every sample, in the mean over layers, by theory."""
    zero_dead_measured: float | None
    gradient_dead: float | None
    """Share of units with |f'| at most 0.001 on every sample, measured."""
    constant: float | None
    """Share of units whose output hardly varies over samples, measured."""
    agrees: int | None
    """1 if the measured gradient agrees with the corrected theory, 0 if not; None if the net is too
    narrow for its depth (beyond theory), or not both are known."""


@dataclass(frozen=True)
class Course:
    """The signal of one row layer by layer, from the first pre-activations on.

    Each array has shape (layer,); theory or measurements are None if there are none.
    """

    log10_q: Array | None
    log10_gradient: Array | None
    """The gradient there over that after the last layer."""
    one_minus_c: Array | None


@dataclass(frozen=True)
class Row:
    """A prospect with what it rests on."""

    prospect: Prospect
    theory: Course
    measured: Course
    why: str = ""
    """Why there is no theory or no such initialisation; empty if there is."""
    beyond_theory: bool = False
    """Whether the net is too narrow for its depth to be compared with the theory."""
    nets: int = 0
    """Nets measured."""
    born_dead: int = 0
    """Nets with a layer whose units are 0 on every sample."""
    variance: float = 0.0
    """Variance over nets of the natural logarithm of the gradient's factor, by theory."""
