import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from actcompare.cli.app import app

Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    """Run the command line in this process."""

    def invoke(*arguments: str, stdin: str | bytes | None = None) -> Result:
        return CliRunner().invoke(app, list(arguments), input=stdin)

    return invoke


@pytest.fixture(autouse=True)
def no_word_of_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """Say nothing of waits for a core, whatever else runs on the machine."""
    monkeypatch.setattr("actcompare.machine.waiting.BUSY_SHARE", math.inf)


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder as the working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not torch.cuda.is_available():
        skip = pytest.mark.skip(reason="torch finds no NVIDIA GPU here")
        for item in items:
            if "cuda" in item.keywords:
                item.add_marker(skip)
