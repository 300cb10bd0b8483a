"""The answer names a winner only where the evidence does, and says what would settle the rest."""

from dataclasses import replace

import pytest

from actcompare.benchmark.bench import Benchmark
from actcompare.benchmark.records import Case
from actcompare.reporting.advice import changes, limits, uses
from actcompare.reporting.answers import NUMBERS, answer_rows, headline, reading, sentences
from actcompare.reporting.evidence import DONE, Evidence, Variation
from actcompare.reporting.parts.outputs import OUTPUTS, Outputs
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
    said = headline(of(study(relu=0.9, softplus=0.95)))
    assert said == "On digits, softplus does better than relu: +5.00 points (+4.92 to +5.08)."


def test_a_small_win_is_called_so() -> None:
    said = headline(of(study(relu=0.9, softplus=0.91)))
    assert "softplus does better than relu: +1.00 points" in said
    assert "For softplus it may be less than the margin of 1 point." in said


def test_two_winners_are_not_ranked() -> None:
    said = headline(of(study(relu=0.9, softplus=0.95, gelu=0.96)))
    assert "softplus and gelu do better than relu" in said
    assert "Which of them is best was not tested" in said


def test_stay_with_the_baseline() -> None:
    said = headline(of(study(relu=0.95, softplus=0.9)))
    assert said.startswith("Stay with relu on digits: softplus does worse: -5.00 points")


def test_no_difference_is_decided_by_the_cost() -> None:
    same = study(relu=0.9, softplus=0.9001)
    for step, expected in (
        (None, "What a training step costs was not measured."),
        (steps(1e-3, 1.3e-3), "softplus costs more (1.30 times relu's training step)."),
        (steps(1e-3, 0.7e-3), "softplus costs less (0.70 times relu's training step)."),
        (steps(1e-3, 1e-3), "The training step of softplus costs as much."),
    ):
        said = headline(of(same, step))
        assert said.startswith("On digits it does not matter: softplus does as well as relu")
        assert said.endswith(expected)


def test_a_cost_within_the_noise_is_not_settled() -> None:
    cost = {"traffic_bytes": None}
    noisy = benchmark(relu=1e-3, softplus=1.02e-3, case=STEP, cost=cost, noise=0.3)
    said = headline(of(study(relu=0.9, softplus=0.9001), noisy))
    assert "A training step of softplus took " in said
    assert said.endswith("this run cannot tell whether it costs more.")


def test_what_is_not_settled_says_what_would_settle_it() -> None:
    said = headline(of(UNSETTLED))
    assert said.startswith("Not settled on digits")
    assert "new seeds would likely settle softplus: actcompare study --act relu" in said
    assert "--seed 12 --seeds" in said  # seeds that have not been looked at
    few = headline(of(study_of({"relu": [0.9] * 2, "softplus": [0.8] * 2})))
    assert few.startswith("Not settled on digits")
    assert "they share fewer than 3 seeds: actcompare report --budget 300" in few


def test_every_group_of_verdicts_is_named() -> None:
    tests = {"relu": [0.9] * 12, "gelu": [0.9 + j for j in JITTER], "tanh": [0.1] * 12}
    tests["softplus"] = [0.9 + 0.06 * (-1) ** k + 0.01 for k in range(12)]
    tests["silu"] = [0.8 + j for j in JITTER]
    tests["mish"] = [0.95 + j for j in JITTER]
    said = headline(of(study_of(tests)))
    for expected in (
        "On digits, mish does better than relu",
        "gelu does as well as relu",
        "Not settled: whether softplus does better or worse",
        "silu does worse",
        "tanh did not train.",
    ):
        assert expected in said
    assert "it does not matter" not in said


def test_a_baseline_that_did_not_train_decides_nothing() -> None:
    said = headline(of(study_of({"relu": [0.1, 0.11, 0.1, 0.09], "softplus": [0.9] * 4})))
    assert said.startswith("relu, the baseline, did not learn digits")
    assert "better" not in said


def test_without_a_study_nothing_is_said_of_quality() -> None:
    said = headline(of(None))
    assert said == (
        "Which one trains better was not measured: no time. Give it more time: actcompare report"
        " --budget 300."
    )
    assert sentences(of(None)) == []


def test_a_failed_activation_has_no_result() -> None:
    made = study_of({"relu": [0.9] * 4})
    for activations, expected in (
        (("relu", "softplus"), "softplus failed."),
        (("softplus", "relu"), "softplus, the baseline, has no result"),
    ):
        config = replace(made.config, activations=activations)
        found = of(replace(made, config=config, failures=(failure("softplus"),)))
        assert expected in headline(found)
        assert "failed" in [row["quality"] for row in answer_rows(found)]


def test_one_activation_alone() -> None:
    said = headline(of(study_of({"relu": [0.9] * 4})))
    assert said == "Only relu was measured: name another to compare it with."


def test_each_sentence_has_quality_cost_and_dead_units() -> None:
    first, second, gloss = sentences(of(study(relu=0.9, softplus=0.95), steps(1e-3, 1.1e-3)))
    assert first.startswith("relu: test accuracy 90.1 % (90.0 % to 90.2 %) over 12 seeds")
    assert second.startswith("softplus: test accuracy 95.1 % (")
    assert "better than relu (+5.00 points (+4.92 to +5.08))" in second
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
    """Studies of one activation, with these means."""
    means = dict(zip(OUTPUTS, (plain, softplus, exp), strict=True))
    studies = {name: study_of({"relu": [mean + j for j in JITTER]}) for name, mean in means.items()}
    return Outputs("randhie", studies, {name: (negative * (name == "none"),) for name in OUTPUTS})


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
    assert use.advice == "not settled"


def test_what_is_worse_is_named_even_if_another_is_not_settled() -> None:
    tests = {"relu": [0.9] * 12, "silu": [0.8 + j for j in JITTER]}
    tests["gelu"] = [0.9 + 0.06 * (-1) ** k + 0.01 for k in range(12)]
    (use,) = (use for use in uses(of(study_of(tests))) if use.situation == "these data")
    assert use.advice == "relu, or gelu (not settled); not silu"


@pytest.mark.parametrize(
    ("here", "there", "head"),
    [
        (0.9, 0.9, "The verdict stays"),
        (0.9, 0.8, "It changes"),
        (0.9, None, "Too few seeds or too much noise to tell"),
        (None, 0.9, "It is settled there"),
        (None, None, "Too few seeds or too much noise to tell"),
    ],
)
def test_what_a_changed_setting_says(here: float | None, there: float | None, head: str) -> None:
    made = [UNSETTLED if mean is None else study(relu=0.9, softplus=mean) for mean in (here, there)]
    found = replace(of(made[0]), variations=(Variation("Adam", made[1]),))
    assert limits(found)[0].startswith(f"{head}: softplus with Adam")


def test_the_headline_names_a_reversal() -> None:
    reversed_ = Variation("3 hidden layers", study(relu=0.9, softplus=0.8))
    said = headline(replace(of(study(relu=0.9, softplus=0.9001)), variations=(reversed_,)))
    assert "With 3 hidden layers, softplus does worse: -10.00 points (" in said
    again = Variation("Adam", study(relu=0.9, softplus=0.9001))
    assert "Adam" not in headline(replace(of(study(relu=0.9, softplus=0.9)), variations=(again,)))


def test_changes_compare_each_with_the_baseline() -> None:
    varied = Variation("depth 3", study(relu=0.9, softplus=0.8))
    found = replace(of(study(relu=0.9, softplus=0.95)), variations=(varied,))
    (row,) = changes(found)
    assert (row["setting"], row["activation"], row["quality"]) == ("depth 3", "softplus", "worse")
    assert limits(found)[0] == "It changes: softplus with depth 3 (worse)."
