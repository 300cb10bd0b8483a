"""`actcompare study` as people and scripts use it."""

import csv
import io
import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from actcompare.output.render import write_table
from actcompare.studies.records import Outcome
from actcompare.studies.store import Store
from actcompare.studies.study import Study
from actcompare.studies.tables import answer_grid, rate_grid, runs_grid
from actcompare.text import duration
from tests.conftest import Run
from tests.studies.runs import config, failure, result, study_of
from tests.training.runs import ENVIRONMENT

pytestmark = pytest.mark.usefixtures("in_tmp")
QUICK = ("study", "--seeds", "6", "--epochs", "2", "--hidden", "8", "--lr", "0.1", "--workers", "1")
COMMAND = [sys.executable, "-m", "actcompare"]
KEYS = [
    "activation", "depth", "hidden", "lr", "seeds", "diverged", "mean", "mean_low", "mean_high",
    "iqm", "guess", "pairs", "difference", "difference_low", "difference_high", "p_value", "p_holm",
    "p_sign_flip", "p_sign_flip_holm", "test_samples", "test_error", "verdict", "seeds_needed",
    "zero_dead_share", "gradient_dead_share", "step_s",
]  # fmt: skip


def test_people_see_the_answer_and_what_it_rests_on(run: Run) -> None:
    done = run(*QUICK, "--act", "relu", "--act", "softplus", "--lr", "0.3")
    assert (done.exit_code, done.stderr) == (0, "")
    for words in (
        "test accuracy (95 %)",
        "difference (95 %)",
        "p Holm",
        "baseline",
        "gradient-dead",
        "step, relative",
        "6 paired seeds",
        "* marks the chosen rate",
        "chosen on the validation set",
    ):
        assert words in " ".join(done.stdout.split())


def test_csv_and_json(run: Run) -> None:
    rows = list(csv.DictReader(io.StringIO(run(*QUICK, "--format", "csv").stdout)))
    made = json.loads(run(*QUICK, "--format", "json").stdout)
    assert [list(row) for row in rows] == [KEYS, KEYS]
    assert [list(row) for row in made["rows"]] == [KEYS, KEYS]
    assert made["command"] == "study"
    assert made["config"]["activations"] == ["relu", "softplus"]
    assert made["config"]["epochs"] == 2
    assert made["complete"] is True
    assert len(made["cells"]) == 12
    assert len(made["cells"][0]["validation_curve"]) == 3
    chosen = [cell["test_metric"] for cell in made["cells"] if cell["activation"] == "relu"]
    assert sum(chosen) / 6 == pytest.approx(made["rows"][0]["mean"])
    assert [row["lr"] for row in made["shared_rates"]] == [0.1, 0.1]
    assert float(rows[1]["mean"]) == made["rows"][1]["mean"]
    assert made["rows"][0]["p_value"] is None


def test_a_store_is_shown_alone_gone_on_with_and_refused(run: Run) -> None:
    first = run(*QUICK, "--store", "s.db", "--format", "csv")
    assert first.exit_code == 0
    assert run("study", "--store", "s.db", "--format", "csv").stdout == first.stdout
    assert run(*QUICK, "--store", "s.db", "--format", "csv").stdout == first.stdout
    refused = run(*QUICK, "--store", "s.db", "--epochs", "3")
    assert refused.exit_code == 1
    assert "s.db holds a study with epochs 2, not 3: use its settings" in refused.stderr
    more = run(*QUICK, "--store", "s.db", "--act", "relu", "--act", "tanh", "--format", "csv")
    assert [row["activation"] for row in csv.DictReader(io.StringIO(more.stdout))] == [
        "relu",
        "tanh",
    ]
    everything = run("study", "--store", "s.db", "--format", "csv").stdout
    acts = [row["activation"] for row in csv.DictReader(io.StringIO(everything))]
    assert acts == ["relu", "softplus", "tanh"]


def test_a_store_that_is_not_there_is_not_made(run: Run) -> None:
    done = run("study", "--store", "none.db")
    assert done.exit_code == 2
    assert "there is no study in none.db" in done.stderr
    assert not Path("none.db").exists()


def test_another_torch_is_warned_of(run: Run) -> None:
    assert run(*QUICK, "--store", "s.db").exit_code == 0
    with sqlite3.connect("s.db") as db:
        db.execute("""UPDATE study SET value = json_set(value, '$.torch', '1.0')
                      WHERE key = 'environment'""")
    assert run(*QUICK, "--store", "s.db").stderr == ""  # nothing is computed
    more = run(*QUICK, "--store", "s.db", "--seeds", "7")
    assert "warning: results may differ in the last bits, since torch was 1.0" in more.stderr


def test_dry_run_says_what_it_takes_and_does_nothing(run: Run) -> None:
    done = run("study", "--seeds", "30", "--epochs", "2", "--hidden", "8", "--dry-run")
    assert done.exit_code == 0
    assert "for 300 of 300 runs in " in done.stdout
    assert "2 workers" in done.stdout
    assert "each worker needs about" in " ".join(done.stdout.split())
    made = json.loads(run(*QUICK, "--dry-run", "--format", "json").stdout)
    assert [row["cells"] for row in made["rows"]] == [6, 6]
    assert made["cells"] == 12
    assert run(*QUICK, "--store", "s.db", "--dry-run").exit_code == 0
    assert not Path("s.db").exists()
    assert run(*QUICK, "--store", "s.db").exit_code == 0
    more = (*QUICK, "--store", "s.db", "--act", "gelu")
    assert "for 6 of 6 runs in " in run(*more, "--dry-run").stdout
    assert "gelu" not in run("study", "--store", "s.db").stdout
    assert "nothing left to do" in run(*QUICK, "--store", "s.db", "--dry-run").stderr


def test_gates(run: Run) -> None:
    assert run(*QUICK, "--fail-on", "diverged>0").exit_code == 0
    done = run(*QUICK, "--fail-on", "mean<2")
    assert done.exit_code == 3
    assert "failed on mean<2: it is 0." in done.stderr
    assert "no column vigour" in run(*QUICK, "--fail-on", "vigour<2").stderr


def test_plots(run: Run) -> None:
    done = run(*QUICK, "--plot", "--plot-file", "s.svg", "--depth", "1", "--depth", "2")
    assert done.exit_code == 0
    for words in ("paired difference (depth 1, hidden 8)", "test accuracy against learning rate"):
        assert words in done.stdout
    drawn = Path("s.svg").read_text(encoding="utf-8")
    for words in ("softplus", "difference from relu", "depth 2, hidden 8"):
        assert words in drawn


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--act", "relu", "--act", "relu"], 2, "act relu is given twice"),
        (["--seeds", "0"], 2, "seeds must be at least 1"),
        (["--margin", "-1"], 2, "margin must be 0 or more"),
        (["--engine", "spark"], 2, "is not one of 'local', 'ray'"),
        (["--address", "auto"], 2, "address needs --engine ray"),
        (["--engine", "ray", "--address", "127.0.0.1:1", "--seeds", "2"], 1, "no Ray cluster at"),
        (["--batch-size", "5000"], 1, "use 1,259 or less"),
        (["--device", "cuda:99"], 1, "device cuda:99"),
        (["--output", "no/where.csv"], 1, "no folder"),
        (["--store", "no/where.db"], 1, "cannot write no/where.db"),
    ],
)
def test_bad_input_is_one_line(run: Run, arguments: list[str], code: int, message: str) -> None:
    done = run("study", "--epochs", "1", *arguments)
    assert done.exit_code == code
    assert message in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_one_seed_makes_no_claim(run: Run) -> None:
    done = run("study", "--seeds", "1", "--epochs", "1", "--lr", "0.1")
    assert done.exit_code == 0
    assert "One seed supports no claim" in done.stdout
    assert "inf" not in done.stdout


def test_every_run_diverges(run: Run) -> None:
    done = run("study", "--seeds", "6", "--epochs", "2", "--lr", "1e30", "--workers", "1")
    assert done.exit_code == 0
    said = " ".join(done.stdout.split())
    assert "Diverged at the chosen learning rates: 6 of 6 runs of relu" in said
    assert "first try a smaller --lr" in said


def test_every_run_fails(run: Run) -> None:
    Path("wild.py").write_text("def act(x):\n    return x * 1e38 * 1e38\n")
    done = run(*QUICK, "--act", "wild.py:act")
    assert done.exit_code == 1
    assert "error: every run failed. First error (wild.py:act, seed 0)" in done.stderr


def test_a_store_that_is_gone_is_told_and_nothing_is_lost(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = Store.add

    def gone_after(store: Store, outcomes: Sequence[Outcome]) -> None:
        add(store, outcomes)
        store.path.unlink(missing_ok=True)

    whole = run(*QUICK, "--format", "csv")
    monkeypatch.setattr(Store, "add", gone_after)
    done = run(*QUICK, "--format", "csv", "--store", "s.db")
    assert done.exit_code == 1
    assert "error: s.db was removed, moved or replaced while the study was" in done.stderr
    assert _without_times(done.stdout) == _without_times(whole.stdout)


def test_a_store_without_results_is_told(run: Run) -> None:
    run(*QUICK, "--store", "s.db")
    with sqlite3.connect("s.db") as db:
        db.executescript("DELETE FROM cells; DELETE FROM curves")
    Path("empty.db").touch()
    for name in ("s.db", "empty.db"):
        done = run("study", "--store", name)
        assert done.exit_code == 1
        assert f"error: {name} has no results yet: name what to compare" in done.stderr
    assert "runs" in run(*QUICK, "--store", "empty.db", "--dry-run").stdout
    assert Path("empty.db").stat().st_size == 0
    for name in ("s.db", "empty.db"):
        assert run(*QUICK, "--store", name).exit_code == 0


LONG = [
    *(*COMMAND, "study", "--seeds", "60", "--lr", "0.1", "--epochs", "20", "--hidden", "16"),
    *("--format", "csv", "--workers", "2"),
]


@pytest.fixture(scope="module")
def unbroken() -> list[list[str]]:
    done = subprocess.run(LONG, capture_output=True, text=True, check=True)
    return _without_times(done.stdout)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_ended_at_any_moment_it_goes_on(how: signal.Signals, unbroken: list[list[str]]) -> None:
    command = [*LONG, "--store", "s.db"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for _ in range(600):
        time.sleep(0.02)
        if Path("s.db").exists() and _stored():
            break
    process.send_signal(how)
    _, err = process.communicate(timeout=60)
    done = _stored()
    assert 0 < done < 120
    if how != signal.SIGKILL:
        assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[how]
        assert f"{done} of 120 runs are done: the same command resumes here" in err
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert _without_times(again.stdout) == unbroken


def _stored() -> int:
    try:
        with sqlite3.connect("file:s.db?mode=ro", uri=True) as db:
            return int(db.execute("SELECT count(*) FROM cells").fetchone()[0])
    except sqlite3.Error:
        return 0


def _without_times(text: str) -> list[list[str]]:
    return [line.split(",")[:-1] for line in text.splitlines()]


def test_what_did_not_train_trips_a_gate_and_is_still_the_baseline(run: Run) -> None:
    deep = ("study", "--act", "softplus", "--act", "relu", "--seeds", "3", "--depth", "6")
    small = (*deep, "--hidden", "8", "--epochs", "1", "--lr", "0.001")
    done = run(*small, "--fail-on", "verdict==did not train", "--fail-on", "difference_high<0")
    assert done.exit_code == 3
    assert "failed on verdict==did not train: it is did not train for softplus" in done.stderr
    assert "did not train (baseline)" in done.stdout
    assert "softplus, the baseline, did not train" in done.stdout


# --- tables --------------------------------------------------------------------------------------


def test_the_tables_look_as_they_did() -> None:
    study = study_of(
        {
            "relu": [0.90, 0.91, 0.92, 0.93, 0.90, 0.91],
            "softplus": [0.95, 0.96, 0.96, 0.98, 0.95, 0.95],
            "gelu": [0.90, 0.95, 0.90, 0.93, 0.91, 0.89],
        }
    )
    more = result("relu", 0, 0.4, lr=1.0, diverged=2)
    study = Study(
        config("relu", "softplus", "gelu", "tanh", seeds=6, lrs=(0.1, 1.0)),
        ENVIRONMENT,
        "accuracy",
        (*study.results, more),
        (failure("tanh"),),
    )
    out = io.StringIO()
    columns = study.columns()
    for grid in (
        answer_grid(columns, study.metric, study.config),
        runs_grid(columns),
        rate_grid(study.shared_rates(), columns, study.metric),
    ):
        write_table(grid, out)
    golden = Path(__file__).parent.parent / "golden" / "study.txt"
    assert out.getvalue() == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.123, "0.12 s"), (9.9, "9.9 s"), (42.2, "42 s"), (600, "10 min"), (9000, "2.5 h"),
     (864000, "10.0 days")],
)  # fmt: skip
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said
