"""`actcompare inspect` as a user meets it."""

import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from typer.testing import CliRunner, Result

from actcompare.cli.app import app
from actcompare.units.statistics import VERDICTS

pytestmark = pytest.mark.usefixtures("in_tmp")
CODE = """
import time
import torch
from torch import nn
from torch.nn import functional as F

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(4, 8), nn.Linear(8, 8)
        self.act = nn.ReLU()

    def forward(self, x):
        return F.tanh(self.fc2(self.act(self.fc1(x))))

def build():
    torch.manual_seed(0)
    net = Net()
    with torch.no_grad():
        net.fc1.bias[:3] -= 100
    print("building")
    return net

def batches():
    for _ in range(3):
        yield torch.randn(10, 4), torch.zeros(10)

def slow():
    while True:
        time.sleep(0.05)
        yield torch.randn(10, 4)

class Failing(nn.Module):
    def forward(self, x):
        h = torch.relu(x)
        return self.half(h)

    def half(self, h):
        raise ValueError("half-way")

class Leaving(nn.Module):
    def forward(self, x):
        raise SystemExit(7)

class Stop(BaseException):
    pass

class Wordless(Exception):
    def __str__(self):
        raise ValueError

def exits():
    yield torch.zeros(2, 4)
    raise SystemExit(0)

def stops():
    raise Stop("enough")

def itself():
    batch = []
    batch.append(batch)
    return [batch]

class Wordlessly(nn.Module):
    def forward(self, x):
        raise Wordless

CONSTANT, NONE = 5, None

def meta():
    return [torch.empty(2, 4, device="meta")]

def swish(x):
    return x * torch.sigmoid(x)
"""


BUILD = ["net.py:build", "--data", "x.npz"]


@pytest.fixture(autouse=True)
def files(in_tmp: Path) -> None:
    (in_tmp / "net.py").write_text(CODE, encoding="utf-8")
    rng = np.random.default_rng(0)
    np.savez("x.npz", X=rng.normal(size=(50, 4)), y=np.zeros(50))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["inspect", *arguments])


def told(*arguments: str) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def test_a_table_and_a_reading() -> None:
    out = told("net.py:build", "--data", "x.npz")
    assert "act / relu" in out
    assert "(model) / tanh" in out
    assert "total" in out
    assert "may fire on up to 5.82 % of new samples" in out
    prose = " ".join(out.split())
    assert "act / relu (8 units): 3 zero-dead, 3 gradient-dead" in prose
    assert "37.5 % of the units output 0 on every sample" in prose
    assert "a lower learning rate" in prose
    assert "building" not in out


def test_csv_json_and_markdown_carry_the_same() -> None:
    written = told("net.py:build", "--data", "x.npz", "--format", "csv")
    frame = pd.read_csv(io.StringIO(written), keep_default_na=False)
    assert frame["layer"].tolist() == ["act / relu", "(model) / tanh"]
    assert frame["zero_dead"].tolist() == [3, 0]
    content = json.loads(told("net.py:build", "--data", "x.npz", "--format", "json"))
    assert content["command"] == "inspect"
    assert pd.DataFrame(content["rows"]).to_dict("list") == frame.to_dict("list")
    assert content["total"]["zero_dead"] == 3
    assert content["samples"] == 50
    assert content["config"]["model"] == "net.py:build"
    assert {"unseen", "swaps", "environment", "reading"} <= content.keys()
    markdown = told("net.py:build", "--data", "x.npz", "--format", "markdown")
    assert "| act / relu |" in " ".join(markdown.split())


def test_a_loader_a_checkpoint_and_random_input() -> None:
    model = nn.Module()
    model.fc1, model.fc2 = nn.Linear(4, 8), nn.Linear(8, 8)
    torch.save(model.state_dict(), "weights.pt")
    result = run("net.py:build", "--data", "net.py:batches", "--checkpoint", "weights.pt")
    assert result.exit_code == 0
    assert "weights.pt: all 4 tensors fit the model's" in result.stderr
    assert "On 30 samples" in result.stdout
    result = run("net.py:build", "--random", "4")
    assert "random input says little" in result.stderr
    assert "On 512 samples" in result.stdout
    assert run("net.py:build", "--random", "4", "--quiet").stderr == "building\n"
    assert told("net.py:build", "--random", "4", "--seed", "1") != result.stdout


def test_what_if_is_shown_side_by_side() -> None:
    out = told("net.py:build", "--data", "x.npz", "--swap", "relu=softplus")
    assert "act / relu -> softplus" in out
    assert "3 -> 0" in out
    assert "Original -> swapped." in out
    rows = json.loads(
        told("net.py:build", "--data", "x.npz", "--swap", "relu=softplus", "--format", "json")
    )
    assert [row["run"] for row in rows["rows"]] == ["as it is"] * 2 + ["swapped"] * 2
    assert rows["swaps"] == [{"where": "act", "old": "relu", "new": "softplus", "why_not": ""}]


def test_each_unit_is_written() -> None:
    told("net.py:build", "--data", "x.npz", "--per-unit", "units.csv", "--watch", "net.py:swish")
    units = pd.read_csv("units.csv")
    assert len(units) == 16
    assert units.groupby("layer")["zero_dead"].sum().to_dict() == {
        "(model) / tanh": 0, "act / relu": 3
    }  # fmt: skip
    assert {"samples", "nonzero", "low", "high", "mean", "std", "max_abs_slope", *VERDICTS} <= set(
        units
    )


def test_gates() -> None:
    result = run("net.py:build", "--data", "x.npz", "--fail-on", "zero_dead_share>10%")
    assert result.exit_code == 3
    assert "failed on zero_dead_share>10%: it is 0.375 in act / relu (8 units)" in result.stderr
    assert "act / relu" in result.stdout
    assert run("net.py:build", "--data", "x.npz", "--fail-on", "zero_dead_share>40%").exit_code == 0
    assert run("net.py:build", "--data", "x.npz", "--fail-on", "loss>1").exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["net.py:build"], 2, "--data FILE, or --random SHAPE"),
        (["net.py:build", "--data", "x.npz", "--random", "4"], 2, "--data FILE, or --random"),
        (["net.py:build", "--data", "gone.npz"], 1, "cannot read gone.npz: No such file"),
        (["net.py:gone", "--data", "x.npz"], 1, "net.py has no 'gone'"),
        (["net.py", "--data", "x.npz"], 2, "module:Name or file.py:Name"),
        (["net.py:swish", "--data", "x.npz"], 1, "swish() fails: TypeError"),
        (["net.py:build", "--data", "x.npz", "--input-key", "y"], 1, "fails on a batch of (50,)"),
        (["net.py:build", "--data", "x.npz", "--input-key", "z"], 2, "it has X, y"),
        (["net.py:build", "--random", "5"], 1, "fails on a batch of (64, 5)"),
        (["net.py:build", "--random", "4x"], 2, "shape of a sample"),
        (["net.py:build", "--data", "x.npz", "--swap", "relu"], 2, "OLD=NEW"),
        (["net.py:build", "--data", "x.npz", "--watch", "net.py:no"], 1, "has no 'no'"),
        ([*BUILD, "--swap", "relu=elu", "--swap", "relu=silu"], 2, "--swap relu is given twice"),
        ([*BUILD, "--per-unit", "u.csv", "--output", "u.csv"], 2, "name the same file"),
        (["net.py:Leaving", "--data", "x.npz"], 1, "fails on a batch of (50, 4): SystemExit: 7"),
        (["net.py:build", "--data", "net.py:meta"], 1, "on the meta device"),
        (["net.py:build", "--data", "net.py:exits"], 1, "net.py:exits fails: SystemExit: 0"),
        (["net.py:build", "--data", "net.py:stops"], 1, "net.py:stops fails: Stop: enough"),
        (["net.py:build", "--data", "net.py:itself"], 1, "a batch cannot be used: RecursionError"),
        (["net.py:Wordlessly", "--data", "x.npz"], 1, "fails on a batch of (50, 4): Wordless"),
        ([*BUILD, "--watch", "net.py:CONSTANT"], 1, "CONSTANT is of type int: name an elementwise"),
        ([*BUILD, "--watch", "net.py:NONE"], 1, "NONE is of type NoneType: name an elementwise"),
        (["net.py:build", "--random", "99999x99999"], 1, "a batch of 64 samples needs 2.328 TiB"),
        (["net.py:build", "--random", "9" * 5000], 2, "shape of a sample"),
        (["net.py:build", "--random", "4", "--samples", "1" + "0" * 12], 2, "at most 1,000,000"),
        ([*BUILD, "--batch-size", "1" + "0" * 17], 2, "at least 1 and at most"),
        (["net.py:build", "--data", "x.npz", "--samples", "0"], 2, "at least 1"),
        (["net.py:build", "--data", "x.npz", "--eps", "nan"], 2, "eps"),
        (["net.py:build", "--data", "x.npz", "--checkpoint", "x.npz"], 1, "x.npz"),
        (["net.py:build", "--data", "x.npz", "--output", "no/out.csv"], 1, "no folder"),
        (["net.py:build", "--data", "x.npz", "--per-unit", "no/u.csv"], 1, "no folder"),
        (["net.py:build", "--data", "x.npz", "--device", "cuda:99"], 1, "cuda:99"),
        (["net.py:build", "--data", "x.npz", "--unit-dim", "5"], 1, "Dimension out of range"),
    ],
)
def test_bad_input_gets_one_line(arguments: list[str], code: int, message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == code
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert message in line
    assert result.stdout == ""


def test_the_users_own_traceback_is_shown_and_ours_is_not() -> None:
    result = run("net.py:Failing", "--data", "x.npz")
    assert result.exit_code == 1
    assert "raise ValueError" in result.stderr
    assert "return self.half(h)" in result.stderr
    assert "actcompare/" not in result.stderr
    assert result.stderr.splitlines()[-1].startswith("error: net.py:Failing fails on a batch of")


def test_an_interrupt_leaves_nothing() -> None:
    command = [sys.executable, "-m", "actcompare", "inspect", "net.py:build"]
    process = subprocess.Popen(
        [*command, "--data", "net.py:slow", "--output", "out.csv"],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    assert process.stderr.readline() == "building\n"
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    process.wait(30)
    assert process.returncode == 130
    assert process.stderr.read().splitlines()[-1] == "interrupted"
    assert not Path("out.csv").exists()
    process.stderr.close()
