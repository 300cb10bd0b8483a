"""Every command and every output in README is real."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"
TEXT = README.read_text(encoding="utf-8")
CONSOLE = re.findall(r"```console\n\$ (.*)\n((?:.*\n)*?)```", TEXT)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]\d+)?")


def alike(shown: str, real: str) -> bool:
    """The same text, but for the last digits of numbers, in which machines differ."""
    a, b = ([float(n) for n in NUMBER.findall(text)] for text in (shown, real))
    if NUMBER.sub("#", shown).split() != NUMBER.sub("#", real).split():
        return False
    return b == pytest.approx(a, rel=2e-5)


def run_in_shell(command: str) -> str:
    command = command.replace("actcompare ", f"{sys.executable} -m actcompare ")
    done = subprocess.run(
        ["bash", "-c", command + " 2>&1"], capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.parametrize(("command", "shown"), CONSOLE, ids=[command for command, _ in CONSOLE])
def test_commands(command: str, shown: str) -> None:
    assert alike(shown, run_in_shell(command))


def test_the_python_lines(capsys: pytest.CaptureFixture[str]) -> None:
    evaluating, timing, training, studying, _, inspecting = re.findall(
        r"```python\n((?:.*\n)*?)```", TEXT
    )
    exec(evaluating, {})
    assert "0.126928" in capsys.readouterr().out
    exec(timing, {})
    assert "Estimate(value=" in capsys.readouterr().out
    exec(training, {})
    assert "hidden1" in capsys.readouterr().out
    exec(studying, {})
    said = capsys.readouterr().out
    assert "baseline" in said
    assert "test_metric" in said
    exec(inspecting, {})
    assert "Softplus(beta=2" in capsys.readouterr().out


def test_every_command_and_option_named_is_there() -> None:
    help_text = "".join(
        run_in_shell(f"actcompare {command} --help")
        for command in ("", "eval", "table", "list", "bench", "train", "study", "inspect")
    )
    ours = re.sub(r"^    ray .*$", "", TEXT, flags=re.MULTILINE)
    for option in set(re.findall(r"(?<![\w-])--[a-z]+(?:-[a-z]+)*", ours)):
        assert option in help_text, option


def test_it_is_whole() -> None:
    """Every section stands, and every row of a table follows its header."""
    headings = re.findall(r"^## (.*)$", TEXT, re.MULTILINE)
    for word in (
        "SPEC",
        "eval",
        "table",
        "bench",
        "train",
        "study",
        "inspect",
        "Formats",
        "Extras",
        "Development",
    ):
        assert any(word in heading for heading in headings), word
    prose = re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL)
    for block in re.findall(r"(?:^\|.*\n)+", prose, re.MULTILINE):
        assert re.fullmatch(r"(\|-+)+\|", block.splitlines()[1]), block.splitlines()[0]


def test_alike_can_tell_apart() -> None:
    assert alike("a 1.00001 b", "a  1.00002 b")
    assert not alike("a 1.1 b", "a 1.2 b")
    assert not alike("a 1 b", "a 1 c")
    assert len(CONSOLE) >= 5


def test_the_bench_table_shown_has_the_columns_and_cases_of_a_real_one() -> None:
    (shown,) = re.findall(r"```text\n\$ actcompare bench\n((?:.*\n)*?)```", TEXT)
    sizes = "--size 2^10 --size 2^16 --size 2^23"
    real = run_in_shell(f"actcompare bench {sizes} --time-limit 0.05 --quiet")
    for column in (0, 1, 2):
        assert cells(shown, column) == cells(real, column)
    assert cells(shown, None) == cells(real, None)
    for line in ("Noise floor, the baseline against itself", "forward 8,388,608: relu "):
        assert line in shown
        assert line in real


def cells(text: str, column: int | None) -> list[str]:
    """A column of the table in a text, or its titles."""
    rows = [line.strip("│ ").split("│") for line in text.splitlines() if line.startswith("│")]
    return [part.strip() for part in (rows[0] if column is None else [row[column] for row in rows])]


def test_the_training_shown_is_a_real_one() -> None:
    """All but the time: of 5 epochs the last digits may differ from machine to machine."""
    ((command, shown),) = re.findall(r"```text\n\$ (actcompare train .*)\n((?:.*\n)*?)```", TEXT)
    real = run_in_shell(command)
    same = [re.sub(r".* in steps, .*\n", "", text) for text in (shown, real)]
    assert NUMBER.sub("#", same[0]).split() == NUMBER.sub("#", same[1]).split()
    for line in ("hidden1 │    64 │    0 -> 0 │       0 -> 64", "Counting zeros misses 64 units"):
        assert line in shown
        assert line in real


def test_the_study_shown_is_a_real_one(in_tmp: Path) -> None:
    """All but the time; numbers may differ where a run hangs on its last bits."""
    ((command, shown),) = re.findall(r"```text\n\$ (actcompare study .*)\n((?:.*\n)*?)```", TEXT)
    real = run_in_shell(command + " --plot-file study.svg")
    assert NUMBER.sub("#", shown).split() == NUMBER.sub("#", real).split()
    (picture,) = re.findall(r"!\[.*\]\((.*study\.svg)\)", TEXT)
    drawn = [
        {
            text
            for text in re.findall(r"<text[^>]*>(.*)</text>", path.read_text("utf-8"))
            if text[0].isalpha()
        }
        for path in (README.parent / picture, in_tmp / "study.svg")
    ]
    assert drawn[0] == drawn[1] != set()


def test_the_inspection_shown_is_a_real_one(in_tmp: Path) -> None:
    """Of the net that the command before it trains; its last digits may differ."""
    (code,) = re.findall(r"```python\n# digits.py\n((?:.*\n)*?)```", TEXT)
    ((command, shown),) = re.findall(r"```text\n\$ (actcompare inspect .*)\n((?:.*\n)*?)```", TEXT)
    (train,) = re.findall(r"^    (actcompare train .* --save run)$", TEXT, re.MULTILINE)
    (in_tmp / "digits.py").write_text(code, encoding="utf-8")
    run_in_shell(train)
    real = run_in_shell(command)
    assert NUMBER.sub("#", shown).split() == NUMBER.sub("#", real).split()
    for text in (shown, real):
        assert "On 1,797 samples: a unit silent on all of them fires at most 0.17 %" in text
        (dead,) = re.findall(r"of 64 units: (\d+) zero-dead", " ".join(text.split()))
        assert 45 < int(dead) < 60
