"""The claims of popular articles on softplus and relu, each judged by what was measured here.

A judge is a pure function of numbers. What was not measured, or not of relu and softplus, is called
`not run`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from actcompare.benchmark.bench import Benchmark
from actcompare.benchmark.records import Case
from actcompare.propagation.explain import KEPT
from actcompare.propagation.signal import Propagation
from actcompare.reporting.evidence import Evidence, ReportConfig
from actcompare.reporting.functions import RELU, SOFTPLUS, THRESHOLD, Functions, Use
from actcompare.reporting.outputs import COUNTS, EXP, PLAIN, Outputs
from actcompare.stats import Estimate, paired_mean, ratio_verdict, t_interval
from actcompare.studies.comparison import Runs, by_learning_rate, chosen
from actcompare.studies.study import Study
from actcompare.text import percent, seconds

HOLDS, LIMITS, NOT, DEPENDS = "holds", "holds within limits", "does not hold", "depends"
UNCLEAR, NOT_RUN = "unclear", "not run"
VERDICTS = (HOLDS, LIMITS, NOT, DEPENDS, UNCLEAR, NOT_RUN)

ROUNDING, CLOSE = 2.0, 64.0
"""Errors in ULP up to which a result is exact but for rounding, and up to which it is close."""

ORDINARY = 10.0
"""Larger |x| are out of reach of ordinary pre-activations."""

SPARSE, RARE = 0.1, 1e-3
"""Shares of zeros from which outputs are called sparse, and up to which they are not."""

LITTLE = 1.1
"""Smaller ratios of times are a limit of the claim that one is slower."""

EPOCH = 1.0
"""Smaller differences in epochs do not matter."""


@dataclass(frozen=True)
class Finding:
    """A verdict, and the numbers that say so."""

    verdict: str
    measured: str


@dataclass(frozen=True)
class Claim:
    """A claim with its verdict here."""

    name: str
    text: str
    verdict: str
    measured: str
    command: str
    """The command that shows it."""


def judge_claims(evidence: Evidence) -> tuple[Claim, ...]:
    """Return every claim with the verdict of this evidence."""
    return tuple(_judged(kind, evidence) for kind in _KINDS)


@dataclass(frozen=True)
class _Kind:
    name: str
    text: str
    part: str
    """The part of the report that it rests on."""
    judge: Callable[[Any], Finding]
    """Judges the result of that part."""
    command: str | None = None
    """The command that shows it; None for that of the part."""
    both: bool = False
    """Whether the part has to have measured both relu and softplus."""


def _judged(kind: _Kind, evidence: Evidence) -> Claim:
    part, result = evidence.part(kind.part), getattr(evidence, kind.part)
    command = part.command if kind.command is None else kind.command
    absent = [name for name in (RELU, SOFTPLUS) if name not in evidence.config.activations]
    if kind.both and absent:
        are = "is" if len(absent) == 1 else "are"
        found = Finding(NOT_RUN, f"{' and '.join(absent)} {are} not among the activations")
        command = _with_both(evidence.config)
    elif result is None:
        found = Finding(NOT_RUN, part.why or part.state)
    else:
        found = kind.judge(result)
    return Claim(kind.name, kind.text, found.verdict, found.measured, command)


def _with_both(config: ReportConfig) -> str:
    return " ".join(["actcompare report", *config.with_data(), *config.with_machine()])


# --- the functions -------------------------------------------------------------------------------


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
    works = f"works as {', '.join(working)}" if working else "nothing works"
    if not failing:
        return Finding(HOLDS, works)
    return Finding(LIMITS if working else NOT, f"{works}; not {', '.join(failing)}")


def _formula(found: Functions) -> Finding:
    softplus = found.softplus.points.results[1]
    assert softplus.accuracy is not None
    return judge_formula(softplus.accuracy.ulp_error.tolist(), softplus.value.tolist())


def _smooth(found: Functions) -> Finding:
    properties = found.softplus.comparison.properties[1]
    return judge_smooth(properties.smoothness, found.softplus.threshold_step)


def _never_zero(found: Functions) -> Finding:
    properties = found.softplus.comparison.properties[1]
    share = max(properties.zero_output_share, properties.zero_grad_share)
    return judge_never_zero(properties.zero_output_below, properties.zero_grad_below, share)


def _sparsity(found: Functions) -> Finding:
    relu, softplus = found.softplus.comparison.properties
    return judge_sparsity(relu.zero_output_share, softplus.zero_output_share)


# --- time ----------------------------------------------------------------------------------------


def judge_slower(ratios: Mapping[str, tuple[Estimate, str]]) -> Finding:
    """Judge by the ratio of softplus's time to relu's, and its verdict, under each condition.

    Args:
        ratios: The ratio with its verdict, by the condition in words.
    """
    if not ratios:
        return Finding(NOT_RUN, "neither could be timed")
    measured = "; ".join(
        f"{where}: {ratio.value:.2f} times as long ({ratio.low:.2f} to {ratio.high:.2f})"
        for where, (ratio, _) in ratios.items()
    )
    verdicts = {verdict.partition(" ")[0] for _, verdict in ratios.values()}
    if verdicts == {"slower"}:
        little = all(ratio.high < LITTLE for ratio, _ in ratios.values())
        return Finding(LIMITS if little else HOLDS, measured)
    if "slower" in verdicts:
        return Finding(DEPENDS, measured)
    return Finding(UNCLEAR if "unclear" in verdicts else NOT, measured)


def _slower(found: Benchmark) -> Finding:
    ratios = {}
    for each in found.measurements:
        columns = {cost.activation: each.column(cost) for cost in each.costs}
        timings, relu, softplus = each.timings, columns[RELU], columns[SOFTPLUS]
        if timings is None or relu is None or softplus is None:
            continue
        ratio = timings.ratio(softplus, relu)
        verdict = ratio_verdict(ratio, found.config.margin, timings.noise_floor())
        own = seconds(timings.per_call(relu)[1])
        where = f"{_where(each.case)}, relu {own}"
        ratios[where] = ratio, "unclear" if timings.busy else verdict
    return judge_slower(ratios)


def _where(case: Case) -> str:
    step = case.pass_ == "step"
    return f"step of width {case.shape[-1]}" if step else f"{case.size:,} elements"


# --- training ------------------------------------------------------------------------------------


def judge_dead_units(
    relu: float, softplus_zero: float, softplus_gradient: float, worst: float, worst_lr: float
) -> Finding:
    """Judge by shares of dead hidden units.

    Args:
        relu: Zero-dead share of relu at its chosen rate.
        softplus_zero: Zero-dead share of softplus at its chosen rate.
        softplus_gradient: Gradient-dead share of softplus at its chosen rate.
        worst: Largest gradient-dead share of softplus at any rate tried.
        worst_lr: That rate.
    """
    measured = (
        f"at the chosen rates relu {percent(relu, 1)} zero-dead; softplus"
        f" {percent(softplus_zero, 1)} zero-dead, {percent(softplus_gradient, 1)} gradient-dead"
    )
    if worst > softplus_gradient:
        measured += f"; at a rate of {worst_lr:g} {percent(worst, 1)} of softplus's gradient-dead"
    if relu < RARE or softplus_gradient >= max(RARE, relu):
        return Finding(NOT, measured)
    if max(softplus_zero, softplus_gradient, worst) >= RARE:
        return Finding(LIMITS, measured)
    return Finding(HOLDS, measured)


def judge_convergence(difference: Estimate, relu: float, softplus: float, goal: str) -> Finding:
    """Judge by the paired difference in epochs, softplus less relu, until a goal is reached."""
    measured = f"epochs to {goal}, at the chosen rates: softplus {softplus:.3g}, relu {relu:.3g}"
    if not math.isfinite(difference.low):
        return Finding(UNCLEAR, f"{measured}; too few seeds to tell")
    between = f"{difference.low:+.2g} to {difference.high:+.2g}"
    measured += f"; difference {difference.value:+.2g} ({between})"
    if difference.low > 0:
        return Finding(HOLDS if difference.value >= EPOCH else LIMITS, measured)
    if difference.high < EPOCH:
        return Finding(NOT, measured)
    return Finding(UNCLEAR, measured)


def _dead_units(found: Study) -> Finding:
    runs = by_learning_rate(found.config, found.results)
    best = {each.activation: each for each in chosen(runs).values()}
    if not {RELU, SOFTPLUS} <= best.keys():
        return Finding(NOT_RUN, "not both have been trained")
    softplus = best[SOFTPLUS]
    worst = max(
        (each for each in runs if each.activation == SOFTPLUS),
        key=lambda each: each.share("gradient_dead"),
    )
    return judge_dead_units(
        best[RELU].share("zero_dead"),
        softplus.share("zero_dead"),
        softplus.share("gradient_dead"),
        worst.share("gradient_dead"),
        worst.lr,
    )


def share_of_seeds(runs: Runs, verdict: str) -> Estimate:
    """Return the mean share of units with a verdict, with its 95 % interval over seeds."""
    shares = [run.verdicts[verdict] / run.units for run in runs.by_seed.values()]
    found = t_interval(shares)
    return Estimate(found.value, max(0.0, found.low), min(1.0, found.high))


def _convergence(found: Study) -> Finding:
    best = {r.activation: r for r in chosen(by_learning_rate(found.config, found.results)).values()}
    if not {RELU, SOFTPLUS} <= best.keys():
        return Finding(NOT_RUN, "not both have been trained")
    seeds = sorted(best[RELU].by_seed.keys() & best[SOFTPLUS].by_seed.keys())
    never = found.config.training.epochs + 1
    taken = np.array(
        [
            [
                _epochs_to(best[RELU].by_seed[seed].curve[-1] - found.config.margin, curve, never)
                for curve in (best[name].by_seed[seed].curve for name in (SOFTPLUS, RELU))
            ]
            for seed in seeds
        ]
    ).reshape(-1, 2)
    if len(taken) == 0:
        return Finding(NOT_RUN, "they share no seed")
    softplus, relu = taken.mean(0)
    goal = f"come within the margin of relu's final validation {found.metric}"
    difference = paired_mean(taken[:, 0] - taken[:, 1]).interval()
    return judge_convergence(difference, float(relu), float(softplus), goal)


def _epochs_to(goal: float, curve: Sequence[float], never: int) -> int:
    return next((epoch for epoch, value in enumerate(curve) if value >= goal), never)


# --- depth and outputs ---------------------------------------------------------------------------


def judge_deep_nets(gradients: Mapping[str, tuple[float, float]], layers: int) -> Finding:
    """Judge by the gradient's variance at the first layer over that at the last.

    Args:
        gradients: Its logarithm to base 10 for relu and softplus, by initialisation.
        layers: Hidden layers.
    """
    measured = f"factor of the gradient's variance over {layers} layers: "
    measured += "; ".join(
        f"{init}: softplus 10^{softplus:.1f}, relu 10^{relu:.1f}"
        for init, (relu, softplus) in gradients.items()
    )
    lost = [-softplus > KEPT and softplus < relu - 1 for relu, softplus in gradients.values()]
    return Finding(HOLDS if all(lost) else DEPENDS if any(lost) else NOT, measured)


def judge_positive_outputs(
    negative: Mapping[str, float], mean: float, over_plain: Estimate, over_exp: Estimate
) -> Finding:
    """Judge softplus on the output of a regression on counts.

    Args:
        negative: Share of negative predictions of each activation of the output.
        mean: Mean test R^2 with softplus.
        over_plain: Difference of softplus's test R^2 from that of a plain output.
        over_exp: Difference from that of exp.
    """

    def said(name: str, difference: Estimate) -> str:
        if not math.isfinite(difference.low):
            return f"{name} n/a"
        between = f"{difference.low:+.3f} to {difference.high:+.3f}"
        return f"{name} {difference.value:+.3f} ({between})"

    measured = (
        f"negative predictions: {percent(negative[SOFTPLUS], 2)} with softplus,"
        f" {percent(negative[PLAIN], 2)} without; R^2 {mean:.3f}; difference from"
        f" {said('none', over_plain)}, from {said('exp', over_exp)}"
    )
    if negative[SOFTPLUS] > 0 or not mean > 0:
        return Finding(NOT, measured)
    if negative[PLAIN] == 0:
        return Finding(DEPENDS, measured)
    worse = over_plain.high < 0 or over_exp.high < 0
    return Finding(LIMITS if worse else HOLDS, measured)


def _deep_nets(found: Propagation) -> Finding:
    by_init: dict[str, dict[str, float]] = {}
    for row in found.table.records:
        value = row["log10_gradient_measured"]
        value = row["log10_gradient_theory"] if value is None else value
        if value is not None:
            by_init.setdefault(row["init"], {})[row["activation"]] = value
    gradients = {
        init: (values[RELU], values[SOFTPLUS])
        for init, values in by_init.items()
        if {RELU, SOFTPLUS} <= values.keys()
    }
    if not gradients:
        return Finding(NOT_RUN, "no initialisation was measured with both")
    return judge_deep_nets(gradients, found.config.layers)


def _positive_outputs(found: Outputs) -> Finding:
    rows = {row["output"]: row for row in found.rows()}
    return judge_positive_outputs(
        {name: row["negative_share"] for name, row in rows.items()},
        rows[SOFTPLUS]["mean"],
        found.difference(SOFTPLUS, PLAIN),
        found.difference(SOFTPLUS, EXP),
    )


_KINDS = (
    _Kind(
        "formula",
        "Softplus is ln(1 + exp(x)): 0.13 at -2, 0.69 at 0, 5.01 at 5.",
        "functions",
        _formula,
        "actcompare eval --error --act softplus -- -2 0 5",
    ),
    _Kind(
        "derivative",
        "Its derivative is the sigmoid.",
        "functions",
        lambda found: judge_derivative(found.softplus.derivative_error),
        "actcompare eval --act softplus --act sigmoid -- -2 0 5",
    ),
    _Kind(
        "smooth",
        "It is smooth everywhere.",
        "functions",
        _smooth,
        "actcompare eval --dtype float64 --act softplus -- 20 20.000000000000004",
    ),
    _Kind(
        "never_zero",
        "Neither its value nor its gradient is ever 0.",
        "functions",
        _never_zero,
        "actcompare table",
    ),
    _Kind(
        "large_inputs",
        f"For large inputs (above {THRESHOLD:g}) it is identical to relu.",
        "functions",
        lambda found: judge_large_inputs(found.softplus.equal_from, found.softplus.gap_at_5),
        "actcompare eval -- 5 10 15 20 25",
    ),
    _Kind(
        "sparsity",
        "Relu's outputs are sparse, softplus's are not.",
        "functions",
        _sparsity,
        "actcompare table",
    ),
    _Kind(
        "drop_in",
        "It is a drop-in replacement for relu.",
        "functions",
        lambda found: judge_drop_in(found.softplus.uses),
        "actcompare help softplus",
    ),
    _Kind("dead_units", "Relu's units die, softplus's do not.", "study", _dead_units, both=True),
    _Kind("convergence", "It converges more slowly.", "study", _convergence, both=True),
    _Kind("slower_alone", "It is slower to compute, alone.", "alone", _slower, both=True),
    _Kind("slower_step", "It is slower in a training step.", "step", _slower, both=True),
    _Kind("slower_compiled", "It is slower when compiled.", "compiled", _slower, both=True),
    _Kind(
        "deep_nets",
        "In very deep nets its gradient vanishes, so that it learns slowly.",
        "depth",
        _deep_nets,
        both=True,
    ),
    _Kind(
        "positive_outputs",
        "It suits outputs that must be positive.",
        "outputs",
        _positive_outputs,
        f"actcompare train --data {COUNTS} --output-act softplus --batch-size 128",
    ),
)

NAMES = tuple(kind.name for kind in _KINDS)
"""The names of the claims, in order."""
