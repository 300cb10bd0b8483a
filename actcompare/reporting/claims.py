"""The claims of popular articles on softplus and relu, each judged by what was measured here.

What was not measured, or not of relu and softplus, is called `not run`.
"""

import itertools
import math
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from actcompare.benchmark.bench import Benchmark
from actcompare.benchmark.records import Case
from actcompare.propagation.signal import Propagation
from actcompare.reporting.evidence import Evidence, ReportConfig
from actcompare.reporting.parts.functions import RELU, SOFTPLUS, THRESHOLD, Functions
from actcompare.reporting.parts.outputs import EXP, PLAIN, Outputs
from actcompare.reporting.verdicts import (
    NOT,
    NOT_RUN,
    UNKNOWN,
    Finding,
    judge_convergence,
    judge_dead_units,
    judge_deep_nets,
    judge_derivative,
    judge_drop_in,
    judge_formula,
    judge_large_inputs,
    judge_never_zero,
    judge_positive_outputs,
    judge_slower,
    judge_smooth,
    judge_sparsity,
)
from actcompare.stats import Estimate, paired_mean, ratio_verdict, t_interval, unseen_share
from actcompare.studies.comparison import Runs, by_learning_rate, chosen
from actcompare.studies.study import Study
from actcompare.text import seconds

RESAMPLES = 2000
"""Resamples of the seeds for the interval of the speed of convergence."""


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
    return shlex.join(["actcompare", "report", *config.with_data(), *config.with_machine()])


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


def _both(found: Study) -> tuple[Runs, Runs] | None:
    """Return the runs of relu and softplus at their chosen rates, if there are any."""
    best = {r.activation: r for r in chosen(by_learning_rate(found.config, found.results)).values()}
    return (best[RELU], best[SOFTPLUS]) if {RELU, SOFTPLUS} <= best.keys() else None


def _dead_units(found: Study) -> Finding:
    both = _both(found)
    if both is None:
        return Finding(NOT_RUN, "not both have been trained")
    shares = {RELU: dead_shares(both[0], ZERO_DEAD), SOFTPLUS: dead_shares(both[1], GRADIENT_DEAD)}
    seeds = shares[RELU].keys() & shares[SOFTPLUS].keys()
    differences = [shares[RELU][seed] - shares[SOFTPLUS][seed] for seed in sorted(seeds)]
    worst = {}
    for name, verdict in ((RELU, ZERO_DEAD), (SOFTPLUS, GRADIENT_DEAD)):
        runs = [r for r in by_learning_rate(found.config, found.results) if r.activation == name]
        worst[name] = max((each.share(verdict), each.lr) for each in runs)
    return judge_dead_units(
        paired_mean(differences).interval() if differences else UNKNOWN,
        {RELU: both[0].share(ZERO_DEAD), SOFTPLUS: both[1].share(GRADIENT_DEAD)},
        {RELU: both[0].lr, SOFTPLUS: both[1].lr},
        worst,
    )


ZERO_DEAD, GRADIENT_DEAD = "zero_dead", "gradient_dead"


def dead_shares(runs: Runs, verdict: str) -> dict[int, float]:
    """Return the share of units with a verdict, by seed."""
    return {seed: run.verdicts[verdict] / run.units for seed, run in runs.by_seed.items()}


def share_of_seeds(runs: Runs, verdict: str) -> Estimate:
    """Return the mean share of units with a verdict, with its 95 % interval over seeds.

    Its upper end is at least the bound on what none of all units showed, by the rule of three.
    """
    found = t_interval([*dead_shares(runs, verdict).values()])
    bound = unseen_share(sum(run.units for run in runs.by_seed.values()))
    return Estimate(found.value, max(0.0, found.low), min(1.0, max(found.high, bound)))


def _convergence(found: Study) -> Finding:
    both = _both(found)
    if both is None:
        return Finding(NOT_RUN, "not both have been trained")
    if not all(runs.trained(found.config.margin) for runs in both):
        return Finding(NOT_RUN, "not both have learned")
    by_rate: dict[str, list[Runs]] = {RELU: [], SOFTPLUS: []}
    for runs in by_learning_rate(found.config, found.results):
        if runs.activation in by_rate:
            by_rate[runs.activation].append(runs)
    seeds = sorted(set.intersection(*(set(r.by_seed) for each in by_rate.values() for r in each)))
    if not seeds:
        return Finding(NOT_RUN, "they share no seed")
    margin, pairs = found.config.margin, itertools.product(by_rate[RELU], by_rate[SOFTPLUS])
    taken = [_epochs(relu, softplus, seed, margin) for relu, softplus in pairs for seed in seeds]
    shape = (len(by_rate[RELU]), len(by_rate[SOFTPLUS]), len(seeds), 2)
    epochs = np.array(taken).reshape(shape)
    validation = [
        np.array([[runs.by_seed[seed].validation.metric for seed in seeds] for runs in each])
        for each in by_rate.values()
    ]
    mean, interval = _with_rates_chosen_again(epochs, validation)
    return judge_convergence(interval, mean[0], mean[1], len(seeds))


def _epochs(relu: Runs, softplus: Runs, seed: int, margin: float) -> tuple[int, int]:
    """Return the epochs in which each reaches the lower of both final scores, less the margin."""
    curves = [runs.by_seed[seed].curve for runs in (relu, softplus)]
    goal = min(curve[-1] for curve in curves) - margin
    first = [next((i for i, x in enumerate(c) if x >= goal), len(c)) for c in curves]
    return first[0], first[1]


def _with_rates_chosen_again(
    epochs: npt.NDArray[np.int64], validation: Sequence[npt.NDArray[np.float64]]
) -> tuple[tuple[float, float], Estimate]:
    """Return mean epochs, and a percentile interval of their difference from resampled seeds.

    In each resample the learning rates are chosen again, since the choice is a part of the noise
    (Efron and Tibshirani 1993, chapter 13).

    Args:
        epochs: Epochs of relu and softplus, shape (rate of relu, rate of softplus, seed, 2).
        validation: Final scores of relu and of softplus, each of shape (rate, seed).
    """
    count, rng = epochs.shape[2], np.random.default_rng(0)
    known = [np.where(np.isnan(each), -np.inf, each) for each in validation]

    def means(some: npt.NDArray[Any]) -> tuple[float, float]:
        relu, softplus = (int(np.argmax(each[:, some].mean(1))) for each in known)
        mean = epochs[relu, softplus, some].mean(0)
        return float(mean[0]), float(mean[1])

    resampled = [means(some) for some in rng.integers(0, count, (RESAMPLES, count))]
    low, high = np.percentile([softplus - relu for relu, softplus in resampled], [2.5, 97.5])
    relu, softplus = means(np.arange(count))
    return (relu, softplus), Estimate(softplus - relu, float(low), float(high))


def _deep_nets(found: Propagation) -> Finding:
    by_init: dict[str, dict[str, Estimate]] = {}
    for row in found.table.records:
        value, low, high = (row[f"log10_gradient_{of}"] for of in ("measured", "low", "high"))
        if value is not None:
            known = low is not None and math.isfinite(value)
            interval = (low, high) if known else (-math.inf, math.inf)
            interval = (value, value) if value == -math.inf else interval
            by_init.setdefault(row["init"], {})[row["activation"]] = Estimate(value, *interval)
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
    if found.runs(SOFTPLUS) is None:
        return Finding(NOT, "every run with softplus failed")
    ours = rows[SOFTPLUS]
    return judge_positive_outputs(
        {name: row["negative_share"] for name, row in rows.items()},
        Estimate(ours["mean"], ours["mean_low"], ours["mean_high"]),
        {name: found.difference(SOFTPLUS, name) for name in (PLAIN, EXP)},
        found.studies[SOFTPLUS].config.margin,
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
    _Kind(
        "slower_compiled",
        "It is slower in a compiled training step.",
        "compiled",
        _slower,
        both=True,
    ),
    _Kind("deep_nets", "In very deep nets its gradient vanishes.", "depth", _deep_nets, both=True),
    _Kind(
        "positive_outputs", "It suits outputs that must be positive.", "outputs", _positive_outputs
    ),
)

NAMES = tuple(kind.name for kind in _KINDS)
"""The names of the claims, in order."""
