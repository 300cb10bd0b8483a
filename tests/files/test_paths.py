"""No file is named for two purposes, however it is spelt."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from actcompare.errors import UsageError
from actcompare.files.paths import check_apart
from tests.conftest import Run

SPELLINGS: dict[str, Callable[[Path], Path]] = {
    "itself": lambda path: path,
    "dot": lambda path: Path(f"{path.parent}/./{path.name}"),
    "up": lambda path: path.parent / "folder" / ".." / path.name,
    "relative": lambda path: Path(os.path.relpath(path)),
    "link": lambda path: path.parent / "link",
    "through a linked folder": lambda path: path.parent / "here" / path.name,
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A name in a folder with links to it and to the folder."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "here").symlink_to(tmp_path)
    (tmp_path / "link").symlink_to("it.db")
    return tmp_path / "it.db"


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("exists", [True, False])
def test_every_spelling_is_the_same_file(file: Path, spelling: str, exists: bool) -> None:
    if exists:
        file.touch()
    other = SPELLINGS[spelling](file)
    for writes, reads in (({"-a": file, "-b": other}, {}), ({"-a": file}, {"-b": other})):
        with pytest.raises(UsageError, match="-a and -b name the same file"):
            check_apart(writes, reads, {})
    check_apart({}, {"-a": file, "-b": other}, {})  # both are read


def test_a_hard_link_is_the_same_file(file: Path) -> None:
    file.touch()
    (file.parent / "twin").hardlink_to(file)
    with pytest.raises(UsageError, match="same file"):
        check_apart({"-a": file, "-b": file.parent / "twin"}, {}, {})


@pytest.mark.parametrize("beside", ["it.db-wal", "it.db-shm", "it.db-journal", ".it.db.lock"])
def test_what_is_kept_beside_a_store_belongs_to_it(file: Path, beside: str) -> None:
    with pytest.raises(UsageError, match="same file"):
        check_apart({"-a": file, "-b": file.parent / beside}, {}, {})


@pytest.mark.parametrize("inside", ["it.json", "epoch-000001/run.json", ".lock", "no/such/folder"])
def test_what_is_in_the_folder_of_a_run_belongs_to_it(file: Path, inside: str) -> None:
    folder = file.parent / "folder"
    for spelt in (folder, file.parent / "here" / "folder"):
        with pytest.raises(UsageError, match=r"is inside --save .*folder, where the run"):
            check_apart({"-a": folder / inside}, {}, {"--save": spelt})
    check_apart({"-a": file.parent / "folder.json"}, {"-b": folder / inside}, {"--save": folder})


def test_others_and_devices_are_none_of_them(file: Path) -> None:
    null = Path(os.devnull)
    check_apart({"-a": file, "-b": file.with_name("other"), "-c": null, "-d": null}, {}, {})


@pytest.mark.parametrize(
    "command",
    [
        "study --store s.db --output ./s.db -f csv",
        "study --store s.db --plot-file s.db",
        "study --data x.csv --target y --store x.csv",
        "bench --save b.json --output b.json",
        "bench --load b.json --output b.json",
        "bench --compare b.json --save b.json",
        "bench --act f.py:f --save f.py",
        "eval 1 --output a.svg --plot-file a.svg -f csv",
        "eval --file x.csv --output x.csv",
        "table --act f.py:f:a=1 --output f.py -f csv",
        "table --act relu,m.py:f,f.py:g --output f.py -f csv",
        "table --act f:f --output f.py -f csv",
        "inspect m:build --random 3 --output m.py -f csv",
        "inspect m.py:build --random 3 --output m.py -f csv",
        "inspect m.py:build --random 3 --swap relu=f.py:f --per-unit f.py",
        "inspect m.py:build --data x.csv --per-unit x.csv",
        "inspect m.py:build --random 3 --checkpoint w.pt --per-unit w.pt",
        "inspect m.py:build --random 3 --per-unit u.csv --output u.csv",
        "train --data x.csv --target y --output x.csv",
        "train --save run --output run -f csv",
        "train --resume run --output run/epoch-000001/run.json",
        "train --resume run --plot-file run/a.svg",
    ],
)
def test_every_command_is_checked_before_it_starts(run: Run, in_tmp: Path, command: str) -> None:
    names = ("s.db", "b.json", "x.csv", "f.py", "m.py", "w.pt", "u.csv")
    for name in names:
        (in_tmp / name).write_text("kept")
    done = run(*command.split())
    assert done.exit_code == 2, done.stderr
    assert "name the same file" in done.stderr or "where the run is kept" in done.stderr
    assert done.stderr.count("\n") == 1
    assert {(in_tmp / name).read_text() for name in names} == {"kept"}
