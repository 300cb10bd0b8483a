"""Tensors come back as they were saved; nothing else in a file is run or taken for one."""

import os
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from actcompare.errors import ActcompareError, MissingExtraError
from actcompare.files.state_dicts import read_tensors
from actcompare.machine import memory

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


def odd_tensors() -> dict[str, tuple[torch.Tensor, str]]:
    plain = torch.ones(3, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, on rare kinds of tensors
        return {
            "coo": (plain.to_sparse(), r"is sparse_coo: save it as tensor.to_dense\(\)"),
            "csr": (plain.to_sparse_csr(), "is sparse_csr"),
            "quantized": (torch.quantize_per_tensor(plain, 0.1, 0, torch.qint8), "is quantized"),
            "nested": (torch.nested.nested_tensor([torch.ones(2)]), "is nested"),
            "meta": (torch.empty(3, device="meta"), "is on the meta device"),
            "expanded": (torch.ones(1).expand(10**12, 2), "which repeats its values to shape"),
        }


@pytest.mark.parametrize("kind", sorted(odd_tensors()))
def test_tensors_without_plain_values_are_named(kind: str) -> None:
    tensor, says = odd_tensors()[kind]
    torch.save({"model": [STATE, {"w": tensor}]}, "odd.pt")
    with pytest.raises(ActcompareError, match=rf"odd\.pt: tensor 'model\.1\.w',? {says}"):
        read_tensors(Path("odd.pt"))


def test_repeated_values_that_fit_are_read() -> None:
    torch.save(torch.ones(1).expand(5, 2), "small.pt")
    assert read_tensors(Path("small.pt")).shape == (5, 2)


def test_a_list_within_itself_is_read_once() -> None:
    loop: list[Any] = []
    loop.append(loop)
    torch.save(loop, "loop.pt")
    assert len(read_tensors(Path("loop.pt"))) == 1


def test_what_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved("w.pt")
    monkeypatch.setattr(memory, "free_memory", lambda _: 100)
    with pytest.raises(ActcompareError, match=r"w\.pt, unpacked, needs .* but only 100 B is free"):
        read_tensors(path)


@pytest.mark.parametrize("name", ["pipe.pt", "pipe.safetensors"])
def test_pipes_are_refused(name: str) -> None:
    os.mkfifo(name)
    with pytest.raises(ActcompareError, match="is a pipe or a device"):
        read_tensors(Path(name))
