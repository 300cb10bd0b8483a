import csv
import errno
import io
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from actcompare.benchmark import measure as measuring
from actcompare.benchmark.records import NUMBERS
from actcompare.benchmark.saved import dumps, load
from tests.benchmark.runs import benchmark
from tests.conftest import Run

QUICK = ("--size", "256", "--time-limit", "0.02", "--quiet")
KEYS = """activation device dtype size pass mode cache memory layout input median_s q1_s q3_s ratio
ratio_low ratio_high verdict bytes_per_s copy_share peak_bytes compile_s rounds stopped_by"""


@pytest.fixture
def before(in_tmp: Path) -> Path:
    path = in_tmp / "before.json"
    path.write_text(dumps(benchmark()), encoding="utf-8")
    return path


@pytest.mark.usefixtures("before")
def test_csv_and_json_carry_the_same_records(run: Run) -> None:
    table = list(
        csv.DictReader(io.StringIO(run("bench", "--load", "before.json", "--format", "csv").stdout))
    )
    content = json.loads(run("bench", "--load", "before.json", "--format", "json").stdout)
    assert content["command"] == "bench"
    assert content["config"]["activations"] == ["relu", "softplus"]
    assert content["environment"]["cpu"] == "a CPU"
    assert "Noise floor" in content["reading"]
    assert {*KEYS.split()} <= set(table[0])
    for written, row in zip(table, content["rows"], strict=True):
        assert float(written["median_s"]) == row["median_s"]
        assert list(written) == list(row)
    assert {type(content["rows"][0][name]) for name in NUMBERS} <= {int, float, type(None)}


@pytest.mark.usefixtures("in_tmp")
def test_a_measurement_from_end_to_end(run: Run) -> None:
    done = run("bench", *QUICK, "--save", "run.json", "--output", "run.md")
    assert done.exit_code == 0
    assert done.stdout == ""
    assert "| forward |" in Path("run.md").read_text(encoding="utf-8")
    again = run("bench", "--load", "run.json", "--format", "markdown")
    assert again.stdout == Path("run.md").read_text(encoding="utf-8")
    compared = run("bench", *QUICK, "--compare", "run.json")
    assert "new / old" in compared.stdout
    assert "Machine: copy_ takes" in compared.stdout


@pytest.mark.usefixtures("in_tmp")
def test_sizes_as_people_write_them(run: Run) -> None:
    sizes = ["--size", "2^8", "--size", "1e3", "--size", "1_000", "--size", "77"]
    done = run("bench", *sizes, "--time-limit", "0.01", "--pass", "forward", "--format", "csv")
    assert [row["size"] for row in csv.DictReader(io.StringIO(done.stdout))][::2] == [
        "256",
        "1000",
        "77",
    ]


@pytest.mark.parametrize(
    ("gate", "code"), [("slower>3%", 3), ("slower>200%", 0), ("median_s>1", 0), ("rounds>=100", 3)]
)
@pytest.mark.usefixtures("before")
def test_gates(run: Run, gate: str, code: int) -> None:
    done = run("bench", "--load", "before.json", "--fail-on", gate)
    assert done.exit_code == code
    assert (f"failed on {gate}: softplus" in done.stderr) == (code == 3)
    assert "baseline" in done.stdout  # the table is shown all the same


@pytest.mark.usefixtures("before")
def test_a_gate_on_a_comparison_is_of_new_over_old(run: Run) -> None:
    Path("now.json").write_text(dumps(benchmark(seed=1)), encoding="utf-8")
    both = ("bench", "--load", "now.json", "--compare", "before.json")
    assert run(*both, "--fail-on", "slower>3%").exit_code == 0
    Path("now.json").write_text(dumps(benchmark(softplus=2.2e-3, seed=1)), encoding="utf-8")
    assert "inconclusive" not in run(*both, "--fail-on", "slower>3%").stderr
    tripped = run(*both, "--fail-on", "slower>3%")
    assert tripped.exit_code == 3
    assert "softplus (1,000) takes 2.2 ms" in tripped.stderr
    assert "relu (" not in tripped.stderr


@pytest.mark.usefixtures("in_tmp")
def test_an_interrupt_shows_and_saves_what_there_is(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = measuring._measure
    calls: list[int] = []

    def interrupted(*arguments: Any) -> Any:
        if calls:
            raise KeyboardInterrupt
        calls.append(1)
        return measure(*arguments)

    monkeypatch.setattr(measuring, "_measure", interrupted)
    done = run("bench", *QUICK, "--save", "run.json")
    assert done.exit_code == 130
    assert done.stdout.count("baseline") == 2  # a row, and the reading
    assert len(load(Path("run.json")).measurements) == 1


@pytest.mark.usefixtures("in_tmp")
def test_a_full_disk_loses_no_result(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    done = run("bench", *QUICK, "--pass", "forward", "--save", "b.json")
    assert done.exit_code == 1
    assert "No space left" in done.stderr
    assert "baseline" in done.stdout


@pytest.mark.usefixtures("in_tmp")
def test_a_pipe_is_refused_before_anything_is_measured(run: Run) -> None:
    os.mkfifo("pipe")
    done = run("bench", *QUICK, "--save", "pipe")
    assert done.exit_code == 1
    assert "pipe: it is a device or a pipe, not a file" in done.stderr
    assert not done.stdout


@pytest.mark.usefixtures("in_tmp")
def test_termination_too() -> None:
    command = [sys.executable, "-m", "actcompare", "bench", "--size", "1e3", "--size", "1e4"]
    with subprocess.Popen(
        [*command, "--time-limit", "0.3", "--pass", "forward", "--precision", "1e-9", "--save", "x"]
        + ["--size", "1e5", "--size", "1e6"] * 20,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while not Path("x").exists() and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "baseline" in out
    assert load(Path("x")).measurements


@pytest.mark.usefixtures("in_tmp")
def test_failures_are_told_and_the_rest_is_shown(run: Run) -> None:
    Path("mine.py").write_text("def f(x):\n    raise ValueError('by design')\n", encoding="utf-8")
    done = run("bench", *QUICK, "--act", "relu", "--act", "mine.py:f", "--pass", "forward")
    assert done.exit_code == 1
    assert done.stderr.count("error: ") == 1
    assert "by design" in done.stderr
    assert "failed" in done.stdout
    assert "baseline" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--size", "0"], 2, "size must be 1 or more, not 0"),
        (["--size", "-5"], 2, "size must be 1 or more, not -5"),
        (["--size", "1.5"], 2, "'--size': '1.5' is not a whole number"),
        (["--size", "2^99999"], 2, "'--size': '2^99999'"),
        (["--size", "1e18"], 1, "would fit"),
        (["--shape", "3x"], 2, "--shape '3x'"),
        (["--device", "tpu"], 2, "device 'tpu'"),
        (["--fail-on", "slow"], 2, "--fail-on 'slow'"),
        (["--load", "none.json"], 1, "none.json"),
        (["--compare", "none.json"], 1, "none.json"),
        (["--load", "before.json", "--save", "x"], 2, "omit --save"),
        (["--load", "before.json", "--size", "5"], 2, "omit --size"),
        (["--load", "before.json", "--act", "relu"], 2, "omit --act"),
        (["--compare", "before.json", *QUICK], 2, "holds none of the requested cases"),
        (["--save", "no/such/folder"], 1, "no folder no/such"),
        (["--save", "."], 1, "it is a folder"),
        (["--plot-file", "x.txt"], 2, "must end in"),
    ],
)
@pytest.mark.usefixtures("before")
def test_bad_requests(run: Run, arguments: list[str], code: int, message: str) -> None:
    done = run("bench", *arguments)
    assert done.exit_code == code
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert message in done.stderr


@pytest.mark.usefixtures("before")
def test_figures(run: Run) -> None:
    done = run("bench", "--load", "before.json", "--plot", "--plot-file", "costs.svg")
    assert done.exit_code == 0
    assert "time of a call" in done.stdout
    drawn = Path("costs.svg").read_text(encoding="utf-8")
    for words in ("relu", "softplus", "relative to relu (95 %)"):
        assert f">{words}<" in drawn


def test_quiet_keeps_stderr_empty(run: Run) -> None:
    assert run("bench", *QUICK, "--pass", "forward").stderr == ""


@pytest.mark.usefixtures("in_tmp")
def test_too_few_rounds_are_said_to_be(run: Run) -> None:
    Path("few.json").write_text(dumps(benchmark(rounds=3)), encoding="utf-8")
    shown = run("bench", "--load", "few.json")
    assert "too few rounds" in shown.stdout
    rows = json.loads(run("bench", "--load", "few.json", "--format", "json").stdout)["rows"]
    assert float(rows[1]["ratio_high"]) == math.inf
    assert rows[1]["verdict"] == "unclear"
