"""The verdicts on claims: pure functions of measurements."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from actcompare.propagation.explain import KEPT
from actcompare.reporting.parts.functions import RELU, SOFTPLUS, THRESHOLD, Use
from actcompare.reporting.parts.outputs import PLAIN
from actcompare.stats import Estimate
from actcompare.text import percent

HOLDS, LIMITS, NOT, DEPENDS = "holds", "holds within limits", "does not hold", "depends"
UNCLEAR, NOT_RUN = "unclear", "not run"
VERDICTS = (HOLDS, LIMITS, NOT, DEPENDS, UNCLEAR, NOT_RUN)

ROUNDING, CLOSE = 4.0, 64.0
"""Errors in ULP up to which a result is exact but for rounding, and up to which it is close."""

ORDINARY = 10.0
"""Larger |x| are out of reach of ordinary pre-activations."""

SPARSE, RARE = 0.1, 1e-3
"""Shares of zeros from which outputs are called sparse, and up to which they are not."""

LITTLE = 1.1
"""Smaller ratios of times are a limit of the claim that one is slower."""

EPOCH = 1.0
"""Smaller differences in epochs do not matter."""

FEWEST_SEEDS = 10
"""Fewer seeds do not say how fast a net converges."""

UNKNOWN = Estimate(math.nan, -math.inf, math.inf)


@dataclass(frozen=True)
class Finding:
    """A verdict, and the numbers that say so."""

    verdict: str
    measured: str


def judge_formula(errors: Sequence[float], values: Sequence[float]) -> Finding:
    """Judge values at a few points by their errors in ULP."""
    worst = float(np.max(errors))  # NaN counts
    verdict = HOLDS if worst <= ROUNDING else LIMITS if worst <= CLOSE else NOT
    shown = ", ".join(f"{value:.6g}" for value in values)
    return Finding(verdict, f"{shown}; at most {worst:.2g} ULP from the exact values")


def judge_derivative(error: float) -> Finding:
    """Judge the derivative by its largest difference from the sigmoid, in ULP."""
    verdict = HOLDS if error <= ROUNDING else LIMITS if error <= CLOSE else NOT
    return Finding(verdict, f"at most {error:.2g} ULP from the sigmoid, for |x| up to 120")


def judge_smooth(smoothness: str, step: float) -> Finding:
    """Judge smoothness by its class and by the jump at the threshold in float64."""
    if not smoothness.endswith("+"):
        return Finding(NOT, f"{smoothness}: a derivative jumps")
    if step == 0:
        return Finding(HOLDS, f"{smoothness}: two derivatives are continuous")
    return Finding(
        LIMITS,
        f"two derivatives are continuous, but above {THRESHOLD:g} PyTorch returns x, so that the"
        f" value jumps there by {step:.2g} (float64)",
    )


def judge_never_zero(value_below: float | None, grad_below: float | None, share: float) -> Finding:
    """Judge by where value and gradient become exactly 0, and how often on N(0,1)."""
    found = {"its value": value_below, "its gradient": grad_below}
    known = {name: end for name, end in found.items() if end is not None}
    if not known:
        return Finding(HOLDS, "no exact 0 in float32")
    where = ", ".join(f"{name} up to x = {end:.6g}" for name, end in known.items())
    out_of_reach = share <= RARE and all(end <= -ORDINARY for end in known.values())
    return Finding(LIMITS if out_of_reach else NOT, f"exactly 0 in float32: {where}")


def judge_large_inputs(equal_from: float | None, gap_at_5: float) -> Finding:
    """Judge by the x from which on both are equal in float32."""
    if equal_from is None:
        return Finding(NOT, f"they are never equal; {gap_at_5:.2g} apart at 5")
    verdict = HOLDS if equal_from <= THRESHOLD else LIMITS
    return Finding(
        verdict, f"equal in float32 from x = {equal_from:.3g} on; still {gap_at_5:.2g} apart at 5"
    )


def judge_sparsity(relu: float, softplus: float) -> Finding:
    """Judge by the shares of exact zeros on N(0,1)."""
    measured = f"exact zeros on N(0,1): relu {relu:.3g}, softplus {softplus:.3g}"
    if relu < SPARSE:
        return Finding(NOT, measured)
    return Finding(HOLDS if softplus <= RARE else LIMITS, measured)


def judge_drop_in(uses: Sequence[Use]) -> Finding:
    """Judge by what works with relu but not with softplus."""
    ours = [use for use in uses if use.relu]
    failing = [use.what for use in ours if not use.softplus]
    working = [use.what for use in ours if use.softplus]
    works = f"works: {', '.join(working) or 'nothing'}"
    if not failing:
        return Finding(HOLDS, works)
    return Finding(LIMITS if working else NOT, f"{works}; does not: {', '.join(failing)}")


def judge_slower(ratios: Mapping[str, tuple[Estimate, str]]) -> Finding:
    """Judge by the ratio of softplus's time to relu's, and its verdict, under each condition.

    Args:
        ratios: The ratio with its verdict, by the condition in words.
    """
    if not ratios:
        return Finding(NOT_RUN, "not both could be timed")
    measured = "; ".join(
        f"{where}: {ratio.value:.2f} times as long ("
        + (f"{ratio.low:.2f} to {ratio.high:.2f}, " if math.isfinite(ratio.high) else "")
        + f"{verdict})"
        for where, (ratio, verdict) in ratios.items()
    )
    verdicts = {verdict.partition(" ")[0] for _, verdict in ratios.values()}
    if verdicts == {"slower"}:
        much = any(ratio.low >= LITTLE for ratio, _ in ratios.values())
        return Finding(HOLDS if much else LIMITS, measured)
    if "slower" in verdicts and verdicts & {"same", "faster"}:
        return Finding(DEPENDS, measured)
    return Finding(UNCLEAR if verdicts & {"unclear", "slower"} else NOT, measured)


def judge_dead_units(
    difference: Estimate,
    shares: Mapping[str, float],
    rates: Mapping[str, float],
    worst: Mapping[str, tuple[float, float]],
) -> Finding:
    """Judge by shares of dead hidden units.

    Args:
        difference: Relu's zero-dead share less softplus's gradient-dead share at the chosen rates,
            paired by seed.
        shares: The two shares.
        rates: The chosen rates.
        worst: For each, the largest share at any rate tried, and that rate.
    """
    measured = (
        f"at the chosen rates relu ({rates[RELU]:g}) {percent(shares[RELU], 1)} zero-dead, softplus"
        f" ({rates[SOFTPLUS]:g}) {percent(shares[SOFTPLUS], 1)} gradient-dead"
    )
    for name, (share, lr) in worst.items():
        if share > shares[name]:
            measured += f"; {name} {percent(share, 1)} at a rate of {lr:g}"
    if worst[RELU][0] < RARE:
        return Finding(NOT, measured)
    if difference.low > 0:
        return Finding(LIMITS if worst[SOFTPLUS][0] >= RARE else HOLDS, measured)
    if difference.high < 0:
        return Finding(NOT, measured)
    return Finding(DEPENDS if shares[RELU] < RARE else UNCLEAR, measured)


def judge_convergence(difference: Estimate, relu: float, softplus: float, seeds: int) -> Finding:
    """Judge by the difference in epochs, softplus less relu, until a common goal is reached."""
    measured = (
        "epochs to come within the margin of the lower of both final validation scores, at the"
        f" chosen rates: softplus {softplus:.3g}, relu {relu:.3g}; difference"
        f" {difference.value:+.2g} ({difference.low:+.2g} to {difference.high:+.2g})"
    )
    if seeds < FEWEST_SEEDS:
        return Finding(UNCLEAR, f"{measured}; too few seeds")
    if difference.low > 0:
        return Finding(HOLDS if difference.low >= EPOCH else LIMITS, measured)
    if difference.high < EPOCH:
        return Finding(NOT, measured)
    return Finding(UNCLEAR, measured)


def judge_deep_nets(gradients: Mapping[str, tuple[Estimate, Estimate]], layers: int) -> Finding:
    """Judge by whether softplus's gradient vanishes on its way to the first layer.

    Args:
        gradients: The logarithm to base 10 of the gradient's variance at the first layer over that
            at the last, for relu and softplus, by initialisation.
        layers: Hidden layers.
    """
    measured = f"factor of the gradient's variance over {layers} layers: "
    measured += "; ".join(
        f"{init}: softplus 10^{softplus.value:.1f}, relu 10^{relu.value:.1f}"
        for init, (relu, softplus) in gradients.items()
    )
    ours = [softplus for _, softplus in gradients.values()]
    vanishes = [each.high < -KEPT for each in ours]
    stays = [each.low > -KEPT for each in ours]
    if all(vanishes):
        return Finding(HOLDS, measured)
    if all(stays):
        return Finding(NOT, measured)
    return Finding(DEPENDS if any(vanishes) and any(stays) else UNCLEAR, measured)


def judge_positive_outputs(
    negative: Mapping[str, float | None],
    mean: Estimate,
    over: Mapping[str, Estimate],
    margin: float,
) -> Finding:
    """Judge softplus on the output of a regression on counts.

    Args:
        negative: Share of negative predictions of each activation of the output; None if it failed.
        mean: Test R^2 with softplus.
        over: Difference of softplus's test R^2 from that of the others; infinitely wide where the
            other one failed or diverged.
        margin: Differences within it do not matter.
    """

    def said(name: str, difference: Estimate) -> str:
        if not math.isfinite(difference.low):
            return f"{name} failed or diverged"
        between = f"{difference.low:+.3f} to {difference.high:+.3f}"
        return f"against {name} {difference.value:+.3f} ({between})"

    compared = ", ".join(said(name.rpartition(":")[2], each) for name, each in over.items())
    measured = (
        f"negative predictions: {percent(negative[SOFTPLUS], 2)} with softplus,"
        f" {percent(negative[PLAIN], 2)} without; R^2 {mean.value:.3f}, {compared}"
    )
    ours = negative[SOFTPLUS]
    if ours is None or ours > 0 or mean.high <= 0:
        return Finding(NOT, measured)
    if not mean.low > 0:
        return Finding(UNCLEAR, measured)
    if negative[PLAIN] == 0:
        return Finding(DEPENDS, measured)
    known = [each for each in over.values() if math.isfinite(each.low)]
    if any(each.high < 0 for each in known):
        return Finding(LIMITS, measured)
    as_good = bool(known) and all(each.low > -margin for each in known)
    return Finding(HOLDS if as_good else UNCLEAR, measured)
