import re
from pathlib import Path

import pytest

from actcompare.errors import ActcompareError, MissingExtraError, UsageError
from actcompare.evaluation.evaluate import evaluate
from actcompare.evaluation.plots import terminal_curves, write_curves
from actcompare.output.plotting import check_figure, check_terminal

CURVES = evaluate([i / 10 for i in range(-30, 31)], order=2).columns()
POINTS = evaluate([-2.0, 0.0, 2.0, float("inf")], order=2).columns()


@pytest.mark.parametrize(
    ("name", "begins"), [("c.svg", b"<?xml"), ("c.png", b"\x89PNG"), ("c.pdf", b"%PDF")]
)
def test_figures_are_real_and_the_same_each_time(tmp_path: Path, name: str, begins: bytes) -> None:
    write_curves(CURVES, POINTS, tmp_path / name)
    first = (tmp_path / name).read_bytes()
    assert first.startswith(begins)
    write_curves(CURVES, POINTS, tmp_path / name)
    assert (tmp_path / name).read_bytes() == first


def test_a_figure_names_its_curves(tmp_path: Path) -> None:
    write_curves(CURVES, POINTS, tmp_path / "c.svg")
    text = (tmp_path / "c.svg").read_text(encoding="utf-8")
    for label in ("relu", "softplus", "f(x)", "f'(x)", "f''(x)"):
        assert re.search(f">{re.escape(label)}<", text), label


def test_figures_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"must end in .svg, .png or .pdf"):
        write_curves(CURVES, POINTS, tmp_path / "c.gif")
    with pytest.raises(ActcompareError, match="cannot write"):
        write_curves(CURVES, POINTS, tmp_path / "missing" / "c.svg")


def test_the_terminal_shows_every_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    text = terminal_curves(CURVES, 80, colour=False)
    assert "\x1b" not in text
    assert "o" in text
    assert "x" in text
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b" in terminal_curves(CURVES, 80, colour=True)
    assert text.count("relu") == text.count("softplus") == 3


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actcompare.output.plotting.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"matplotlib.*pip install 'actcompare\[plot\]'"):
        check_figure(Path("c.svg"))
    with pytest.raises(MissingExtraError, match=r"plotille.*pip install 'actcompare\[plot\]'"):
        check_terminal("utf-8")
    with pytest.raises(ActcompareError, match="needs a UTF-8 terminal"):
        check_terminal("ascii")
