"""One row of `depth`: an activation with an initialisation, by theory and as measured."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from actcompare.activations.gaussian import ROUNDING, Array, Curve
from actcompare.activations.spec import Activation
from actcompare.propagation.initialisation import Initialisation
from actcompare.propagation.measure import Signals
from actcompare.propagation.records import MOST_LAYERS, Course, DepthConfig, Prospect, Row
from actcompare.propagation.theory.dead import mean_zero_dead
from actcompare.propagation.theory.maps import (
    REACH,
    FixedPoint,
    Law,
    Step,
    distances,
    fixed_point,
    propagate,
    settled,
)
from actcompare.propagation.theory.width import Correction, correct
from actcompare.stats import t_interval

FARTHEST_SHIFT = 5.0
"""Nats of noise beyond which the expansion in 1/width says nothing."""

_RANGE = 600.0
"""Natural logarithms of variances that float64 holds, with their squares, are smaller."""


@dataclass(frozen=True)
class Case:
    """An activation with an initialisation."""

    activation: Activation
    curve: Curve
    init: str
    how: Initialisation | None
    why: str
    """Why there is no such initialisation."""


@dataclass(frozen=True)
class _Theory:
    steps: list[Step]
    """Of every sample."""
    fixed: FixedPoint
    correction: Correction
    distance: Array
    """1 - c at each layer from the first pre-activations on."""
    zero_dead: float
    reach: float

    @property
    def log_chi(self) -> Array:
        """The log factor of the gradient's variance at each layer, in the mean over samples."""
        return np.array([step.log_chi.mean() for step in self.steps])

    @property
    def log_q(self) -> Array:
        """The log variance from the first pre-activations on, in the mean over samples."""
        return np.array([step.log_q.mean() for step in self.steps] + [self.steps[-1].to.mean()])


def _theory(case: Case, X: Tensor, config: DepthConfig) -> _Theory | None:
    """Return the theory; None for functions that jump."""
    curve, how = case.curve, case.how
    if how is None or not curve.has_theory:
        return None
    squares, law = X.square().mean(1).numpy(), how.hidden
    q1 = how.first_variance(squares)
    middle = math.exp(np.log(q1).mean())
    typical = propagate(curve, law, np.array([middle]), config.layers)
    apart = np.array(distances(curve, law, middle, _start(how, X), config.layers))
    lengths = np.array([step.log_q.item() for step in typical])
    return _Theory(
        propagate(curve, law, q1, config.layers),
        fixed_point(curve, law, middle),
        correct(curve, law, typical, config.width),
        apart,
        mean_zero_dead(curve, lengths, apart[:-1], len(X)),
        _reach(curve, law, typical),
    )


def _start(how: Initialisation, X: Tensor) -> float:
    """Return 1 - c of the first pre-activations, in the mean over neighbouring samples."""
    pairs = len(X) // 2 * 2
    one, other = X[0:pairs:2], X[1:pairs:2]
    q, r = (how.first_variance(each.square().mean(1).numpy()) for each in (one, other))
    apart = how.first.sigma_w2 * (one - other).square().mean(1).numpy()
    # 1 - c by way of the squared distance: the correlation itself would cancel.
    return float(((apart - (np.sqrt(q) - np.sqrt(r)) ** 2) / (2 * np.sqrt(q * r))).mean())


def row_of(case: Case, signals: Signals | None, X: Tensor, config: DepthConfig) -> Row:
    """Return the row of a case.

    Args:
        case: The activation and the initialisation.
        signals: What was measured, if anything.
        X: The inputs, shape (sample, input).
        config: The nets.
    """
    theory = _theory(case, X, config)
    how, why = case.how, case.why
    if not (why or theory):
        why = f"{case.curve.label} {case.curve.trouble}: it is measured only"
    squares = X.square().mean(1).numpy()
    prospect: dict[str, Any] = dict.fromkeys(Prospect.__dataclass_fields__)
    prospect |= {"activation": case.curve.label, "init": case.init}
    if how is not None:
        prospect |= {
            "sigma_w2": how.hidden.sigma_w2,
            "sigma_b2": how.hidden.sigma_b2,
            "q0": float(how.first_variance(squares).mean()),
        }
    if theory is not None:
        prospect |= _of_theory(theory)
    in_range = signals is not None and _in_range(theory, signals)
    if signals is not None and in_range:
        prospect |= _of_measurement(signals)
    elif signals is not None:
        signals = None
        why = why or (
            f"{case.curve.label} with {case.init} leaves the range of float64: measurements of it"
            " would say nothing"
        )
    if theory is not None and signals is not None and in_range and theory.correction.holds:
        prospect["agrees"] = int(_agrees(theory, signals))
    for name, value in prospect.items():
        if isinstance(value, float) and math.isnan(value):
            prospect[name] = None
    return Row(
        Prospect(**prospect),
        _course_of_theory(theory),
        _course_of_measurement(signals),
        why=why,
        beyond_theory=theory is not None and not theory.correction.holds,
        nets=0 if signals is None else len(signals.log_q),
        born_dead=0 if signals is None else signals.born_dead,
        variance=0.0 if theory is None else theory.correction.variance,
    )


def _of_theory(theory: _Theory) -> dict[str, Any]:
    fixed, log_chi = theory.fixed, theory.log_chi
    total = float(log_chi.sum())
    return {
        "fixed_point": fixed.q,
        "fixed_point_kind": fixed.kind,
        "chi": fixed.chi,
        "slope_q": fixed.slope,
        "xi_q": fixed.xi_q,
        "xi_c": fixed.xi_c,
        "phase": fixed.phase,
        "reach_layers": theory.reach,
        "log10_gradient_theory": total / math.log(10),
        "log10_gradient_corrected": _corrected(total, theory.correction),
        "one_minus_c_theory": float(theory.distance[-1]),
        "zero_dead_theory": theory.zero_dead,
    }


def _corrected(total: float, correction: Correction) -> float | None:
    """Return log10 of the corrected gradient; None where the correction itself has run away."""
    if abs(correction.noise) > FARTHEST_SHIFT:
        return None
    return (total + correction.shift) / math.log(10)


def _reach(curve: Curve, law: Law, steps: Sequence[Step]) -> float:
    """Return the number of layers within reach, of a typical sample; the given ones are the first.

    Beyond them the theory goes on, until the length no longer changes or MOST_LAYERS are within
    reach, which counts as infinite.
    """
    found, log_chi = 0, 0.0
    step = steps[0]
    while found < MOST_LAYERS:
        log_chi += float(step.log_chi[0])
        if not abs(log_chi) <= REACH:
            return float(found)
        found += 1
        if settled(step):
            last = abs(float(step.log_chi[0]))
            left = (REACH - abs(log_chi)) // last if last > ROUNDING else math.inf
            return found + left if found + left < MOST_LAYERS else math.inf
        step = steps[found] if found < len(steps) else law.length(curve, step.to)
    return math.inf


def _of_measurement(signals: Signals) -> dict[str, Any]:
    gradients = signals.log_gradient[:, 0] / math.log(10)
    found: dict[str, Any] = {
        "log10_gradient_measured": float(gradients.mean()),
        "one_minus_c_measured": float(signals.distance[:, -1].mean()),
        "zero_dead_measured": float(signals.zero_dead.mean()),
        "gradient_dead": float(signals.gradient_dead.mean()),
        "constant": float(signals.constant.mean()),
    }
    if len(gradients) > 1 and np.isfinite(gradients).all():
        interval = t_interval(gradients)
        found |= {"log10_gradient_low": interval.low, "log10_gradient_high": interval.high}
    return found


def _in_range(theory: _Theory | None, signals: Signals) -> bool:
    """Return whether float64 held the signals. Those of nets that are born dead are 0 in fact."""
    lengths = signals.log_q if theory is None else theory.log_q
    return bool((np.abs(lengths[np.isfinite(lengths)]) < _RANGE).all()) and not (
        np.isnan(lengths).any() or np.isposinf(lengths).any()
    )


def _agrees(theory: _Theory, signals: Signals) -> bool:
    """Return whether the mean over nets is as near to the theory as its variance allows."""
    gradients, off = signals.log_gradient[:, 0], theory.correction
    allowed = 4 * math.sqrt(off.variance / len(gradients)) + 0.1 * off.variance
    return abs(float(gradients.mean()) - float(theory.log_chi.sum()) - off.shift) <= allowed


def _course_of_theory(theory: _Theory | None) -> Course:
    if theory is None:
        return Course(None, None, None)
    above = np.concatenate([np.cumsum(theory.log_chi[::-1])[::-1], [0.0]])
    return Course(theory.log_q / math.log(10), above / math.log(10), theory.distance)


def _course_of_measurement(signals: Signals | None) -> Course:
    if signals is None:
        return Course(None, None, None)
    return Course(
        signals.log_q.mean(0) / math.log(10),
        signals.log_gradient.mean(0) / math.log(10),
        signals.distance.mean(0),
    )
