import ast
import io
from pathlib import Path

import pytest

import actcompare
from actcompare.output.messages import say


def test_a_message_is_one_safe_line(capsys: pytest.CaptureFixture[str]) -> None:
    say("error: a\nb\x1b[2J")
    assert capsys.readouterr().err == "error: a\\nb\\x1b[2J\n"


def test_a_message_that_cannot_be_written_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr("sys.stderr", closed)
    say("nobody reads this")


def test_nothing_else_prints_messages() -> None:
    for path in Path(actcompare.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                assert not any(k.arg == "err" for k in node.keywords), path  # typer.echo(err=True)
                assert getattr(node.func, "id", "") != "print", path
