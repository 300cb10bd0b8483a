"""The pictures of a study."""

from pathlib import Path

import pytest

from actcompare.studies.plots import terminal_study, write_study
from tests.studies.runs import study_of

STUDY = study_of({"relu": [0.9, 0.91, 0.92], "softplus": [0.95, 0.9, 0.99], "gelu": [0.8] * 3})
DRAWN = STUDY.columns(), STUDY.shared_rates(), STUDY.curves(), STUDY.metric


@pytest.mark.parametrize("name", ["s.svg", "s.png", "s.pdf"])
def test_figures_are_the_same_each_time(tmp_path: Path, name: str) -> None:
    write_study(*DRAWN, 0.01, tmp_path / name)
    first = (tmp_path / name).read_bytes()
    write_study(*DRAWN, 0.01, tmp_path / name)
    assert (tmp_path / name).read_bytes() == first


def test_one_seed_has_no_bars_and_is_drawn(tmp_path: Path) -> None:
    one = study_of({"relu": [0.9], "gelu": [0.8]})
    write_study(
        one.columns(), one.shared_rates(), one.curves(), "accuracy", 0.01, tmp_path / "s.svg"
    )
    drawn = (tmp_path / "s.svg").read_text(encoding="utf-8")
    assert "gelu" in drawn
    assert "inf" not in drawn


def test_the_terminal_shows_all_three() -> None:
    text = terminal_study(*DRAWN, 80, colour=False)
    for words in ("paired difference", "test accuracy by learning rate", "validation accuracy"):
        assert words in text
    assert text.count("softplus") == 3
    assert "\x1b" not in text
