"""Tensors come back as they were saved; nothing else in a file is run or taken for one."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from actcompare.errors import ActcompareError, MissingExtraError
from actcompare.files.state_dicts import read_tensors

pytestmark = pytest.mark.usefixtures("in_tmp")
STATE = {
    "weight": torch.randn(3, 4),
    "half": torch.ones(2, dtype=torch.bfloat16),
    "steps": torch.tensor(5),
}


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("ran"),)


def saved(name: str) -> Path:
    save_file(STATE, name) if name.endswith("safetensors") else torch.save(STATE, name)
    return Path(name)


@pytest.mark.parametrize("name", ["w.pt", "w.pth", "w.safetensors"])
def test_what_was_saved_comes_back(name: str) -> None:
    found = read_tensors(saved(name))
    assert found.keys() == STATE.keys()
    assert all(torch.equal(found[key], STATE[key]) for key in STATE)


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_no_part_of_a_file_is_taken_for_the_whole(name: str) -> None:
    whole = saved(name).read_bytes()
    for length in range(1, len(whole), 37):
        Path(name).write_bytes(whole[:length])
        with pytest.raises(ActcompareError, match=f"{name} .*damaged"):
            read_tensors(Path(name))


@pytest.mark.parametrize("content", [b"abc", b"\x80", b"PK", b"."])
def test_what_was_never_a_file_of_tensors_is_told(content: bytes) -> None:
    Path("bad.pt").write_bytes(content)
    with pytest.raises(ActcompareError, match=r"bad\.pt .*damaged"):
        read_tensors(Path("bad.pt"))


def test_code_is_never_run() -> None:
    torch.save({"weights": Evil()}, "evil.pt")
    with pytest.raises(ActcompareError, match="could run code and are not loaded"):
        read_tensors(Path("evil.pt"))
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [("no.pt", "No such file"), ("no.safetensors", "No such file"), (".", "Is a directory")],
)
def test_what_cannot_be_read_is_told(name: str, message: str) -> None:
    with pytest.raises(ActcompareError, match=f"cannot read {name}: {message}"):
        read_tensors(Path(name))


def test_without_safetensors_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved("w.safetensors")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'actcompare\[data\]'"):
        read_tensors(path)
