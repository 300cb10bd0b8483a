import io
import re
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.text import Text

from actcompare import evaluate
from actcompare.activations.catalogue import CATALOGUE
from actcompare.benchmark.plots import cost_picture
from actcompare.errors import ActcompareError, MissingExtraError, UsageError
from actcompare.evaluation.plots import curve_picture
from actcompare.output.formats import Destination, Format
from actcompare.output.plotting import (
    Drawing,
    Picture,
    check_figure,
    check_terminal,
    figure_bytes,
    write_figure,
)
from actcompare.output.styles import PALETTES, Theme
from actcompare.studies.plots import study_picture
from actcompare.training.plots import course_picture
from tests.benchmark.runs import CASE, benchmark
from tests.output.figures import drawn, looks, text_of
from tests.studies.runs import study_of
from tests.training.runs import CONFIG, layer, training

PICTURE = curve_picture(
    evaluate(np.linspace(-3, 3, 61), order=2), evaluate([-2.0, 0.0, 2.0, float("inf")], order=2)
)


def every_command() -> dict[str, Picture]:
    """A picture with softplus in it, of each command that draws."""
    run, trained = benchmark(), training(layer())
    larger = benchmark(case=replace(CASE, shape=(4000,)))
    run = replace(run, measurements=run.measurements + larger.measurements)
    return {
        "eval": PICTURE,
        "bench": cost_picture(run.columns(), run.environment.as_dict()),
        "train": course_picture(replace(trained, config=replace(CONFIG, activation="softplus"))),
        "study": study_picture(study_of({"gelu": [0.9, 0.91], "softplus": [0.95, 0.9]})),
    }


PICTURES = every_command()


@pytest.mark.parametrize(
    ("name", "begins"), [("c.svg", b"<?xml"), ("c.png", b"\x89PNG"), ("c.pdf", b"%PDF")]
)
def test_figures_are_real_and_the_same_each_time(tmp_path: Path, name: str, begins: bytes) -> None:
    write_figure(tmp_path / name, PICTURE)
    first = (tmp_path / name).read_bytes()
    assert first.startswith(begins)
    write_figure(tmp_path / name, PICTURE)
    assert (tmp_path / name).read_bytes() == first


@pytest.mark.parametrize("theme", Theme)
def test_a_label_looks_the_same_in_every_command(theme: Theme) -> None:
    found = {name: dict(looks(drawn(picture, theme))) for name, picture in PICTURES.items()}
    look = found["eval"]["softplus"]
    assert look[0] == PALETTES[theme].lines[1]
    assert found["bench"]["softplus"] == found["study"]["softplus"] == look
    assert found["train"]["validation"] == look


def test_no_two_curves_of_a_figure_look_alike() -> None:
    labels = ["relu", "sigmoid", "mish", "softplus:beta=2", "softplus:beta=3", "elu:alpha=2", "elu"]
    found = dict(looks(drawn(curve_picture(evaluate([-1.0, 0.0, 1.0], labels)))))
    assert [*found] == labels
    assert len({str(look) for look in found.values()}) == len(labels)


@pytest.mark.parametrize("theme", Theme)
@pytest.mark.parametrize("command", PICTURES)
def test_a_theme_has_its_own_paper(theme: Theme, command: str) -> None:
    text = text_of(PICTURES[command], theme)
    paper = re.search(r"fill: (#\w+)", text)
    assert paper is not None
    assert paper[1].upper() == PALETTES[theme].paper
    assert f"fill: {PALETTES[theme].ink.lower()}" in text


@pytest.mark.parametrize("command", PICTURES)
def test_titles_and_notes_are_text(command: str) -> None:
    picture = PICTURES[command]
    text = text_of(picture)
    for words in (picture.title, picture.note):
        assert words.split(",")[0] in text.replace("&gt;", ">")


def test_a_write_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.svg"
    path.write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(ActcompareError, match=r"cannot write .* No space left"):
        write_figure(path, PICTURE)
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["c.svg"]


def test_figures_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"must end in .svg, .png or .pdf"):
        check_figure(tmp_path / "c.gif")
    for path in (tmp_path / "missing" / "c.svg", tmp_path / "folder.svg"):
        (tmp_path / "folder.svg").mkdir(exist_ok=True)
        with pytest.raises(ActcompareError, match="cannot write"):
            check_figure(path)


def test_a_drawing_goes_where_it_was_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2)]
    monkeypatch.setattr(sys, "stdout", streams[0])
    monkeypatch.setattr(sys, "stderr", streams[1])
    path = tmp_path / "c.svg"
    assert not Drawing.asked(False, None, Theme.dark, Destination())
    Drawing.asked(True, path, Theme.dark, Destination()).show(PICTURE)
    Drawing.asked(True, None, Theme.dark, Destination(Format.json)).show(PICTURE)
    for stream in streams:
        stream.seek(0)
        assert "f''(x)" in stream.read()
    assert PALETTES[Theme.dark].paper.lower() in path.read_text("utf-8")
    with pytest.raises(UsageError, match="must end in"):
        Drawing.asked(False, tmp_path / "c.txt", Theme.light, Destination())


@pytest.mark.parametrize("command", PICTURES)
def test_the_terminal_tells_curves_apart(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = PICTURES[command].text(80, False)
    assert "\x1b" not in text
    assert "e-0" not in text
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b" in PICTURES[command].text(80, True)


def test_many_activations_have_small_panels_each() -> None:
    labels = [entry.spec for entry in CATALOGUE]
    figure = drawn(curve_picture(evaluate([-1.0, 0.0, 1.0], labels)))
    assert len(figure.axes) == 2 * len(labels)
    titles = [axes.get_title("left").replace("\n", "") for axes in figure.axes]
    assert titles == labels * 2


def test_names_do_not_lie_on_each_other() -> None:
    labels = ["relu", "leaky_relu", "softplus:beta=2,threshold=30"]
    figure = drawn(curve_picture(evaluate(np.linspace(-3, 3, 61), labels)))
    boxes = [Text.get_window_extent(text) for text in figure.axes[-1].texts]
    boxes.sort(key=lambda box: box.y0)
    assert len(boxes) == 3
    for below, above in pairwise(boxes):
        assert below.y1 <= above.y0 + 1
    assert max(box.x1 for box in boxes) <= figure.bbox.x1


def test_where_names_would_lie_far_from_their_lines_there_is_a_legend() -> None:
    labels = ["relu", "softplus", "gelu", "silu", "mish", "elu:alpha=0.01", "celu"]
    axes = drawn(curve_picture(evaluate(np.linspace(-9, 9, 61), labels))).axes[-1]
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == labels
    assert not axes.texts


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actcompare.output.plotting.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"matplotlib.*pip install 'actcompare\[plot\]'"):
        check_figure(Path("c.svg"))
    with pytest.raises(MissingExtraError, match=r"plotille.*pip install 'actcompare\[plot\]'"):
        check_terminal("utf-8")
    with pytest.raises(ActcompareError, match="needs a UTF-8 terminal"):
        check_terminal("ascii")


def test_a_label_with_control_characters_is_a_valid_svg() -> None:
    run = benchmark()
    odd = replace(run.measurements[0].costs[1], activation="odd\x1b[31m\x00")
    measured = replace(run.measurements[0], costs=(run.measurements[0].costs[0], odd))
    config = replace(run.config, activations=(run.config.activations[0], odd.activation))
    odd_run = replace(run, config=config, measurements=(measured,))
    picture = cost_picture(odd_run.columns(), odd_run.environment.as_dict())
    text = figure_bytes(picture, ".svg").decode()
    ElementTree.fromstring(text)
    assert "odd\\x1b[31m\\x00" in text
