"""`actcompare train` as people and scripts use it."""

import csv
import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from actcompare.training.checkpoints import Folder
from actcompare.training.learning.learner import Learner
from actcompare.units.statistics import VERDICTS
from tests.conftest import Run

pytestmark = pytest.mark.usefixtures("in_tmp")
QUICK = ("train", "--epochs", "2", "--hidden", "8")
COMMAND = [sys.executable, "-m", "actcompare"]


def test_people_see_the_net_the_units_and_the_course(run: Run) -> None:
    done = run("train", "--act", "softplus", "--depth", "2", "--epochs", "3")
    assert done.exit_code == 0
    assert done.stderr == ""
    assert "(activation2): Softplus(beta=1.0, threshold=20.0)" in done.stdout
    assert "Parameters: 8,970" in done.stdout
    assert "1,259 training, 269 validation and 269 test samples" in " ".join(done.stdout.split())
    for title in ("accuracy", "gradient-dead", "gradient norm", "validation loss", "revived"):
        assert title in done.stdout
    assert "hidden2" in done.stdout
    assert "up to 0.24 % of new samples" in " ".join(done.stdout.split())
    assert "evidence, not proof" in done.stdout


def test_json(run: Run) -> None:
    done = run(*QUICK, "--depth", "2", "--format", "json")
    result = json.loads(done.stdout)
    assert result["command"] == "train"
    assert [row["layer"] for row in result["rows"]] == ["hidden1", "hidden2"]
    for row in result["rows"]:
        assert set(row) >= {"units", *VERDICTS, "sparsity", "samples", "firing_rate_bound"}
    for name in ("train_loss", "validation_metric", "test_metric", "seconds", "samples_per_s"):
        assert isinstance(result["metrics"][name], float)
    assert [epoch["epoch"] for epoch in result["history"]] == [0, 1, 2]
    assert {"died", "revived"} <= set(result["history"][1]["layers"][0])
    assert result["config"]["lr"] == 0.1
    assert result["data"]["samples"] == [1259, 269, 269]
    assert result["parameters"] == 64 * 8 + 8 + 8 * 8 + 8 + 8 * 10 + 10


def test_csv_holds_the_rows_of_json(run: Run) -> None:
    rows = list(csv.DictReader(io.StringIO(run(*QUICK, "--format", "csv").stdout)))
    (expected,) = json.loads(run(*QUICK, "--format", "json").stdout)["rows"]
    assert rows == [{name: str(value) for name, value in expected.items()}]


def test_unwatched(run: Run) -> None:
    done = run(*QUICK, "--no-track")
    assert done.exit_code == 0
    assert "gradient-dead" not in done.stdout
    assert json.loads(run(*QUICK, "--no-track", "--format", "json").stdout)["rows"] == []
    refused = run(*QUICK, "--no-track", "--fail-on", "zero_dead>0")
    assert refused.exit_code == 2
    assert "no column zero_dead" in refused.stderr


@pytest.mark.parametrize(
    ("gate", "code", "told"),
    [
        ("test_metric<0.1", 0, ""),
        ("test_metric<0.999", 3, "failed on test_metric<0.999: it is 0."),
        ("dormant_share>=0%", 3, "in hidden1 (8 units)"),
        ("zero_dead_share>99%", 0, ""),
        ("diverged>0", 0, ""),
        ("nonsense", 2, "such as 'train_loss>10%'"),
        ("accuracy<0.9", 2, "no column accuracy"),
    ],
)
def test_gates(run: Run, gate: str, code: int, told: str) -> None:
    done = run(*QUICK, "--fail-on", gate)
    assert done.exit_code == code
    assert told in done.stderr
    assert ("split" in done.stdout) == (code != 2)


def test_divergence_is_no_failure_unless_it_is_asked_for(run: Run) -> None:
    diverging = ("train", "--lr", "2", "--scale", "standard", "--epochs", "9")
    done = run(*diverging)
    assert done.exit_code == 0
    assert "Diverged in epoch " in done.stdout
    assert run(*diverging, "--fail-on", "diverged>0").exit_code == 3


def test_what_was_done_to_the_data_is_told(run: Run) -> None:
    rows = [f"{i * 0.37 % 1},{'ab'[i % 2]},{i % 3},{'' if i % 9 else 7}" for i in range(90)]
    Path("t.csv").write_text("x,c,y,holed\n" + "\n".join(rows) + "\n", encoding="utf-8")
    done = run(*QUICK, "--data", "t.csv", "--target", "y")
    assert done.exit_code == 0
    assert "warning: text column 'c' becomes 2 one-hot inputs" in done.stderr
    assert "missing values (in holed) become the mean" in done.stderr
    assert "4 inputs (1 constant: holed)" in done.stdout
    quiet = run(*QUICK, "--data", "t.csv", "--target", "y", "--quiet")
    assert quiet.stderr == ""


def test_tensorboard_reads_the_events(run: Run) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert run(*QUICK, "--log-dir", "logs").exit_code == 0
    events = EventAccumulator("logs").Reload()
    tags = events.Tags()
    assert {"loss/train", "metric/validation", "hidden1/gradient_dead"} <= set(tags["scalars"])
    assert {"hidden1.weight", "output.bias"} <= set(tags["histograms"])
    assert [event.step for event in events.Scalars("loss/train")] == [0, 1, 2]
    history = json.loads(run(*QUICK, "--format", "json").stdout)["history"]
    assert [event.value for event in events.Scalars("loss/train")] == pytest.approx(
        [epoch["train_loss"] for epoch in history]
    )


def test_a_missing_tensorboard_names_the_extra(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    done = run(*QUICK, "--log-dir", "logs")
    assert done.exit_code == 1
    assert "actcompare[tensorboard]" in done.stderr


def test_plots(run: Run) -> None:
    done = run(*QUICK, "--plot", "--plot-file", "course.svg")
    assert done.exit_code == 0
    assert "gradient-dead" in Path("course.svg").read_text(encoding="utf-8")
    assert "(epoch)" in done.stdout


def test_a_busy_machine_is_told_unless_quiet(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actcompare.machine.waiting.BUSY_SHARE", -1.0)
    said = "warning: the machine was busy: per second of training steps, threads waited"
    assert said in run(*QUICK).stderr
    assert run(*QUICK, "--quiet").stderr == ""


# --- saving and going on -------------------------------------------------------------------------


def test_going_on(run: Run) -> None:
    whole = json.loads(run(*QUICK, "--epochs", "4", "--save", "whole", "--format", "json").stdout)
    assert run(*QUICK, "--save", "run").exit_code == 0
    again = json.loads(run("train", "--resume", "run", "--epochs", "4", "--format", "json").stdout)
    for result in (whole, again):
        result["metrics"] |= {"seconds": 0, "samples_per_s": 0}
        for epoch in result["history"]:
            epoch |= {"seconds": 0, "waited_s": 0}
    assert again == whole
    shown = run("train", "--resume", "run")
    assert shown.exit_code == 0
    assert shown.stdout.startswith("SimpleNet(")


def test_other_settings_are_named(run: Run) -> None:
    run(*QUICK, "--save", "run", "--act", "softplus:beta=2")
    done = run("train", "--resume", "run", "--lr", "0.5", "--seed", "3")
    assert done.exit_code == 1
    assert "uses lr 0.1, seed 0, not lr 0.5, seed 3" in done.stderr
    done = run("train", "--resume", "run", "--no-track")
    assert "uses track_on train, not" in done.stderr
    done = run("train", "--resume", "run", "--act", "relu")
    assert "was saved with activation softplus:beta=2, not relu" in done.stderr
    same = ("--act", "softplus:threshold=20,beta=2", "--hidden", "8")
    assert run("train", "--resume", "run", *same).exit_code == 0


def test_save_and_resume_do_not_mix(run: Run) -> None:
    assert run("train", "--save", "a", "--resume", "b").exit_code == 2
    missing = run("train", "--resume", "nowhere")
    assert missing.exit_code == 1
    assert "nowhere is not a folder" in missing.stderr
    run(*QUICK, "--save", "a")
    taken = run(*QUICK, "--save", "a")
    assert taken.exit_code == 1
    assert "already contains a run: continue it with --resume a" in taken.stderr


def test_a_changed_file_is_noticed(run: Run) -> None:
    rng = np.random.default_rng(0)
    np.savez("t.npz", X=rng.normal(size=(90, 2)), y=np.arange(90) % 3)
    run(*QUICK, "--data", "t.npz", "--save", "run")
    np.savez("t.npz", X=rng.normal(size=(90, 2)), y=np.arange(90) % 3)
    done = run("train", "--resume", "run", "--epochs", "5")
    assert done.exit_code == 1
    assert "t.npz has changed since the run was saved" in done.stderr


def test_an_interrupt_shows_what_there_is(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    learn = Learner.learn
    calls: list[int] = []

    def interrupted(*arguments: Any) -> torch.Tensor:
        losses = learn(*arguments)
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return losses

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "learn", interrupted)
        done = run("train", "--epochs", "5", "--save", "run")
    assert done.exit_code == 130
    assert "After 1 epoch, " in done.stdout
    assert "to continue: actcompare train --resume run" in done.stderr
    whole = run("train", "--epochs", "5", "--format", "json", "--save", "whole")
    run("train", "--resume", "run")
    assert states("run") == states("whole")
    assert whole.exit_code == 0


def states(folder: str) -> tuple[Any, Any]:
    with Folder.open(folder) as opened:
        found = opened.load()
    weights = {name: tensor.tolist() for name, tensor in found.weights.items()}
    return weights, [(e.epoch, e.train, e.validation, e.layers) for e in found.history]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_killed_and_resumed(number: signal.Signals) -> None:
    settings = ["train", "--epochs", "400", "--quiet"]
    with subprocess.Popen(
        [*COMMAND, *settings, "--save", "run"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        while not list(Path().glob("run/epoch-00001*")) and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(number)
        process.communicate(timeout=60)
    assert process.returncode == (143 if number == signal.SIGTERM else -9)
    with Folder.open("run") as folder:
        done = folder.load().history[-1].epoch
    assert 10 <= done < 400
    end = ["--epochs", str(done + 3), "--quiet"]
    for more in (["--resume", "run"], ["--save", "whole"]):
        subprocess.run([*COMMAND, "train", *more, *end], check=True, stdout=subprocess.DEVNULL)
    assert states("run") == states("whole")


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--act", "rleu"], 2, "did you mean relu"),
        (["--act", "relu", "--act", "gelu"], 2, "takes one activation"),
        (["--batch-size", "2000"], 1, "use 1,259 or less"),
        (["--hidden", "0"], 2, "hidden must be at least 1"),
        (["--lr", "nan"], 2, "'nan' is not a finite number"),
        (["--data", "nowhere.csv", "--target", "y"], 1, "cannot read nowhere.csv"),
        (["--data", "digits", "--target", "y"], 2, "has its own target"),
        (["--plot-file", "x.txt"], 2, "must end in"),
        (["--threads", "0"], 2, "threads must be"),
        (["--threads", "9223372036854775807"], 2, "threads must be"),
        (["--lr", "1e39"], 2, "finite in float32, not 1e+39"),
        (["--act", "softplus:beta=1e308"], 1, "softplus:beta=1e+308 failed in float32"),
        (["--act", "prelu:init=1e300"], 1, "cannot create prelu:init=1e+300"),
        (["--output-act", "all"], 2, "output-act takes one activation"),
        (["--data", "random", "--input-size", "0"], 2, "must be at least 1"),
        (["--data", "random", "--input-size", "9" * 15], 1, "of memory, but only"),
        (["--hidden", "9" * 15], 1, "choose a smaller --hidden"),
        (["--output", "no/x.json"], 1, "there is no folder no"),
        (["--save", "nowhere.py\n/x"], 1, "cannot write nowhere.py /x"),
        (["--log-dir", "nowhere.py/x"], 1, "cannot write"),
    ],
)
def test_one_line_and_the_right_code(
    run: Run, arguments: list[str], code: int, message: str
) -> None:
    Path("nowhere.py").touch()
    done = run("train", "--epochs", "1", *arguments)
    assert done.exit_code == code
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert message in done.stderr


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise ValueError('by design')", "by design"),
        ("return x.sum()", "not elementwise"),
        ("return x.add_(1)", "in-place"),
    ],
)
def test_functions_that_cannot_be_trained(run: Run, body: str, message: str) -> None:
    Path("mine.py").write_text(f"def f(x):\n    {body}\n", encoding="utf-8")
    done = run(*QUICK, "--act", "mine.py:f")
    assert done.exit_code == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
    assert "defect" not in done.stderr


def test_what_no_gradient_passes_is_gradient_dead(run: Run) -> None:
    Path("mine.py").write_text("def f(x):\n    return x.detach()\n", encoding="utf-8")
    (row,) = json.loads(run(*QUICK, "--act", "mine.py:f", "--format", "json").stdout)["rows"]
    assert (row["zero_dead"], row["gradient_zero"]) == (0, 8)


@pytest.mark.parametrize(
    "body",
    [
        "if x.dim() == 1: return x.relu()\n    raise SystemExit(5)",
        "return x if x.dim() == 1 else x.sum(1)",
        "return x.detach()",
    ],
)
def test_outputs_that_cannot_be_trained(run: Run, body: str) -> None:
    Path("mine.py").write_text(f"def f(x):\n    {body}\n", encoding="utf-8")
    done = run(*QUICK, "--output-act", "mine.py:f")
    assert done.exit_code == 1
    assert done.stderr.startswith("error: mine.py:f failed: ")


def test_a_gate_on_units_that_nobody_watched(run: Run) -> None:
    run(*QUICK, "--no-track", "--save", "run")
    done = run("train", "--resume", "run", "--fail-on", "zero_dead>0")
    assert done.exit_code == 2
    assert "the units of this run were not watched" in done.stderr


def test_what_a_function_prints_is_talk(run: Run) -> None:
    Path("mine.py").write_text(
        "def f(x):\n    print('hello')\n    return x.relu()\n", encoding="utf-8"
    )
    done = run(*QUICK, "--act", "mine.py:f", "--format", "json")
    assert done.exit_code == 0
    json.loads(done.stdout)
    assert "hello" in done.stderr


def test_examples_are_shown(run: Run) -> None:
    line = ("train", "--data", "random", "--hidden", "3", "--epochs", "0", "--show", "2")
    shown = run(*line)
    assert shown.exit_code == 0, shown.output
    assert "Samples of the test set, in the units of the data" in shown.stdout
    content = json.loads(run(*line, "--format", "json").stdout)
    assert [len(each["input"]) for each in content["examples"]] == [4, 4]
    assert content["examples"][0]["target"] == [pytest.approx(content["examples"][0]["target"][0])]
