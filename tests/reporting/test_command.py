"""`actcompare report`: the same answer in every format, gates over claims, and bad input."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from actcompare.errors import ActcompareError
from actcompare.reporting import report as report_module
from actcompare.reporting.answers import NUMBERS
from actcompare.reporting.claims import NAMES
from actcompare.reporting.evidence import DONE, FAILED, Evidence
from actcompare.reporting.parts import budget, kinds, training
from actcompare.reporting.parts.kinds import KINDS
from actcompare.reporting.report import Report
from actcompare.reporting.verdicts import VERDICTS
from tests.conftest import Run
from tests.reporting.made import evidence
from tests.studies.runs import failure, study_of


@pytest.fixture
def canned(monkeypatch: pytest.MonkeyPatch, real: Report) -> Report:
    """The command reports what was measured once."""
    monkeypatch.setattr(report_module, "gather", lambda *_: (real.evidence, None))
    return real


def gathered(
    monkeypatch: pytest.MonkeyPatch, found: Evidence, stop: BaseException | None = None
) -> None:
    monkeypatch.setattr(report_module, "gather", lambda *_: (found, stop))


def test_the_terminal_has_the_answer_first(run: Run, canned: Report) -> None:
    said = run("report").stdout
    words = " ".join(said.split())
    order = [
        words.index(" ".join(part.split())) for part in (canned.reading().split("\n")[0], "relu:")
    ]
    order += [words.index(title) for title in ("quality", "│ for", "│ claim", "To make it again")]
    assert order == sorted(order)
    assert max(map(len, said.splitlines())) < 200


def test_json_has_everything(run: Run, canned: Report) -> None:
    found = json.loads(run("report", "--format", "json").stdout)
    assert found["command"] == "report"
    assert [row["activation"] for row in found["rows"]] == ["relu", "softplus", "gelu"]
    assert [claim["name"] for claim in found["claims"]] == list(NAMES)
    assert [part["name"] for part in found["parts"]] == [kind.name for kind in KINDS]
    assert set(found["sections"]) >= {"functions", "step", "study", "alone", "depth"}
    assert found["answer"] == canned.reading()
    assert found["config"]["budget"] == 120


def test_csv_and_markdown(run: Run, canned: Report) -> None:
    header, *rows = run("report", "--format", "csv").stdout.splitlines()
    assert header.split(",")[:2] == ["activation", "quality"]
    assert set(NUMBERS) <= set(header.split(","))
    assert len(rows) == 3
    marked = run("report", "--format", "markdown").stdout
    assert marked.startswith(canned.reading().split("\n")[0])
    assert "```" not in marked
    assert "| claim | verdict here | measured | shown by |" in marked


def test_the_ending_html_makes_the_page(run: Run, canned: Report, in_tmp: Path) -> None:
    result = run("report", "-o", "report.html")
    assert (result.exit_code, result.output) == (0, "")
    assert (in_tmp / "report.html").read_text("utf-8") == canned.html()
    assert run("report", "--format", "html").stdout == canned.html()


def test_only_report_writes_pages(run: Run, in_tmp: Path) -> None:
    for line in (["table", "-o", "t.html"], ["table", "--format", "html"]):
        result = run(*line)
        assert result.exit_code == 2
        assert len(result.stderr.splitlines()) == 1
    assert list(in_tmp.iterdir()) == []


# --- gates ---------------------------------------------------------------------------------------


def test_a_gate_on_a_claim(run: Run, canned: Report) -> None:
    verdicts = {claim.name: claim.verdict for claim in canned.claims}
    assert verdicts["formula"] == "holds"
    tripped = run("report", "-q", "--fail-on", "claim.formula==holds")
    assert tripped.exit_code == 3
    assert tripped.stderr.startswith("failed on claim.formula==holds: it is: holds (0.126928,")
    assert run("report", "-q", "--fail-on", "claim.formula!=holds").exit_code == 0
    limits = run("report", "-q", "--fail-on", "claim.never_zero==holds within limits")
    assert limits.exit_code == 3


def test_a_gate_on_a_claim_that_was_not_run_trips(run: Run, canned: Report) -> None:
    assert {claim.verdict for claim in canned.claims if claim.name == "slower_compiled"} == {
        "not run"
    }
    result = run("report", "-q", "--fail-on", "claim.slower_compiled==holds")
    assert result.exit_code == 3
    assert result.stderr == "failed on claim.slower_compiled==holds: nothing to judge: not run\n"


@pytest.mark.parametrize(
    ("gate", "code"),
    [
        ("quality==worse", 3),
        ("quality==better", 0),
        ("difference<-3%", 3),
        ("difference<-30%", 0),
        ("gradient_dead_share>90%", 0),
        ("step_ratio_low>1.03", 3),  # the step was not measured
    ],
)
def test_gates_on_answers(run: Run, monkeypatch: pytest.MonkeyPatch, gate: str, code: int) -> None:
    jitter = [0.001 * (k % 3) for k in range(12)]
    study = study_of({"relu": [0.95 + j for j in jitter], "softplus": [0.9 + j for j in jitter]})
    gathered(monkeypatch, replace(evidence(), study=study))
    assert run("report", "-q", "--fail-on", gate).exit_code == code


def test_a_gate_trips_on_what_failed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    made = study_of({"relu": [0.9] * 4, "gelu": [0.9] * 4})
    config = replace(made.config, activations=("relu", "softplus", "gelu"))
    study = replace(made, config=config, failures=(failure("softplus"),))
    gathered(monkeypatch, replace(evidence("relu", "softplus", "gelu"), study=study))
    result = run("report", "-q", "--fail-on", "difference<-1%")
    assert result.exit_code == 3
    assert result.stderr == (
        "error: softplus: it broke\n"
        "failed on difference<-1%: nothing to judge for softplus: failed\n"
    )


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        ("claim.dies==holds", "no column claim.dies; use one of"),
        ("claim.formula==true", f"no verdict true; use one of {', '.join(VERDICTS)}"),
        ("claim.formula>1", "claim.formula takes == or !="),
        ("quality==slow", "no verdict slow; use one of better, worse, same"),
        ("mean=1", "write COLUMN OP NUMBER"),
    ],
)
def test_a_wrong_gate_is_refused_before_anything_runs(
    run: Run, monkeypatch: pytest.MonkeyPatch, gate: str, said: str
) -> None:
    monkeypatch.setattr(report_module, "gather", lambda *_: pytest.fail("it ran"))
    result = run("report", "--fail-on", gate)
    assert result.exit_code == 2
    assert said in result.stderr


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("--budget 0", 2, "budget must be a positive number of seconds, such as 60, not 0"),
        ("--budget -3", 2, "budget must be a positive number of seconds"),
        ("--budget nan", 2, "is not a finite number"),
        ("--data t.csv", 2, "--target"),
        ("--act gleu", 2, "gelu"),
        ("--device cuda", 1, "cuda"),
        ("-o missing/report.html", 1, "missing"),
        ("-o report.xyz", 2, "no format has the ending .xyz; use one of"),
        ("-o t.csv --data t.csv --target y", 2, "t.csv"),
        ("--store t.csv --data t.csv --target y", 2, "t.csv"),
        ("--act acts.py:Broken", 1, "acts.py:Broken"),
    ],
)
def test_bad_input_is_one_line(run: Run, in_tmp: Path, line: str, code: int, said: str) -> None:
    if "cuda" in line:
        import torch

        if torch.cuda.is_available():
            pytest.skip("there is a GPU here")
    (in_tmp / "t.csv").write_text("x,y\n" + "1,2\n3,4\n" * 20, "utf-8")
    (in_tmp / "acts.py").write_text("def Broken(x):\n    raise ValueError('no')\n", "utf-8")
    before = sorted(path.name for path in in_tmp.iterdir())
    result = run("report", *line.split())
    assert result.exit_code == code, result.output
    (error,) = result.stderr.splitlines()
    assert error.startswith("error: ")
    assert said in error
    assert sorted(p.name for p in in_tmp.iterdir() if p.name != "__pycache__") == before


def test_a_part_that_fails_is_named_and_the_rest_is_written(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = evidence()
    parts = tuple(
        replace(part, state=FAILED, why="it broke")
        if part.name == "depth"
        else replace(part, state=DONE)
        for part in found.parts
    )
    gathered(monkeypatch, replace(found, parts=parts))
    result = run("report", "-q")
    assert result.exit_code == 1
    assert result.stderr == "error: signal through deep nets: it broke\n"
    assert "Signal through deep nets: failed (it broke)." in " ".join(result.stdout.split())


def test_an_interrupt_writes_what_there_is(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    gathered(monkeypatch, evidence(), KeyboardInterrupt())
    result = run("report", "-q")
    assert result.exit_code == 130
    assert "To make it again: actcompare report" in result.stdout


def test_a_real_interrupt(in_tmp: Path) -> None:
    command = [sys.executable, "-m", "actcompare", "report", "-o", "report.json"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    time.sleep(7)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert said.endswith("interrupted\n")
    found = json.loads((in_tmp / "report.json").read_text("utf-8"))
    states = [part["state"] for part in found["parts"]]
    assert states[0] == "done"
    assert states[-1] == "not run"
    assert "interrupted" in states


# --- in Python -----------------------------------------------------------------------------------


def test_in_python_an_interrupt_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    gathered(monkeypatch, evidence(), KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        report_module.report()


def test_settings_are_those_of_the_config() -> None:
    with pytest.raises(TypeError, match="colour"):
        report_module.report(colour="red")
    with pytest.raises(ActcompareError, match="margin"):
        report_module.report(margin=-1)


def test_the_records_are_documented_numbers(real: Report) -> None:
    rows = real.table.records
    assert list(rows[0]) == ["activation", "quality", *NUMBERS, "step_verdict"]
    assert rows[0]["quality"] == "baseline"
    assert rows[0]["step_ratio"] is None
    assert all(row["mean"] > 0.9 for row in rows)
    assert "<iframe" in real._repr_html_()


BREAKING = """
import torch

def on_grids(x):
    if x.dim() > 1:
        raise RuntimeError("no grids")
    return torch.tanh(x)

def leaves(x):
    if x.dim() > 1:
        raise SystemExit(3)
    return torch.tanh(x)
"""


@pytest.mark.parametrize("name", ["on_grids", "leaves"])
def test_an_activation_that_fails_later_costs_only_itself(
    run: Run, monkeypatch: pytest.MonkeyPatch, in_tmp: Path, name: str
) -> None:
    monkeypatch.setattr(kinds, "CASE_S", 0.1)
    monkeypatch.setattr(training, "SEEDS", (2,))
    later = [replace(kind, least_s=lambda _: 1e9) for kind in KINDS[3:]]
    monkeypatch.setattr(budget, "KINDS", (*KINDS[:3], *later))
    (in_tmp / "late.py").write_text(BREAKING, "utf-8")
    acts = ("--act", "relu", "--act", "softplus", "--act", f"late.py:{name}")
    line = ("report", *acts, "-o", "r.json")
    result = run(*line, "-q", "--fail-on", "mean<0.1", "--fail-on", "step_ratio_low>1e9")
    assert result.exit_code == 3, result.output
    found = json.loads((in_tmp / "r.json").read_text("utf-8"))
    qualities = {row["activation"]: row["quality"] for row in found["rows"]}
    assert qualities[f"late.py:{name}"] == "failed"
    assert qualities["relu"] == "baseline"
    assert qualities["softplus"] not in ("failed", "not run")
    assert f"error: late.py:{name}" in result.stderr
    for column in ("mean", "step_ratio_low"):
        assert f"failed on {column}" in result.stderr
        assert f"nothing to judge for late.py:{name}: failed" in result.stderr


def test_variations_without_a_study_are_still_shown(
    run: Run, monkeypatch: pytest.MonkeyPatch, real: Report
) -> None:
    gathered(monkeypatch, replace(real.evidence, study=None))
    result = run("report", "-q")
    assert result.exit_code == 0
    assert "3 hidden layers" in result.stdout
    assert "3 hidden layers" in replace(real, evidence=replace(real.evidence, study=None)).html()


def test_an_interrupt_while_it_is_written_still_writes(
    run: Run, monkeypatch: pytest.MonkeyPatch, canned: Report, in_tmp: Path
) -> None:
    drawn = []

    def html(report: Report) -> str:
        drawn.append(report)
        if len(drawn) == 1:
            raise KeyboardInterrupt
        return "the page"

    monkeypatch.setattr(Report, "html", html)
    assert run("report", "-o", "r.html").exit_code == 130
    assert (in_tmp / "r.html").read_text("utf-8") == "the page"
    assert canned.claims


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--store t.csv", "t.csv is damaged or not a study"),
        ("--act relu --act relu", "act relu is given twice"),
        ("--data few.csv --target y", "too few to split"),
    ],
)
def test_what_the_study_needs_is_checked_first(
    run: Run, monkeypatch: pytest.MonkeyPatch, in_tmp: Path, line: str, said: str
) -> None:
    monkeypatch.setattr(report_module, "gather", lambda *_: pytest.fail("it ran"))
    (in_tmp / "t.csv").write_text("x,y\n1,2\n", "utf-8")
    (in_tmp / "few.csv").write_text("x,y\n" + "1,2\n3,4\n", "utf-8")
    result = run("report", *line.split())
    assert result.exit_code in (1, 2)
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
