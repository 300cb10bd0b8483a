"""A file is written whole or not at all."""

from pathlib import Path

import pytest

from actcompare.errors import ActcompareError
from actcompare.files.writing import open_output


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("before")
    with pytest.raises(ZeroDivisionError), open_output(path) as out:
        out.write("half")
        raise ZeroDivisionError
    assert path.read_text() == "before"
    with open_output(path) as out:
        out.write("after")
        assert path.read_text() == "before"
    assert path.read_text() == "after"
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.csv"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("before")
    (tmp_path / "link").symlink_to("real")
    with open_output(tmp_path / "link") as out:
        out.write("after")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "after"


@pytest.mark.parametrize("name", ["missing/out.csv", "folder", "/dev/full"])
def test_what_cannot_be_written(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(ActcompareError, match="cannot write"), open_output(tmp_path / name) as out:
        out.write("x" * 100_000)
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]


def test_an_open_file_behind_a_descriptor_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("earlier\n")
    with log.open("a") as kept:
        for name in ("/dev/fd", "/proc/self/fd"):
            with open_output(Path(name, str(kept.fileno()))) as out:
                out.write("more\n")
    assert log.read_text() == "earlier\nmore\nmore\n"
    assert [each.name for each in tmp_path.iterdir()] == ["log"]
