"""The fits that the manual shows, run where their libraries are installed."""

import json
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.docs.blocks import examples

FILES = {each.file: each.code for each in examples("fit") if each.file}


@pytest.mark.parametrize(
    ("file", "needs", "more"),
    [
        ("plain.py", "sklearn", []),
        ("with_lightning.py", "lightning", ["--lower-is-better", "--set", "epochs=2"]),
        ("with_trainer.py", "transformers", ["--lower-is-better", "--set", "epochs=1"]),
    ],
)
def test_every_library_can_train(
    run: Run, in_tmp: Path, file: str, needs: str, more: list[str]
) -> None:
    pytest.importorskip(needs, reason=f"{needs} is not installed")
    if needs == "transformers":
        pytest.importorskip("accelerate", reason="the Trainer needs accelerate")
    (in_tmp / file).write_text(FILES[file], "utf-8")
    done = run(
        "study",
        "--train",
        f"{file}:fit",
        "--act",
        "relu",
        "--act",
        "softplus:beta=2",
        *("--seeds", "2", "--lr", "0.03", "--workers", "1", "--format", "json"),
        *more,
    )
    assert done.exit_code == 0, done.stderr
    made = json.loads(done.stdout)
    assert made["complete"] is True
    metrics = {cell["activation"]: cell["metric"] for cell in made["cells"]}
    assert metrics["relu"] != metrics["softplus:beta=2"]
    assert all("validation" in cell for cell in made["cells"])


def test_the_manual_shows_all_three() -> None:
    assert set(FILES) == {"plain.py", "with_lightning.py", "with_trainer.py"}
