"""Where a result goes, and in which format."""

import io
import os
import sys
from pathlib import Path

import pandas as pd
import pytest

from actcompare.errors import ActcompareError, UsageError
from actcompare.output.formats import Destination, Format
from tests.conftest import Run


@pytest.mark.parametrize(
    ("name", "chosen"),
    [
        *(
            (f"r{ending}", chosen)
            for ending, chosen in zip(
                (".csv", ".json", ".md", ".parquet", ".txt", "", ".CSV"),
                ("csv", "json", "markdown", "parquet", "table", "table", "csv"),
                strict=True,
            )
        )
    ],
)
def test_the_ending_chooses(in_tmp: Path, name: str, chosen: str) -> None:
    assert Destination.asked(None, in_tmp / name) == Destination(Format(chosen), in_tmp / name)


@pytest.mark.usefixtures("in_tmp")
def test_an_unknown_ending_is_refused_unless_the_format_is_given() -> None:
    with pytest.raises(UsageError, match=r"no format has the ending .xlsx; use one of .txt, .csv"):
        Destination.asked(None, Path("r.xlsx"))
    assert Destination.asked(Format.csv, Path("r.xlsx")).format is Format.csv
    with pytest.raises(ActcompareError, match="there is no folder gone"):
        Destination.asked(None, Path("gone/r.csv"))


def test_standard_output() -> None:
    for output in (None, Path("-")):
        assert Destination.asked(None, output) == Destination()
    device = Path(os.devnull)
    assert Destination.asked(None, device) == Destination(Format.table, device)


def test_parquet_is_not_for_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdout", Terminal())
    with pytest.raises(UsageError, match="Parquet is binary"):
        Destination.asked(Format.parquet, None)


@pytest.mark.usefixtures("in_tmp")
@pytest.mark.parametrize(
    "line",
    [
        "eval --range -3 3 7 --order 2",
        "table",
        "list",
        "bench --size 8 --pass forward --time-limit 0.01",
        "train --epochs 0",
    ],
)
def test_parquet_holds_the_records_of_every_command(run: Run, line: str) -> None:
    assert run(*line.split(), "-o", "r.parquet").exit_code == 0
    frame = pd.read_parquet("r.parquet")
    piped = run(*line.split(), "--format", "parquet")
    assert [*pd.read_parquet(io.BytesIO(piped.stdout_bytes))] == [*frame]
    assert run(*line.split(), "-o", "r.csv").exit_code == 0
    assert [*pd.read_csv("r.csv")] == [*frame]
    assert len(pd.read_csv("r.csv")) == len(frame) > 0
