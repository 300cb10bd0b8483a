"""`actcompare study --train` as people and scripts use it."""

import csv
import io
import json
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.studies.fits import mine

pytestmark = pytest.mark.usefixtures("in_tmp")
MINE = str(Path(mine.__file__))
OF = ("study", "--act", "relu", "--act", "silu", "--workers", "1", "--train")
COMMAND = [sys.executable, "-m", "actcompare"]


def test_people_see_the_answer_and_what_it_rests_on(run: Run) -> None:
    done = run(*OF, f"{MINE}:trains", "--seeds", "6", "--lr", "0.01", "--lr", "0.1", "--plot")
    assert done.exit_code == 0
    said = " ".join(done.stdout.split())
    for words in (
        "metric (95 %)",
        "6 paired seeds; lr chosen on validation; margin 0.",
        "run, relative",
        "Mean metric at each learning rate",
        "Higher metric is better; a difference is activation minus baseline.",
        "Learning rates were chosen on validation.",
        "Nothing is called the same without a --margin",
        "metric against learning rate",
        "(report)",
    ):
        assert words in said, words
    for words in ("test metric", "test samples", "gradient-dead", "validation set", "earlier"):
        assert words not in said, words


def test_csv_json_and_a_picture(run: Run) -> None:
    made = json.loads(
        run(*OF, f"{MINE}:trains", "--seeds", "3", "--lr", "0.1", "--set", "width=4",
            "--format", "json", "--plot-file", "s.svg").stdout
    )  # fmt: skip
    assert made["config"]["function"] == f"{MINE}:trains"
    assert made["config"]["settings"] == {"width": "4"}
    assert made["metric"] == "metric"
    assert made["complete"] is True
    assert len(made["cells"]) == 6
    assert len(made["cells"][0]["curve"]) == 4
    assert made["cells"][0]["width"] == 4
    assert list(made["rows"][0])[:3] == ["activation", "lr", "seeds"]
    drawn = Path("s.svg").read_text("utf-8")
    assert "difference from relu" in drawn
    assert "learning rate" not in drawn  # there is one
    rows = run(*OF, f"{MINE}:loss", "--seeds", "3", "--format", "csv").stdout
    assert "lr" not in next(csv.reader(io.StringIO(rows)))


@pytest.mark.parametrize("seeds", ["1", "4"])
def test_a_single_number_can_be_drawn(run: Run, seeds: str) -> None:
    done = run(*OF, f"{MINE}:loss", "--seeds", seeds, "--plot", "--plot-file", "s.svg")
    assert done.exit_code == 0
    assert "paired difference" in done.stdout
    assert "report" not in Path("s.svg").read_text("utf-8")


def test_prints_never_reach_the_data() -> None:
    command = [*COMMAND, *OF, f"{MINE}:prints", "--seeds", "3", "--format", "csv"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert [row["activation"] for row in csv.DictReader(io.StringIO(done.stdout))] == [
        "relu", "silu",
    ]  # fmt: skip
    assert done.stderr.count("printed by the fit") == 6
    assert done.stderr.count("printed by a child") == 6


def test_gates(run: Run) -> None:
    low = (*OF, f"{MINE}:loss", "--seeds", "8", "--lower-is-better")
    done = run(*low, "--fail-on", "verdict==worse")
    assert done.exit_code == 3
    assert "failed on verdict==worse: it is worse for silu\n" in done.stderr
    assert run(*low, "--fail-on", "difference_high<0").exit_code == 0
    refused = run(*low, "--fail-on", "step_s>1")
    assert refused.exit_code == 2
    assert "no column step_s" in refused.stderr
    done = run(*OF, f"{MINE}:not_a_number", "--seeds", "4", "--fail-on", "difference<-9")
    assert done.exit_code == 3


def test_a_store_is_shown_alone(run: Run) -> None:
    command = (*OF, f"{MINE}:trains", "--lr", "0.1", "--lr", "0.2", "--format", "csv")
    first = run(*command, "--seeds", "3", "--store", "s.db")
    assert run("study", "--store", "s.db", "--format", "csv").stdout == first.stdout
    assert run("study", "--store", "s.db", "--fail-on", "step_s>1").exit_code == 2
    grown = run(*command, "--seeds", "5", "--store", "s.db").stdout
    at_once = run(*command, "--seeds", "5").stdout
    assert without_times(grown) == without_times(at_once)
    with sqlite3.connect("s.db") as db:
        db.execute("UPDATE cells SET numbers = '[1]' WHERE seed = 0")
    assert "is damaged" in run("study", "--store", "s.db").stderr
    with sqlite3.connect("s.db") as db:
        db.execute("UPDATE cells SET numbers = NULL")
    assert "is damaged" in run("study", "--store", "s.db").stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["mine.py:slow"], 1, "mine.py does not exist"),
        ([f"{MINE}:none"], 1, "mine.py has no 'none'"),
        ([f"{MINE}:number"], 1, "must be a function or a module, not int"),
        (["slow"], 2, "'slow' has no name: write module:Name or file.py:Name"),
        ([f"{MINE}:without_seed"], 2, "takes no argument seed"),
        ([f"{MINE}:needs_depth"], 2, "needs depth: give --set depth=..."),
        ([f"{MINE}:trains"], 2, "needs lr: give --lr, such as --lr 1e-3"),
        ([f"{MINE}:slow", "--lr", "1"], 2, "takes no argument lr"),
        ([f"{MINE}:slow", "--set", "width"], 2, "write key=value, such as --set width=64"),
        ([f"{MINE}:slow", "--set", "width=3"], 2, "takes no argument width"),
        ([f"{MINE}:slow", "--depth", "2", "--epochs", "3"], 2, "--depth, --epochs: of SimpleNet"),
        ([f"{MINE}:slow", "--data", "random", "--device", "cpu"], 2, "--data, --device: of Simple"),
        ([f"{MINE}:slow", "--dry-run"], 2, "--dry-run cannot tell how long --train takes"),
        ([f"{MINE}:slow", "--cell-time-limit", "0"], 2, "cell-time-limit must be above 0"),
        ([f"{MINE}:slow", "--results", "r.csv"], 2, "give one of them"),
        ([f"{MINE}:slow", "--act", "rleu"], 2, "unknown activation 'rleu'"),
        ([f"{MINE}:slow", "--act", "relu", "--act", "relu"], 2, "act relu is given twice"),
    ],
)
def test_bad_input_is_one_line(run: Run, arguments: list[str], code: int, message: str) -> None:
    done = run("study", "--seeds", "2", "--train", *arguments)
    assert message in done.stderr
    assert done.exit_code == code
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "a=1", "--metric", "acc"], "--metric, --set: only with --train or --results"),
        (["--lower-is-better"], "--lower-is-better: only with --train or --results"),
        (["--cell-time-limit", "3"], "--cell-time-limit: only with"),
        (["--results", "r.csv", "--seeds", "3"], "--seeds: for runs, and --results makes none"),
        (["--results", "r.csv", "--store", "s.db"], "--store: for runs"),
    ],
)
def test_options_of_another_kind_are_told(run: Run, arguments: list[str], message: str) -> None:
    done = run("study", *arguments)
    assert done.exit_code == 2
    assert message in done.stderr


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("raises", "ValueError: not with relu (line"),
        ("nothing", "it returned None: return the metric"),
        ("no_metric", "it returned no 'metric', but acc: --metric NAME says which is compared"),
    ],
)
def test_every_run_fails(run: Run, name: str, said: str) -> None:
    done = run(*OF, f"{MINE}:{name}", "--seeds", "2")
    assert done.exit_code == 1
    assert f"error: every run failed. First error (relu, seed 0): {said}" in done.stderr


SLOW = [*COMMAND, *OF[:-3], "--workers", "2", "--train", f"{MINE}:slow", "--seeds", "12"]
SLOW += ["--format", "csv"]


def without_times(text: str) -> list[list[str]]:
    return [line.split(",")[:-1] for line in text.splitlines()]


@pytest.fixture(scope="module")
def unbroken() -> list[list[str]]:
    return without_times(subprocess.run(SLOW, capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize(
    ("how", "stored"), [(signal.SIGKILL, 1), (signal.SIGKILL, 9), (signal.SIGTERM, 5)]
)
def test_ended_at_any_moment_it_goes_on(
    how: signal.Signals, stored: int, unbroken: list[list[str]]
) -> None:
    command = [*SLOW, "--store", "s.db"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for _ in range(2000):
        time.sleep(0.01)
        if runs_in("s.db") >= stored:
            break
    process.send_signal(how)
    process.communicate(timeout=60)
    if how != signal.SIGKILL:
        assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[how]
    assert stored <= runs_in("s.db") < 24
    assert not workers_left()
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert without_times(again.stdout) == unbroken


def runs_in(name: str) -> int:
    try:
        with sqlite3.connect(f"file:{name}?mode=ro", uri=True) as db:
            return int(db.execute("SELECT count(*) FROM cells").fetchone()[0])
    except sqlite3.Error:
        return 0


def workers_left() -> bool:
    """Whether a worker of this folder lives on, after a moment to end."""
    here = Path.cwd()
    for _ in range(50):
        found = [
            path
            for path in Path("/proc").glob("[0-9]*")
            if b"engines.workers" in _read(path / "cmdline") and _cwd(path) == here
        ]
        if not found:
            return False
        time.sleep(0.1)
    return True


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _cwd(path: Path) -> Path | None:
    try:
        return (path / "cwd").readlink()
    except OSError:
        return None
