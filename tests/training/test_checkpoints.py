"""Runs in folders: what is kept, and what is not taken for a run."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from actcompare import resume, train
from actcompare.errors import ActcompareError
from actcompare.training.checkpoints import FORMAT_VERSION, Folder, _hash_of


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    train("softplus", epochs=2, hidden=8, optimizer="adam", save=folder)
    return folder


@pytest.fixture
def saved(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "run")
    return tmp_path / "run"


def newest(folder: Path) -> Path:
    (found,) = folder.glob("epoch-*")
    return found


def test_all_of_it_comes_back(saved: Path) -> None:
    with Folder.open(saved) as folder:
        checkpoint = folder.load()
    assert checkpoint.config.activation == "softplus"
    assert [epoch.epoch for epoch in checkpoint.history] == [0, 1, 2]
    assert checkpoint.history[0].layers[0].verdicts.keys() >= {"zero_dead", "gradient_dead"}
    assert set(checkpoint.optimizer) == {"mean", "square", "steps"}
    content = json.loads((newest(saved) / "run.json").read_text(encoding="utf-8"))
    assert content["environment"]["torch"] == torch.__version__
    assert content["format_version"] == FORMAT_VERSION


@pytest.mark.parametrize("name", ["run.json", "weights.pt", "optimizer.pt"])
def test_no_cut_and_no_flipped_bit_is_taken_for_a_run(saved: Path, name: str) -> None:
    path = newest(saved) / name
    whole = path.read_bytes()
    step = len(whole) // 12
    damaged = [whole[:length] for length in range(0, len(whole) - 1, step)]
    if name != "run.json":
        damaged += [
            whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :] for i in range(0, len(whole), step)
        ]
    for content in damaged:
        path.write_bytes(content)
        with (
            Folder.open(saved) as folder,
            pytest.raises(ActcompareError, match=r"is damaged|is empty"),
        ):
            folder.load()


@pytest.mark.parametrize("name", ["run.json", "weights.pt", "optimizer.pt"])
def test_a_lost_file_is_told(saved: Path, name: str) -> None:
    (newest(saved) / name).unlink()
    with Folder.open(saved) as folder, pytest.raises(ActcompareError, match="No such file"):
        folder.load()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"format_version": 1', '"format_version": 2', "has format version 2, but this"),
        ('"format": "actcompare train"', '"format": "x"', "was not written by"),
        ('"history"', '"story"', "is damaged"),
        ('"lr": 0.003', '"learning": 0.003', "is damaged"),
        ('"epoch": 1', '"epoch": 5', "is damaged"),
        ('"hidden": 8', '"hidden": "8"', "is damaged"),
    ],
)
def test_what_was_edited_is_told(saved: Path, old: str, new: str, message: str) -> None:
    path = newest(saved) / "run.json"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    with Folder.open(saved) as folder, pytest.raises(ActcompareError, match=message):
        folder.load()


def test_two_runs_do_not_share_a_folder(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(ActcompareError, match="already contains a run: continue it with --resume"):
        Folder.create(saved)
    with (
        Folder.open(saved),
        pytest.raises(ActcompareError, match="another run is writing"),
        Folder.open(saved),
    ):
        pass
    with Folder.open(saved):  # free again
        pass
    with (
        Folder.create(tmp_path / "new"),
        pytest.raises(ActcompareError, match="another run is writing"),
        Folder.create(tmp_path / "new"),
    ):
        pass


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(ActcompareError, match="is not a folder"):
        Folder.open(tmp_path / "nowhere")
    with pytest.raises(ActcompareError, match="contains no run"):
        Folder.open(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ActcompareError, match="cannot write"):
        Folder.create(tmp_path / "file")
    with pytest.raises(ActcompareError, match="cannot write"):
        Folder.create(tmp_path / "no" / "parent")


def as_epoch(made: Path, name: str) -> Path:
    return Path(shutil.copytree(newest(made), made / name))


def test_what_a_killed_save_left_is_cleared(saved: Path) -> None:
    (saved / ".part-123").mkdir()
    (saved / ".part-123" / "weights.pt").touch()
    with Folder.open(saved):
        assert not list(saved.glob(".part-*"))


def test_of_two_states_the_newer_counts(saved: Path) -> None:
    """As when a process is killed between writing one and removing the other."""
    shutil.copytree(newest(saved), saved / "epoch-000001")
    with Folder.open(saved) as folder:
        assert folder.load().history[-1].epoch == 2
    assert newest(saved).name == "epoch-000002"  # the other is gone


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("epoch-999999", "epoch-1000000"),
        ("epoch-000009", "epoch-000010"),
        ("epoch-000002", "epoch-000002-diverged"),
        ("epoch-000002-diverged", "epoch-000003"),
    ],
)
def test_states_are_compared_as_numbers(saved: Path, older: str, newer: str) -> None:
    state = newest(saved)
    shutil.copytree(state, saved / newer, dirs_exist_ok=True)
    state.rename(saved / older)
    with Folder.open(saved) as folder:
        folder.load()
    assert newest(saved).name == newer


@pytest.mark.parametrize(
    "name",
    [
        *("epoch-000001-backup", "epoch-1", "epoch-0000001", "epoch-000001-diverged-old"),
        *("epoch-00000\u0661", "Epoch-000001", ".part-of-mine", ".part-", "epochs"),
    ],
)
def test_folders_with_other_names_are_left(saved: Path, name: str) -> None:
    (saved / name).mkdir()
    (saved / name / "weights.pt").write_text("mine")
    go_on(saved)
    assert (saved / name / "weights.pt").read_text() == "mine"


@pytest.mark.parametrize("name", ["epoch-000001", "epoch-000009", ".part-1"])
@pytest.mark.parametrize("what", ["a folder", "a file", "a link"])
def test_what_has_a_name_of_ours_but_is_not_ours_is_left(
    saved: Path, tmp_path: Path, name: str, what: str
) -> None:
    path, elsewhere = saved / name, tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "run.json").write_text("mine")
    (elsewhere / "notes.txt").write_text("mine")
    if what == "a folder":
        path.mkdir()
        (path / "notes.txt").write_text("mine")
    elif what == "a file":
        path.write_text("mine")
    else:
        path.symlink_to(elsewhere)
    go_on(saved)
    assert path.is_symlink() == (what == "a link")
    kept = {"a folder": path / "notes.txt", "a file": path, "a link": elsewhere / "run.json"}
    assert kept[what].read_text() == "mine"
    assert len(list(elsewhere.iterdir())) == 2


def go_on(folder: Path) -> None:
    """Save the newest state once more, as that of the next epoch."""
    with Folder.open(folder) as opened:
        last = opened.load()
        epoch = replace(last.history[-1], epoch=len(last.history))
        opened.save(replace(last, history=(*last.history, epoch)))
        assert opened.load().history[-1] == epoch
    assert not (folder / "epoch-000002").exists()


def test_a_run_saved_between_the_check_and_the_lock_is_noticed(saved: Path, tmp_path: Path) -> None:
    folder = Folder.create(tmp_path / "new")
    newest(saved).rename(tmp_path / "new" / "epoch-000002")
    with pytest.raises(ActcompareError, match="already contains a run"), folder:
        pass
    with Folder.open(tmp_path / "new"):  # it is not locked
        pass


# --- changed on purpose, with hashes that fit -----------------------------------------------------


def forge(saved: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change run.json, and its hash."""
    path = newest(saved) / "run.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["hash"]
    change(content)
    path.write_text(json.dumps(content | {"hash": _hash_of(content)}), encoding="utf-8")


def forge_tensors(saved: Path, name: str, change: Callable[[dict[str, Any]], object]) -> None:
    path = newest(saved) / name
    state = torch.load(path)
    change(state)
    torch.save(state, path)
    hash_ = hashlib.sha256(path.read_bytes()).hexdigest()
    forge(saved, lambda content: content["files"].update({name: hash_}))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c["config"].update(hidden="8"), "config.hidden should be a valid integer"),
        (lambda c: c["config"].update(depth=0), "config.depth should be greater than or equal"),
        (lambda c: c["config"].update(lr=float("nan")), "config.lr should be finite"),
        (lambda c: c["history"].clear(), "history should not be empty"),
        (lambda c: c["history"].reverse(), "the epochs of the history are not 0, 1, 2"),
        (lambda c: c["history"][1].update(layers=[]), "epoch 1 has other layers"),
        (lambda c: c["history"][0]["layers"][0]["verdicts"].clear(), "the verdicts should be"),
        (
            lambda c: c["history"][0]["layers"][0]["verdicts"].update(dormant=[8]),
            "a verdict names a unit beyond the 8 of hidden1",
        ),
        (lambda c: c.update(files={"weights.pt": 1}), "files.weights.pt should be a valid string"),
        (lambda c: c.update(files={}), "weights.pt has been changed"),
        (lambda c: c.update(more=1), "more is unknown"),
        (lambda c: c["config"].update(depth=10**6), "the history has 1 layers, not 1000000"),
        (lambda c: c["config"].update(hidden=10**12), "the saved weights do not fit: hidden1"),
    ],
)
def test_a_forged_field_is_named(
    saved: Path, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    forge(saved, change)
    with Folder.open(saved) as folder, pytest.raises(ActcompareError, match=said) as caught:
        folder.load()
    assert "is damaged" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("weights.pt", lambda s: s.pop("output.bias"), "output.bias should have shape"),
        ("weights.pt", lambda s: s.update({"hidden1.bias": torch.zeros(9)}), "do not fit"),
        ("weights.pt", lambda s: s.update({"hidden1.bias": torch.zeros(8) + 1j}), "do not fit"),
        ("weights.pt", lambda s: s.update({"more": torch.zeros(8)}), "the saved weights do not"),
        ("optimizer.pt", lambda s: s.pop("mean"), "the saved optimizer state does not fit"),
        ("optimizer.pt", lambda s: s.update(mean=torch.zeros(3)), "of another optimizer or"),
        ("optimizer.pt", lambda s: s.update(steps=torch.tensor(-2)), "its number of steps"),
        ("optimizer.pt", lambda s: s.update(steps=3), "does not hold named tensors"),
    ],
)
def test_forged_tensors_are_refused(
    saved: Path, name: str, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    forge_tensors(saved, name, change)
    with pytest.raises(ActcompareError, match=said):
        resume(saved)


def test_other_samples_are_noticed(saved: Path) -> None:
    forge(saved, lambda content: content["data"].update(samples=[9, 9, 9]))
    with pytest.raises(ActcompareError, match="was trained on other samples"):
        resume(saved)


def test_devices_are_not_read(saved: Path) -> None:
    for name in ("weights.pt", "run.json"):
        (newest(saved) / name).unlink()
        (newest(saved) / name).symlink_to("/dev/zero")
        with Folder.open(saved) as folder, pytest.raises(ActcompareError, match="or a device"):
            folder.load()
