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
    evaluating, timing = re.findall(r"```python\n((?:.*\n)*?)```", TEXT)
    exec(evaluating, {})
    assert "0.126928" in capsys.readouterr().out
    exec(timing, {})
    assert "Estimate(value=" in capsys.readouterr().out


def test_every_command_and_option_named_is_there() -> None:
    help_text = "".join(
        run_in_shell(f"actcompare {command} --help") for command in ("", "eval", "table", "list")
    )
    for option in set(re.findall(r"(?<![\w-])--[a-z]+(?:-[a-z]+)*", TEXT)):
        assert option in help_text, option


def test_alike_can_tell_apart() -> None:
    assert alike("a 1.00001 b", "a  1.00002 b")
    assert not alike("a 1.1 b", "a 1.2 b")
    assert not alike("a 1 b", "a 1 c")
    assert len(CONSOLE) >= 5
