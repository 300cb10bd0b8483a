import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import actcompare
from tests.conftest import Run

ACTCOMPARE = [sys.executable, "-m", "actcompare"]


def records(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize(
    "arguments",
    [["--", "-2", "0", "5"], ["-2", "0", "5"],
     ["-2", "0", "5", "--act", "relu", "--act", "softplus"],
     ["-2", "0", "--quiet", "5"]],
)  # fmt: skip
def test_eval_takes_negative_numbers_with_and_without_dashes(
    run: Run, arguments: list[str]
) -> None:
    result = run("eval", *arguments)
    assert result.exit_code == 0
    assert result.stderr == ""
    for text in ("-2", "0.126928", "0.1192029", "0.6931472", "5.006715", "0.9933072"):
        assert text in result.stdout


@pytest.mark.parametrize("text", ["-1e-3", "-.5", "-inf", "-5.", "-0"])
def test_negative_numbers_of_every_look(run: Run, text: str) -> None:
    result = run("eval", text, "--act", "leaky_relu", "--format", "json", "--dtype", "float64")
    assert float(json.loads(result.stdout)["rows"][0]["x"]) == float(text)


def test_eval_formats_carry_the_same_records(run: Run) -> None:
    arguments = ["eval", "-2", "0.25", "inf", "--error", "--order", "2", "--quiet"]
    rows = json.loads(run(*arguments, "--format", "json").stdout)["rows"]
    table = records(run(*arguments, "--format", "csv").stdout)
    frame = actcompare.evaluate([-2, 0.25, float("inf")], order=2, error=True).frame()
    assert [list(row) for row in rows] == [list(frame.columns)] * 6
    for row, line, (_, record) in zip(rows, table, frame.iterrows(), strict=True):
        assert {k: str(v) for k, v in row.items()} == line
        for name, value in record.items():
            assert row[name] == value or float(row[name]) == value


def test_json_says_what_and_where(run: Run) -> None:
    read = json.loads(run("eval", "25", "--format", "json").stdout)
    assert list(read) == ["command", "version", "config", "environment", "rows", "warnings"]
    assert read["config"]["activations"] == ["relu", "softplus"]
    assert read["environment"]["device"] == "cpu"
    assert "beyond x = 20" in read["warnings"][0]


def test_warnings_come_once_per_kind_on_stderr(run: Run) -> None:
    result = run("eval", "-200", "-300", "0.1", "0.2", "--act", "softplus", "--act", "mish")
    lines = result.stderr.splitlines()
    assert all(line.startswith("warning: ") for line in lines)
    assert len(lines) == 3  # rounding, underflow of values, underflow of gradients
    assert all(line.endswith("(also, at other points: mish)") for line in lines[1:])
    assert run("eval", "-200", "--quiet").stderr == ""


def test_sources_agree(run: Run, in_tmp: Path) -> None:
    x = np.linspace(-3, 3, 13)
    np.save("x.npy", x)
    np.savez("x.npz", a=x, b=-x)
    (in_tmp / "x.csv").write_text("n,x\n" + "".join(f"0,{v!r}\n" for v in x.tolist()))
    text = " ".join(map(repr, x.tolist()))
    outputs = {
        run("eval", *arguments, "--format", "csv", stdin=text).stdout
        for arguments in (
            ["--range", "-3", "3", "13"], ["--file", "x.npy"], ["--file", "x.npz", "--key", "a"],
            ["--file", "x.csv"], ["-"], text.split(),
        )
    }  # fmt: skip
    assert len(outputs) == 1
    assert len(records(outputs.pop())) == 26


def test_markdown_holds_every_point(run: Run) -> None:
    text = run("eval", "--range", "0", "100000", "100001", "--format", "markdown").stdout
    assert len(text.splitlines()) == 100_003
    assert text.splitlines()[-1] == "| 100000 | 100000 | 1 | 100000 | 1 |"


def test_a_long_evaluation_shows_its_ends_and_says_how_to_get_all(run: Run) -> None:
    shown = run("eval", "--range", "0", "100000", "100001").stdout
    assert "The first and last 20 of 100,001 points; --format csv --output FILE" in shown
    assert len(shown.splitlines()) == 3 + 20 + 1 + 20 + 1 + 1
    assert " 19 │" in shown
    assert " 20 │" not in shown
    assert " 99981 │" in shown
    assert " 100000 │" in shown


def test_chunks_change_nothing(run: Run) -> None:
    text = run("eval", "--range", "-5", "5", "150001", "--format", "csv", "--quiet").stdout
    table = records(text)
    assert len(table) == 300_002
    whole = actcompare.evaluate(np.linspace(-5, 5, 150_001)).results[1].value
    values = [float(row["value"]) for row in table[1::2]]
    np.testing.assert_allclose(values, whole, rtol=1e-6)


def test_output_is_a_file_whose_ending_chooses_the_format(run: Run, in_tmp: Path) -> None:
    for name, begins in [("a.csv", "x,"), ("a.json", "{"), ("a.md", "| x"), ("a.txt", "╭")]:
        result = run("eval", "1", "--output", name)
        assert (result.exit_code, result.stdout) == (0, "")
        assert (in_tmp / name).read_text(encoding="utf-8").startswith(begins)
    assert run("eval", "1", "--output", "b.csv", "--format", "json").exit_code == 0
    assert json.loads((in_tmp / "b.csv").read_text())["command"] == "eval"


def test_bad_input_in_the_middle_leaves_no_file(run: Run, in_tmp: Path) -> None:
    (in_tmp / "x.csv").write_text("x\n" + "1\n" * 200_000 + "oops\n")
    result = run("eval", "--file", "x.csv", "--output", "out.csv")
    assert result.exit_code == 1
    assert "row 200002, column 'x': 'oops' is not a number" in result.stderr
    assert [path.name for path in in_tmp.iterdir()] == ["x.csv"]


def test_plots(run: Run, in_tmp: Path) -> None:
    result = run("eval", "-2", "0", "5", "--plot", "--plot-file", "c.svg")
    assert result.exit_code == 0
    assert "f'(x)" in result.stdout
    assert (in_tmp / "c.svg").stat().st_size > 5000
    aside = run("eval", "1", "--plot", "--format", "json")
    assert json.loads(aside.stdout)["command"] == "eval"
    assert "f(x)" in aside.stderr
    assert "no point is finite" in run("eval", "nan", "--plot").stderr


def test_what_a_users_function_prints_is_talk(run: Run, in_tmp: Path) -> None:
    (in_tmp / "loud.py").write_text("def f(x):\n    print('hear me')\n    return x\n")
    result = run("eval", "1", "--act", "loud.py:f", "--format", "json")
    assert json.loads(result.stdout)["rows"][0]["value"] == 1
    assert "hear me" in result.stderr


def test_no_digits_are_shown_that_float64_does_not_hold(run: Run) -> None:
    text = run("eval", "-2", "--act", "softplus", "--error", "--dtype", "float64").stdout
    assert "0.12692801104297249 " in text
    assert "0.126928011042972493" not in text


@pytest.mark.parametrize(
    ("text", "name"),
    [("torch.float32", "float32"), ("half", "float16"), ("fp16", "float16"), ("bf16", "bfloat16")],
)
def test_dtypes_by_the_names_that_people_use(run: Run, text: str, name: str) -> None:
    said = run("eval", "1", "--dtype", text, "--format", "json").stdout
    assert json.loads(said)["config"]["dtype"] == name


def test_output_dash_is_standard_output(run: Run) -> None:
    assert run("eval", "1", "--output", "-").stdout == run("eval", "1").stdout


def test_table(run: Run) -> None:
    result = run("table")
    assert result.exit_code == 0
    for text in (
        "relu",
        "softplus",
        "log(1 + exp(beta*x))/beta",
        "only below -103.972",
        "Sparsity:",
    ):
        assert text in result.stdout
    read = json.loads(run("table", "--format", "json", "--dtype", "bfloat16").stdout)
    assert read["config"]["dtype"] == "bfloat16"
    assert [row["activation"] for row in read["rows"]] == ["relu", "softplus"]
    assert read["rows"][0]["range_max"] == "Infinity"
    assert read["rows"][0]["zero_grad_above"] is None
    assert "Gradient flow" in read["reading"]
    assert records(run("table", "--format", "csv").stdout)[1]["monotone"] == "true"


def test_table_of_the_whole_catalogue_can_be_read(run: Run) -> None:
    text = run("table", "--act", "all").stdout
    tables, _, reading = text.rpartition("╯\n")
    assert max(map(len, tables.splitlines())) <= 200
    for label in ("hardshrink", "gelu:approximate=tanh"):
        assert tables.count(f"│ {label} ") == 5  # a row in every section
    assert max(map(len, reading.splitlines())) <= 100


def test_list(run: Run) -> None:
    text = run("list").stdout
    assert "log(1 + exp(beta*x))/beta" in text
    assert "beta=1 (> 0); threshold=20 (>= 0)" in text
    rows = json.loads(run("list", "--format", "json").stdout)["rows"]
    assert len(rows) == 24
    assert rows[1]["torch_class"] == "torch.nn.Softplus"


def test_version(run: Run) -> None:
    assert run("--version").stdout == f"actcompare {actcompare.__version__}\n"
    verbose = run("--version", "--verbose").stdout
    assert "torch " in verbose
    assert "device cpu" in verbose


# --- what goes wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["eval"], 2, "no points: list them"),
        (["eval", "1", "--range", "0", "1", "3"], 2, "points given twice"),
        (["eval", "-", "1"], 2, "omit the other points"),
        (["eval", "1", "--column", "a"], 2, "need --file"),
        (["eval", "abc"], 2, "'abc' is not a number"),
        (["eval", "-2o", "5"], 2, "'-2o' is not a number"),
        (["eval", "-1q", "5"], 2, "'-1q' is not a number"),
        (["eval", "-infty"], 2, "No such option: -infty"),
        (["eval", "1", "--ordr", "2"], 2, "No such option: --ordr: did you mean --order?"),
        (["eval", "-x", "2"], 2, "No such option: -x"),
        (["eval", "1", "--order", "3"], 2, "--order"),
        (["eval", "1", "--act", "sofplus"], 2, "did you mean softplus"),
        (["eval", "1", "--act", "softplus:beta=0"], 2, "beta must be finite and > 0"),
        (["eval", "1", "--dtype", "int32"], 2, "is not one of 'float32'"),
        (["eval", "1", "--device", "gpu"], 2, "not one of cpu, cuda"),
        (["eval", "1", "--device", "mps"], 1, "no Apple GPU"),
        (["eval", "1", "--format", "yaml"], 2, "--format"),
        (["eval", "--range", "0", "1", "x"], 2, "--range"),
        (["eval", "--file", "missing.csv"], 1, "cannot read missing.csv: No such file"),
        (["eval", "1", "--output", "missing/x.csv"], 1, "cannot write"),
        (["eval", "1", "--output", "x.xlsx"], 2, "no format has the ending .xlsx"),
        (["eval", "1", "--plot-file", "x.gif"], 2, "must end in"),
        (["eval", "1", "--act", "no_such_module:f"], 1, "no module named"),
        (["table", "--act", "nope"], 2, "unknown activation"),
        (["table", "--dtype", "int8"], 2, "is not one of 'float32'"),
        (["evaluate"], 2, "No such command"),
        (["--nope"], 2, "No such option"),
    ],
)  # fmt: skip
def test_bad_usage_is_one_line(run: Run, arguments: list[str], code: int, says: str) -> None:
    result = run(*arguments)
    assert result.exit_code == code
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("error: ")
    assert says in result.stderr


def test_empty_standard_input(run: Run) -> None:
    assert "standard input contains no numbers" in run("eval", "-", stdin="").stderr
    assert "standard input, line 2: 'b'" in run("eval", "-", stdin="1\nb").stderr


def test_our_own_defects_are_one_line_too(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("surprise")

    monkeypatch.setattr("actcompare.properties.compare.compare", broken)
    result = run("table")
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)
    assert "this is a bug in actcompare (ACTCOMPARE_DEBUG=1 shows the traceback)" in result.stderr
    monkeypatch.setenv("ACTCOMPARE_DEBUG", "1")
    assert isinstance(run("table").exception, KeyError)


def test_a_closed_pipe_ends_quietly() -> None:
    command = " ".join([*ACTCOMPARE, "eval --range 0 1 300000 --format csv"])
    script = f"{command} | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "x,activation,value,grad\n0\n"
    assert "rror" not in done.stderr


def test_a_reader_that_is_gone_before_the_table_comes() -> None:
    script = f"{' '.join(ACTCOMPARE)} table --act all | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("0\n", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk() -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [*ACTCOMPARE, "eval", "1"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 1
    assert done.stderr == "error: cannot write to standard output: No space left on device\n"


@pytest.mark.parametrize(
    ("sent", "code", "says"), [(signal.SIGINT, 130, "interrupted\n"), (signal.SIGTERM, 143, "")]
)
def test_an_interrupt(in_tmp: Path, sent: signal.Signals, code: int, says: str) -> None:
    arguments = ["eval", "--range", "0", "1", "1000000000", "--output", "out.csv"]
    process = subprocess.Popen([*ACTCOMPARE, *arguments], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(in_tmp.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(sent)
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (code, says)
    assert not list(in_tmp.iterdir())


@pytest.mark.parametrize("arguments", [["--help"], ["eval", "--help"], ["--version"], ["list"]])
def test_nothing_heavy_is_loaded_where_nothing_is_computed(arguments: list[str]) -> None:
    code = f"""
import sys
from actcompare.cli.app import app
app({arguments!r}, standalone_mode=False)
heavy = {{"torch", "pandas", "numpy", "matplotlib", "mpmath"}}
print(heavy & set(sys.modules), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "set()\n"


def test_importing_the_package_loads_neither_torch_nor_pandas() -> None:
    code = "import sys, actcompare; print({'torch', 'pandas', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_eval_does_without_pandas() -> None:
    """It would cost a fifth of the start."""
    code = """
import sys
from actcompare.cli.app import app
app(["eval", "--", "-2", "0", "5"], standalone_mode=False)
print({"pandas", "sympy", "mpmath"} & set(sys.modules), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "set()\n"


def test_shell_completion_offers_the_catalogue() -> None:
    environment = os.environ | {
        "_ACTCOMPARE_COMPLETE": "complete_bash",
        "COMP_WORDS": "actcompare eval --act soft",
        "COMP_CWORD": "3",
    }
    done = subprocess.run(ACTCOMPARE, capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.split() == ["softplus", "softsign", "softshrink"]


@pytest.mark.parametrize("text", ["-inf", "-Infinity", "-nan"])
def test_a_minus_before_a_word_is_no_short_option(run: Run, text: str) -> None:
    result = run("eval", "2", text, "-a", "relu", "-f", "csv", "-q")
    assert result.exit_code == 0
    assert [row["activation"] for row in records(result.stdout)] == ["relu", "relu"]
    assert records(result.stdout)[0]["x"] == "2.0"


@pytest.mark.parametrize(
    "command", ["", "eval", "table", "list", "bench", "train", "study", "inspect"]
)
def test_every_command_has_the_usual_short_help(run: Run, command: str) -> None:
    long, short = (run(*command.split(), flag).stdout for flag in ("--help", "-h"))
    assert long == short != ""
