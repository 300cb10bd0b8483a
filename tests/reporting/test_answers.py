"""The answer names a winner only where the evidence does, and says what would settle the rest."""

from dataclasses import replace

import pytest

from actcompare.benchmark.bench import Benchmark
from actcompare.benchmark.records import Case
from actcompare.reporting.answers import (
    NUMBERS,
    answer_rows,
    changes,
    headline,
    limits,
    reading,
    sentences,
    uses,
)
from actcompare.reporting.evidence import DONE, Evidence, Variation
from actcompare.reporting.outputs import OUTPUTS, RATES, OutputRun, Outputs
from actcompare.studies.study import Study
from tests.benchmark.runs import benchmark
from tests.reporting.made import evidence
from tests.studies.runs import failure, study_of

JITTER = [0.001 * (k % 3) for k in range(12)]
STEP = Case("cpu", "float32", (128, 64), "step", "eager", "hot", "warm", "contiguous", "normal")


def steps(relu: float, softplus: float) -> Benchmark:
    return benchmark(relu=relu, softplus=softplus, case=STEP, cost={"traffic_bytes": None})


def of(study: Study | None, step: Benchmark | None = None) -> Evidence:
    activations = ("relu", "softplus") if study is None else study.config.activations
    return replace(evidence(*activations), study=study, step=step)


def study(**means: float) -> Study:
    return study_of({name: [mean + j for j in JITTER] for name, mean in means.items()})


UNSETTLED = study_of(
    {"relu": [0.9] * 12, "softplus": [0.9 + 0.03 * (-1) ** k + 0.01 for k in range(12)]}
)


def test_a_winner() -> None:
    assert headline(of(study(relu=0.9, softplus=0.95))).startswith(
        "softplus does better than relu on digits."
    )


def test_two_winners_are_not_ranked() -> None:
    said = headline(of(study(relu=0.9, softplus=0.95, gelu=0.96)))
    assert "softplus and gelu do better than relu" in said
    assert "Which of them is best was not tested" in said


def test_stay_with_the_baseline() -> None:
    said = headline(of(study(relu=0.95, softplus=0.9)))
    assert said == "Stay with relu on digits: softplus does worse."


def test_no_difference_is_decided_by_the_cost() -> None:
    same = study(relu=0.9, softplus=0.9001)
    for step, expected in (
        (None, "Choose by what else you need."),
        (steps(1e-3, 1.3e-3), "relu costs less: a training step takes 30 % longer with softplus."),
        (steps(1e-3, 0.7e-3), "softplus costs less in a training step."),
        (steps(1e-3, 1e-3), "Choose by what else you need."),
    ):
        said = headline(of(same, step))
        assert "it does not matter: softplus does as well as relu, to within 1 point" in said
        assert expected in said


def test_what_is_not_settled_says_what_would_settle_it() -> None:
    said = headline(of(UNSETTLED))
    assert said.startswith("Not settled on digits")
    assert "seeds would settle softplus (there are 12): actcompare report --budget" in said
    few = headline(of(study_of({"relu": [0.9] * 2, "softplus": [0.8] * 2})))
    assert few.startswith("Not settled on digits")
    assert "2 seeds are too few for softplus: actcompare report --budget 300" in few


def test_some_settled_and_some_not() -> None:
    tests = {"relu": [0.9] * 12, "gelu": [0.9] * 12}
    tests["softplus"] = [0.9 + 0.03 * (-1) ** k + 0.01 for k in range(12)]
    said = headline(of(study_of(tests)))
    assert "gelu does as well as relu" in said
    assert "would settle softplus" in said


def test_a_baseline_that_did_not_train_decides_nothing() -> None:
    said = headline(of(study_of({"relu": [0.1, 0.11, 0.1, 0.09], "softplus": [0.9] * 4})))
    assert said.startswith("relu, the baseline, did not learn digits")
    assert "better" not in said


def test_without_a_study_nothing_is_said_of_quality() -> None:
    said = headline(of(None))
    assert said == "Which one trains better was not measured: no time."
    assert sentences(of(None)) == []


def test_a_failed_activation_has_no_result() -> None:
    made = study_of({"relu": [0.9] * 4})
    config = replace(made.config, activations=("relu", "softplus"))
    made = replace(made, config=config, failures=(failure("softplus"),))
    assert "softplus has no result" in headline(of(made))
    assert [row["quality"] for row in answer_rows(of(made))] == ["baseline", "failed"]


def test_one_activation_alone() -> None:
    said = headline(of(study_of({"relu": [0.9] * 4})))
    assert said == "Only relu was measured: name another to compare it with."


def test_each_sentence_has_quality_cost_and_dead_units() -> None:
    first, second, gloss = sentences(of(study(relu=0.9, softplus=0.95), steps(1e-3, 1.1e-3)))
    assert first.startswith("relu: test accuracy 90.1 % (90.0 % to 90.2 %) over 12 seeds")
    assert second.startswith("softplus: better: test accuracy 95.1 %")
    assert "difference +5.00 points" in second
    assert "a training step takes 1.10 times as long (1.09 to 1.10)" in second
    assert "0.0 % of its hidden units are zero-dead, 0.0 % gradient-dead" in second
    assert gloss.startswith("Zero-dead: the output is 0 on every sample.")


def test_rows_have_every_column_that_a_gate_can_test() -> None:
    for row in (*answer_rows(of(None)), *answer_rows(of(study(relu=0.9, softplus=0.9)))):
        assert set(row) == {"activation", "quality", "step_verdict", *NUMBERS}


def test_what_is_missing_is_named_with_its_command() -> None:
    found = evidence()
    said = reading(found)
    for part in found.parts:
        assert part.command in said
    done = replace(found, parts=tuple(replace(part, state=DONE) for part in found.parts))
    assert "actcompare" not in reading(done)


# --- what to use when ----------------------------------------------------------------------------


def outputs(*, negative: float, plain: float, softplus: float, exp: float) -> Outputs:
    means = dict(zip(OUTPUTS, (plain, softplus, exp), strict=True))
    runs = [
        OutputRun(output, lr, seed, mean, mean * (1 + jitter), negative * (output == "none"), False)
        for output, mean in means.items()
        for lr in RATES
        for seed, jitter in enumerate(JITTER)
    ]
    return Outputs("randhie", "relu", tuple(runs))


@pytest.mark.parametrize(
    ("made", "advice"),
    [
        (outputs(negative=0.1, plain=0.9, softplus=0.5, exp=0.4), "softplus on the output"),
        (outputs(negative=0.1, plain=0.9, softplus=0.4, exp=0.5), "exp on the output"),
        (outputs(negative=0.0, plain=0.9, softplus=0.4, exp=0.5), "no activation on the output"),
        (
            outputs(negative=0.1, plain=0.9, softplus=0.5, exp=0.5),
            "softplus on the output or exp on the output",
        ),
    ],
)
def test_a_positive_output_gets_the_best_that_has_no_negative_prediction(
    made: Outputs, advice: str
) -> None:
    (use,) = (use for use in uses(replace(evidence(), outputs=made)) if "positive" in use.situation)
    assert use.advice == advice


def test_unsettled_data_advise_nothing_new() -> None:
    (use,) = (use for use in uses(of(UNSETTLED)) if use.situation == "these data")
    assert use.advice == "relu (others are not settled)"


def test_changes_compare_each_with_the_baseline() -> None:
    varied = Variation("depth 3", ("--depth", "3"), study(relu=0.9, softplus=0.8))
    found = replace(of(study(relu=0.9, softplus=0.95)), variations=(varied,))
    (row,) = changes(found)
    assert (row["setting"], row["activation"], row["quality"]) == ("depth 3", "softplus", "worse")
    assert limits(found)[0] == "It changes: softplus with depth 3 (worse)."
