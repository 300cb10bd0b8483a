"""`actcompare depth` as a user meets it."""

import json
import math
from pathlib import Path

import pytest

from tests.conftest import Run

pytestmark = pytest.mark.usefixtures("in_tmp")
SMALL = ("depth", "--layers", "6", "--width", "24", "--nets", "3")

KEYS = (
    *("activation", "init", "sigma_w2", "sigma_b2", "q0", "fixed_point", "fixed_point_kind"),
    *("chi", "slope_q", "xi_q", "xi_c", "phase", "reach_layers", "log10_gradient_theory"),
    *("log10_gradient_corrected", "log10_gradient_measured", "log10_gradient_low"),
    *("log10_gradient_high", "one_minus_c_theory", "one_minus_c_measured", "zero_dead_theory"),
    *("zero_dead_measured", "gradient_dead", "constant", "agrees"),
)


def test_json_has_rows_layers_gains_and_edge(run: Run) -> None:
    done = run(*SMALL, "--act", "relu", "--act", "tanh", "--format", "json")
    assert done.exit_code == 0, done.output
    content = json.loads(done.stdout)
    assert content["command"] == "depth"
    assert tuple(content["rows"][0]) == KEYS
    assert len(content["rows"]) == 6
    assert len(content["layers"]) == 6 * 7
    assert [each["activation"] for each in content["gains"]] == ["relu", "tanh"]
    relu, tanh = content["edge"]
    assert {point["stability"] for point in relu["points"]} == {"marginal"}
    assert tanh["points"][0].keys() == {"q", "sigma_w2", "sigma_b2", "slope", "stability"}
    assert "The gradient's variance at the first layer" in content["reading"]


def test_tables_say_what_has_no_value(run: Run) -> None:
    done = run(*SMALL, "--act", "hardshrink", "--init", "kaiming", "--init", "critical")
    assert done.exit_code == 0
    assert "n/a" in done.stdout
    assert "hardshrink jumps" in done.stdout
    assert "has no critical initialisation" in " ".join(done.stdout.split())


def test_gains_stand_beside_torchs(run: Run) -> None:
    done = run("depth", "--gains", "--act", "relu", "--act", "softplus", "--format", "json")
    relu, softplus = json.loads(done.stdout)["rows"]
    assert relu["torch"] == pytest.approx(math.sqrt(2))
    assert softplus["torch"] is None
    assert softplus["ratio"] == pytest.approx(0.318458984)


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        ("reach_layers<50", 3),
        ("reach_layers<1", 0),
        ("log10_gradient_measured<-2", 3),
        ("agrees<1", 0),
        ("phase<1", 2),
    ],
)
def test_gates(run: Run, condition: str, code: int) -> None:
    line = (*SMALL, "--init", "default", "--width", "200", "--act", "relu")
    done = run(*line, "--fail-on", condition)
    assert done.exit_code == code, done.output
    if code == 3:
        assert f"failed on {condition}: relu with default" in done.stderr


def test_a_gate_without_a_value_trips(run: Run) -> None:
    done = run(*SMALL, "--act", "threshold", "--fail-on", "reach_layers<50")
    assert done.exit_code == 3
    assert "nothing to judge" in done.stderr


def test_a_function_of_the_users_own(run: Run) -> None:
    Path("own.py").write_text(
        "import torch\ndef f(x): return torch.where(x > 0, x, 0.3 * x)\n"
        "def g(x): return x - x.mean()\n",
        encoding="utf-8",
    )
    done = run(*SMALL, "--act", "own.py:f", "--init", "critical", "--format", "json")
    (row,) = json.loads(done.stdout)["rows"]
    assert row["sigma_w2"] == pytest.approx(2 / (1 + 0.3**2), rel=1e-6)
    wrong = run(*SMALL, "--act", "own.py:g")
    assert wrong.exit_code == 1
    assert "not elementwise" in wrong.stderr


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (("--layers", "1"), "layers must be from 2"),
        (("--width", "1"), "width must be from 2"),
        (("--init", "nan,0"), "SIGMA_W2 must be from 0.001"),
        (("--init", "-1,0"), "SIGMA_W2 must be from 0.001"),
        (("--init", "he"), "init 'he' is not one of"),
        (("--nets", "0"), "nets must be at least 1"),
        (("--train", "--init", "2,0"), "--train is for"),
        (("--device", "cuda:99"), "cuda"),
        (("--layers", "10000", "--width", "65536"), "--theory-only"),
    ],
)
def test_wrong_use_is_one_line(run: Run, line: tuple[str, ...], said: str) -> None:
    done = run(*SMALL, *line)
    assert done.exit_code in (1, 2)
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_it_trains_and_names_the_level_of_chance(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"STEPS": 12, "SEEDS": 3, "RATES": (0.03,), "HIDDEN": 16}.items():
        monkeypatch.setattr(f"actcompare.propagation.training.{name}", value)
    inits = ("--init", "default", "--init", "critical")
    done = run(*SMALL, "--train", *inits, "--layers", "3", "--format", "json")
    assert done.exit_code == 0, done.output
    content = json.loads(done.stdout)
    rows = content["training"]
    assert [(row["activation"], row["init"]) for row in rows] == [
        ("relu", "default"),
        ("softplus", "default"),
        ("relu", "critical"),
        ("softplus", "critical"),
    ]
    assert {row["verdict"] for row in rows} <= {"trained", "did not train"}
    assert all(0.05 < row["guess"] < 0.15 and row["seeds"] == 3 for row in rows)
    assert "Training, test accuracy (a constant prediction has 0.1" in content["reading"]


def test_figures_show_theory_measurement_and_the_edge(run: Run) -> None:
    done = run(
        *SMALL, "--act", "tanh", "--act", "relu", "--act", "threshold", "--plot-file", "d.svg"
    )
    assert done.exit_code == 0, done.output
    text = Path("d.svg").read_text("utf-8")
    for words in ("Signal through 6 layers with tanh, relu and threshold", "critical", "sigma_w"):
        assert words in text
    drawn = run(*SMALL, "--act", "tanh", "--plot")
    assert "the gradient's variance by layer" in drawn.stdout
    assert "tanh, critical" in drawn.stdout


def test_a_figure_of_nothing_says_so(run: Run) -> None:
    Path("own.py").write_text("def f(x): return x * 0 + 1\n", encoding="utf-8")
    done = run(*SMALL, "--act", "own.py:f", "--init", "kaiming", "--plot", "--plot-file", "d.svg")
    assert done.exit_code == 0, done.output
    assert "nothing to draw" in done.stdout
