"""Each claim's verdict is turned by the measurements that it rests on, and by nothing else."""

import math
from collections.abc import Mapping
from dataclasses import replace

import pytest

from actcompare.reporting.claims import (
    DEPENDS,
    HOLDS,
    LIMITS,
    NAMES,
    NOT,
    NOT_RUN,
    UNCLEAR,
    VERDICTS,
    judge_claims,
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
from actcompare.reporting.functions import Use
from actcompare.stats import Estimate
from tests.benchmark.runs import benchmark
from tests.reporting.made import evidence
from tests.studies.runs import result, study_of

UNKNOWN = Estimate(0.0, -math.inf, math.inf)


@pytest.mark.parametrize(
    ("error", "verdict"), [(0.5, HOLDS), (2.0, HOLDS), (9.0, LIMITS), (1e3, NOT)]
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
    assert "works as a layer; not inplace" in judge_drop_in([both, one]).measured


def near(value: float, half: float = 0.01) -> Estimate:
    return Estimate(value, value - half, value + half)


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [
        ({"8": (near(3.0), "slower"), "9": (near(1.2), "slower")}, HOLDS),
        ({"8": (near(1.05), "slower"), "9": (near(1.04), "slower")}, LIMITS),
        ({"8": (near(3.0), "slower"), "9": (near(1.0), "same")}, DEPENDS),
        ({"8": (near(3.0), "slower"), "9": (near(1.0, 0.5), "unclear (machine busy)")}, DEPENDS),
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
    ("relu", "zero", "gradient", "worst", "verdict"),
    [
        (0.13, 0.0, 0.0, 0.0, HOLDS),
        (0.13, 0.0, 0.0, 0.9, LIMITS),
        (0.13, 0.02, 0.02, 0.02, LIMITS),
        (0.13, 0.0, 0.2, 0.2, NOT),
        (0.0, 0.0, 0.0, 0.0, NOT),
    ],
)
def test_dead_units(relu: float, zero: float, gradient: float, worst: float, verdict: str) -> None:
    assert judge_dead_units(relu, zero, gradient, worst, 1.0).verdict == verdict


@pytest.mark.parametrize(
    ("difference", "verdict"),
    [
        (Estimate(3.0, 1.0, 5.0), HOLDS),
        (Estimate(0.5, 0.1, 0.9), LIMITS),
        (Estimate(-3.0, -5.0, -1.0), NOT),
        (Estimate(0.0, -0.5, 0.5), NOT),
        (Estimate(1.0, -0.5, 2.5), UNCLEAR),
        (UNKNOWN, UNCLEAR),
    ],
)
def test_convergence(difference: Estimate, verdict: str) -> None:
    assert judge_convergence(difference, 5.0, 8.0, "the goal").verdict == verdict


@pytest.mark.parametrize(
    ("gradients", "verdict"),
    [
        ({"default": (-39.0, -53.0), "kaiming": (-0.2, -4.0)}, HOLDS),
        ({"default": (-39.0, -53.0), "critical": (-0.2, -0.3)}, DEPENDS),
        ({"critical": (-0.2, -0.3)}, NOT),
        ({"default": (-53.0, -39.0)}, NOT),
        ({"default": (-39.0, -39.2)}, NOT),
    ],
)
def test_deep_nets(gradients: Mapping[str, tuple[float, float]], verdict: str) -> None:
    assert judge_deep_nets(gradients, 50).verdict == verdict


SOME = {"none": 0.02, "softplus": 0.0, "torch:exp": 0.0}


@pytest.mark.parametrize(
    ("negative", "mean", "plain", "exp", "verdict"),
    [
        (SOME, 0.07, near(0.0), near(0.0), HOLDS),
        (SOME, 0.07, near(0.0), UNKNOWN, HOLDS),
        (SOME, 0.07, near(-0.05), near(0.0), LIMITS),
        (SOME, 0.07, near(0.0), near(-0.05), LIMITS),
        (SOME | {"softplus": 0.1}, 0.07, near(0.0), near(0.0), NOT),
        (SOME, -0.1, near(0.0), near(0.0), NOT),
        (SOME, math.nan, near(0.0), near(0.0), NOT),
        (SOME | {"none": 0.0}, 0.07, near(0.0), near(0.0), DEPENDS),
    ],
)
def test_positive_outputs(
    negative: Mapping[str, float], mean: float, plain: Estimate, exp: Estimate, verdict: str
) -> None:
    assert judge_positive_outputs(negative, mean, plain, exp).verdict == verdict


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


def test_training_claims_come_from_the_study() -> None:
    fast, slow = (0.1, 0.9, 0.9, 0.9), (0.1, 0.1, 0.1, 0.9)
    cells = [
        result(name, seed, 0.9, dead=dead, curve=curve)
        for name, dead, curve in (("relu", 4, fast), ("softplus", 0, slow))
        for seed in range(5)
    ]
    study = replace(study_of({"relu": [0.9] * 5, "softplus": [0.9] * 5}), results=tuple(cells))
    assert verdict_of("dead_units", study=study) == HOLDS
    few = replace(study, results=tuple(cell for cell in cells if cell.cell.seed < 2))
    assert verdict_of("convergence", study=few) == UNCLEAR


def test_claims_of_other_activations_are_not_run() -> None:
    found = evidence("gelu", "softplus")
    claims = judge_claims(replace(found, alone=benchmark()))
    slower = next(claim for claim in claims if claim.name == "slower_alone")
    assert slower.verdict == NOT_RUN
    assert "relu is not among the activations" in slower.measured
    assert slower.command == "actcompare report"
