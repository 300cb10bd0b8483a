"""Results that are there already."""

import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from actcompare import ActcompareError, UsageError, study_results
from tests.conftest import Run
from tests.studies.runs import study_of

pytestmark = pytest.mark.usefixtures("in_tmp")


def records(
    seeds: int = 8, *, lrs: tuple[float, ...] = (), validated: bool = False
) -> list[dict[str, Any]]:
    drawn = random.Random(0)
    found: list[dict[str, Any]] = []
    for activation, more in (("relu", 0.0), ("silu", 0.5)):
        for lr in lrs or (None,):
            for seed in range(seeds):
                row = {"activation": activation, "seed": 10 * seed}
                row |= {"metric": more + 0.1 * drawn.random() + (lr or 0)}
                row |= {"lr": lr} if lr else {}
                row |= {"validation": -(lr or 0)} if validated else {}
                found.append(row)
    return found


def test_the_statistics_are_those_of_a_study() -> None:
    tests = {"relu": [0.9, 0.92, 0.95, 0.91], "silu": [0.8, 0.85, 0.83, 0.82]}
    made = study_results(
        [
            {"label": act, "seed": seed, "metric": value}
            for act, values in tests.items()
            for seed, value in enumerate(values)
        ]
    )
    for mine, its in zip(made.rows(), study_of(tests).rows(), strict=True):
        for name in ("mean", "mean_low", "iqm", "pairs", "difference", "p_sign_flip"):
            assert mine[name] == its[name] or mine[name] == pytest.approx(its[name]), name


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet", "json"])
def test_every_format_gives_the_same(ending: str) -> None:
    frame, path = pd.DataFrame(records()), Path(f"r.{ending}")
    match ending:
        case "csv":
            frame.to_csv(path, index=False)
        case "tsv":
            frame.to_csv(path, index=False, sep="\t")
        case "parquet":
            frame.to_parquet(path)
        case "json":
            path.write_text(frame.to_json(orient="records", double_precision=15))
    rows = study_results(path).rows()
    assert rows[1]["verdict"] == "better"
    expected = study_results(frame).rows()[1]["difference"]
    assert rows[1]["difference"] == pytest.approx(expected, abs=1e-9)


def test_numbers_may_be_numpys() -> None:
    frame = pd.DataFrame(records()).astype({"metric": np.float32, "seed": np.int8})
    assert study_results(frame).rows()[1]["verdict"] == "better"


def test_rates_are_chosen_as_in_a_study() -> None:
    on_metric, on_validation = (
        study_results(records(lrs=(0.1, 1.0), validated=validated)) for validated in (False, True)
    )
    assert [row["lr"] for row in on_metric.rows()] == [1.0, 1.0]
    assert [row["lr"] for row in on_validation.rows()] == [0.1, 0.1]
    assert "chosen on metric itself" in on_metric.reading()
    assert "chosen on validation." in on_validation.reading()


def test_seeds_without_a_partner_are_told_and_left_out() -> None:
    some = [row for row in records() if (row["activation"], row["seed"]) != ("silu", 30)]
    made = study_results([*some, {"activation": "silu", "seed": 7, "metric": 9.0}])
    assert made.rows()[1]["pairs"] == 7
    assert made.rows()[1]["difference"] < 1
    assert "Not paired, and left out of the difference: seeds 7, 30" in made.reading()
    assert "missing" not in made.reading()
    apart = [row | {"seed": row["seed"] + (row["activation"] == "silu")} for row in records()]
    made = study_results(apart)
    assert made.rows()[1]["pairs"] == 0
    assert "silu cannot be compared with relu: they share fewer than 3 seeds" in made.reading()


def test_the_baseline_can_be_named(run: Run) -> None:
    pd.DataFrame(records()).rename(columns={"metric": "loss"}).to_csv("r.csv", index=False)
    of = ("study", "--results", "r.csv", "--metric", "loss", "--lower-is-better")
    done = run(*of, "--act", "silu", "--act", "relu", "--format", "json", "--plot-file", "r.svg")
    assert done.exit_code == 0
    made = json.loads(done.stdout)
    assert [row["verdict"] for row in made["rows"]] == ["baseline", "better"]
    assert made["complete"] is True
    assert made["metric"] == "loss"
    assert run(*of, "--fail-on", "verdict==worse").exit_code == 3
    said = run(*of).stdout
    assert "loss (95 %)" in said
    assert "run, relative" not in said
    assert run(*of, "--act", "gelu").exit_code == 2


def test_nan_counts(run: Run) -> None:
    rows = records()
    rows[3]["metric"] = math.nan
    made = study_results(rows)
    assert made.rows()[0]["diverged"] == 1
    assert made.rows()[1]["verdict"] == "unclear"
    pd.DataFrame(rows).to_csv("r.csv", index=False)
    assert "Not finite: metric of 1 of 8 runs of relu" in " ".join(
        run("study", "--results", "r.csv").stdout.split()
    )


def test_equal_seeds_are_told() -> None:
    made = study_results([row | {"metric": len(row["activation"]) + (
        row["activation"] == "silu")} for row in records()])  # fmt: skip
    assert "the seed seems to be unused" in made.reading()
    assert made.rows()[1]["verdict"] == "unclear"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 1.5}, "record 1: seed should be a whole number from 0, not 1.5"),
        ({"seed": -1}, "record 1: seed should be a whole number from 0, not -1"),
        ({"seed": "one"}, "record 1: seed should be a number, not 'one'"),
        ({"seed": 10}, "record 2: relu with seed 10 is there twice"),
        ({"metric": "high"}, "record 1: metric should be a number, not 'high'"),
        ({"metric": True}, "record 1: metric should be a number, not 'True'"),
        ({"activation": None}, "record 1: activation should be a name, not None"),
        ({"lr": -1}, "record 1: lr should be above 0, not -1"),
        ({"lr": 0.1}, "record 2: lr should be above 0, not nan"),
    ],
)
def test_rows_that_cannot_be_used_are_named(change: dict[str, Any], said: str) -> None:
    first, *others = records()
    with pytest.raises(ActcompareError) as caught:
        study_results([first | change, *others])
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("r.csv", "activation,metric\nrelu,1\n", "r.csv: no column seed, but activation, m"),
        ("r.csv", "activation,seed,acc\nrelu,1,1\n", "no column metric, but activation, seed, "
         "acc: name one with --metric"),
        ("r.csv", "activation,seed,metric\n", "r.csv has a header but no rows"),
        ("r.csv", "", "r.csv is empty"),
        ("r.json", "{", "r.json is not JSON"),
        ("r.json", '{"a": 1}', "r.json: results are a list of records"),
        ("r.json", "[1, 2]", "r.json: results are a list of records"),
        ("r.json", "[]", "r.json: no rows"),
        ("r.txt", "x", "r.txt is not a .csv, .tsv, .parquet or .json file"),
        ("r.parquet", "x", "r.parquet is not a Parquet file or is damaged"),
    ],
)  # fmt: skip
def test_files_that_cannot_be_used_are_told(run: Run, name: str, content: str, said: str) -> None:
    Path(name).write_text(content)
    done = run("study", "--results", name)
    assert done.exit_code in (1, 2)
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_other_bad_arguments() -> None:
    with pytest.raises(UsageError, match="margin must be 0 or more"):
        study_results(records(), margin=-1)
    with pytest.raises(UsageError, match="list of records"):
        study_results(5)  # type: ignore[arg-type]
    with pytest.raises(ActcompareError, match="No such file"):
        study_results("none.csv")
    with pytest.raises(UsageError, match="results: no gelu, but relu, silu"):
        study_results(records(), activations=["gelu"])
