"""Each claim's verdict is turned by the measurements that it rests on, and by nothing else."""

import math
from collections.abc import Mapping
from dataclasses import replace

import pytest

from actcompare.reporting.claims import NAMES, judge_claims
from actcompare.reporting.parts.functions import Use
from actcompare.reporting.verdicts import (
    DEPENDS,
    HOLDS,
    LIMITS,
    NOT,
    NOT_RUN,
    UNCLEAR,
    VERDICTS,
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
from actcompare.stats import Estimate
from actcompare.studies.study import Study
from tests.benchmark.runs import benchmark
from tests.reporting.made import evidence
from tests.studies.runs import result, study_of

UNKNOWN = Estimate(math.nan, -math.inf, math.inf)


@pytest.mark.parametrize(
    ("error", "verdict"), [(0.5, HOLDS), (4.0, HOLDS), (9.0, LIMITS), (1e3, NOT)]
)
def test_formula_and_derivative_by_their_errors(error: float, verdict: str) -> None:
    assert judge_formula([0.1, error, 0.2], [0.1, 0.7, 5.0]).verdict == verdict
    assert judge_derivative(error).verdict == verdict


def test_nan_is_no_small_error() -> None:
    assert judge_formula([0.1, math.nan], [0.1, 0.7]).verdict == NOT
    assert judge_derivative(math.nan).verdict == NOT


@pytest.mark.parametrize(
    ("smoothness", "step", "verdict"),
    [("C2+", 0.0, HOLDS), ("C2+", -2e-9, LIMITS), ("C0", 0.0, NOT), ("C1", 0.0, NOT)],
)
def test_smooth(smoothness: str, step: float, verdict: str) -> None:
    assert judge_smooth(smoothness, step).verdict == verdict


@pytest.mark.parametrize(
    ("value", "grad", "share", "verdict"),
    [
        (None, None, 0.0, HOLDS),
        (-102.9, -104.0, 0.0, LIMITS),
        (-102.9, None, 0.0, LIMITS),
        (0.0, 0.0, 0.5, NOT),
        (-8.0, -8.0, 0.0, NOT),
    ],
)
def test_never_zero(value: float | None, grad: float | None, share: float, verdict: str) -> None:
    assert judge_never_zero(value, grad, share).verdict == verdict


@pytest.mark.parametrize(
    ("start", "verdict"), [(15.0, HOLDS), (20.0, HOLDS), (30.0, LIMITS), (None, NOT)]
)
def test_large_inputs(start: float | None, verdict: str) -> None:
    assert judge_large_inputs(start, 0.0067).verdict == verdict


@pytest.mark.parametrize(
    ("relu", "softplus", "verdict"), [(0.5, 0.0, HOLDS), (0.5, 0.2, LIMITS), (0.0, 0.0, NOT)]
)
def test_sparsity(relu: float, softplus: float, verdict: str) -> None:
    assert judge_sparsity(relu, softplus).verdict == verdict


def test_drop_in() -> None:
    both, one = Use("a layer", True, True), Use("inplace", True, False)
    neither = Use("integers", False, False)
    assert judge_drop_in([both, neither]).verdict == HOLDS
    assert judge_drop_in([both, one]).verdict == LIMITS
    assert judge_drop_in([one, neither]).verdict == NOT
    assert "works: a layer; does not: inplace" in judge_drop_in([both, one]).measured


def near(value: float, half: float = 0.01) -> Estimate:
    return Estimate(value, value - half, value + half)


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [
        ({"8": (near(3.0), "slower"), "9": (near(1.2), "slower")}, HOLDS),
        ({"8": (near(1.05), "slower"), "9": (near(1.04), "slower")}, LIMITS),
        ({"8": (near(3.0), "slower"), "9": (near(1.0), "same")}, DEPENDS),
        ({"8": (near(3.0), "slower"), "9": (near(1.0, 0.5), "unclear (machine busy)")}, UNCLEAR),
        ({"8": (near(1.1, 0.05), "slower")}, LIMITS),
        ({"8": (near(0.3), "faster")}, NOT),
        ({"8": (near(1.0, 0.001), "same"), "9": (near(0.3), "faster")}, NOT),
        ({"8": (near(1.1, 0.5), "unclear")}, UNCLEAR),
        ({"8": (near(1.1, 0.5), "unclear"), "9": (near(0.3), "faster")}, UNCLEAR),
        ({}, NOT_RUN),
    ],
)
def test_slower(ratios: Mapping[str, tuple[Estimate, str]], verdict: str) -> None:
    assert judge_slower(ratios).verdict == verdict


@pytest.mark.parametrize(
    ("difference", "relu", "softplus", "worst", "verdict"),
    [
        (near(0.13), 0.13, 0.0, (0.3, 0.0), HOLDS),
        (near(0.13), 0.13, 0.0, (0.3, 0.9), LIMITS),
        (near(0.05, 0.1), 0.05, 0.0, (0.3, 0.0), UNCLEAR),
        (near(-0.1), 0.1, 0.2, (0.3, 0.2), NOT),
        (near(0.0, 0.0), 0.0, 0.0, (0.0, 0.0), NOT),
        (near(0.0, 0.0), 0.0, 0.0, (0.3, 0.0), DEPENDS),
        (UNKNOWN, 0.13, 0.0, (0.3, 0.0), UNCLEAR),
    ],
)
def test_dead_units(
    difference: Estimate, relu: float, softplus: float, worst: tuple[float, float], verdict: str
) -> None:
    shares = {"relu": relu, "softplus": softplus}
    at = {name: (share, 1.0) for name, share in zip(shares, worst, strict=True)}
    rates = dict.fromkeys(shares, 0.1)
    assert judge_dead_units(difference, shares, rates, at).verdict == verdict


@pytest.mark.parametrize(
    ("difference", "seeds", "verdict"),
    [
        (Estimate(3.0, 1.0, 5.0), 20, HOLDS),
        (Estimate(3.0, 1.0, 5.0), 3, UNCLEAR),
        (Estimate(0.5, 0.1, 0.9), 20, LIMITS),
        (Estimate(-3.0, -5.0, -1.0), 20, NOT),
        (Estimate(0.0, -0.5, 0.5), 20, NOT),
        (Estimate(1.0, -0.5, 2.5), 20, UNCLEAR),
        (UNKNOWN, 20, UNCLEAR),
    ],
)
def test_convergence(difference: Estimate, seeds: int, verdict: str) -> None:
    assert judge_convergence(difference, 5.0, 8.0, seeds).verdict == verdict


LOST, KEPT = near(-53.0, 1.0), near(-0.3, 0.5)


@pytest.mark.parametrize(
    ("gradients", "verdict"),
    [
        ({"default": (near(-39.0), LOST), "kaiming": (KEPT, near(-4.0))}, HOLDS),
        ({"default": (near(-39.0), LOST), "critical": (KEPT, KEPT)}, DEPENDS),
        ({"default": (near(-60.0), LOST)}, HOLDS),  # whatever relu's does
        ({"default": (LOST, Estimate(-math.inf, -math.inf, -math.inf))}, HOLDS),
        ({"critical": (KEPT, KEPT)}, NOT),
        ({"default": (KEPT, near(-2.6, 1.0))}, UNCLEAR),
        ({"default": (KEPT, Estimate(-53.0, -math.inf, math.inf))}, UNCLEAR),
        ({"default": (KEPT, UNKNOWN)}, UNCLEAR),
    ],
)
def test_deep_nets(gradients: Mapping[str, tuple[Estimate, Estimate]], verdict: str) -> None:
    assert judge_deep_nets(gradients, 50).verdict == verdict


SOME = {"none": 0.02, "softplus": 0.0, "torch:exp": 0.0}
FINE, TIE = near(0.07), near(0.0, 0.005)


@pytest.mark.parametrize(
    ("negative", "mean", "plain", "exp", "verdict"),
    [
        (SOME, FINE, TIE, TIE, HOLDS),
        (SOME, FINE, TIE, UNKNOWN, HOLDS),
        (SOME, FINE, UNKNOWN, UNKNOWN, UNCLEAR),
        (SOME, FINE, near(-0.2, 0.3), TIE, UNCLEAR),
        (SOME, FINE, near(-0.05), TIE, LIMITS),
        (SOME, FINE, TIE, near(-0.05), LIMITS),
        (SOME, near(0.02, 0.05), TIE, TIE, UNCLEAR),
        (SOME | {"softplus": 0.1}, FINE, TIE, TIE, NOT),
        (SOME, near(-0.1), TIE, TIE, NOT),
        (SOME, UNKNOWN, TIE, TIE, UNCLEAR),
        (SOME | {"none": 0.0}, FINE, TIE, TIE, DEPENDS),
    ],
)
def test_positive_outputs(
    negative: Mapping[str, float], mean: Estimate, plain: Estimate, exp: Estimate, verdict: str
) -> None:
    over = {"none": plain, "torch:exp": exp}
    assert judge_positive_outputs(negative, mean, over, 0.01).verdict == verdict


# --- from the results of the parts ---------------------------------------------------------------


def verdict_of(name: str, **results: object) -> str:
    claims = judge_claims(replace(evidence(), **results))  # type: ignore[arg-type]
    return next(claim.verdict for claim in claims if claim.name == name)


def test_without_evidence_no_claim_has_a_verdict() -> None:
    claims = judge_claims(evidence())
    assert {claim.verdict for claim in claims} == {NOT_RUN}
    assert tuple(claim.name for claim in claims) == NAMES
    assert set(VERDICTS) >= {HOLDS, NOT_RUN}
    assert all(claim.command.startswith("actcompare ") for claim in claims)


def test_the_order_of_the_activations_turns_no_claim() -> None:
    """Softplus may be the baseline: the ratio is still that of softplus to relu."""
    made = benchmark(relu=1e-3, softplus=2e-3)
    assert verdict_of("slower_alone", alone=made) == HOLDS
    (measurement,) = made.measurements
    first, second = measurement.costs
    turned = replace(
        measurement,
        costs=(replace(first, activation="softplus"), replace(second, activation="relu")),
    )
    config = replace(made.config, activations=("softplus", "relu"))
    assert (
        verdict_of("slower_alone", alone=replace(made, config=config, measurements=(turned,)))
        == NOT
    )


def trained(seeds: int = 12, *, slow: int = 3, dead: int = 4) -> Study:
    """A study in which softplus takes so many epochs longer, and so many of relu's units die."""
    cells = []
    for seed in range(seeds):
        for name, epochs, died in (("relu", 1, dead), ("softplus", 1 + slow, 0)):
            curve = [0.1] * epochs + [0.9] * (8 - epochs)
            more = seed % 2 if died else 0
            cells.append(result(name, seed, 0.9, dead=died + more, curve=curve))
    return replace(
        study_of({"relu": [0.9] * seeds, "softplus": [0.9] * seeds}), results=tuple(cells)
    )


def test_training_claims_come_from_the_study() -> None:
    assert verdict_of("dead_units", study=trained()) == HOLDS
    assert verdict_of("dead_units", study=trained(dead=0)) == NOT
    assert verdict_of("convergence", study=trained()) == HOLDS
    assert verdict_of("convergence", study=trained(slow=0)) == NOT
    assert verdict_of("convergence", study=trained(seeds=3)) == UNCLEAR


def test_the_choice_of_rates_is_a_part_of_the_noise() -> None:
    """At one rate relu is faster, at the other softplus, and either is chosen by chance."""
    cells = []
    for seed in range(12):
        for name in ("relu", "softplus"):
            for lr, fast in ((0.1, "relu"), (0.3, "softplus")):
                epochs = 1 if name == fast else 4
                validation = 0.9 + 0.01 * ((seed % 2) == (lr > 0.2))
                curve = [0.1] * epochs + [validation] * (8 - epochs)
                cells.append(result(name, seed, 0.9, lr=lr, validation=validation, curve=curve))
    study = study_of({"relu": [0.9] * 12, "softplus": [0.9] * 12}, lrs=(0.1, 0.3))
    assert verdict_of("convergence", study=replace(study, results=tuple(cells))) == UNCLEAR


def test_what_did_not_learn_has_no_speed() -> None:
    study = study_of({"relu": [0.1, 0.11] * 6, "softplus": [0.9] * 12})
    assert verdict_of("convergence", study=study) == NOT_RUN


def test_claims_of_other_activations_are_not_run() -> None:
    found = evidence("gelu", "softplus")
    claims = judge_claims(replace(found, alone=benchmark()))
    slower = next(claim for claim in claims if claim.name == "slower_alone")
    assert slower.verdict == NOT_RUN
    assert "relu is not among the activations" in slower.measured
    assert slower.command == "actcompare report"
