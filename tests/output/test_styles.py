"""Colours and dashes: the same for a label wherever it stands, and told apart by all."""

import itertools

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actcompare.activations.catalogue import CATALOGUE
from actcompare.output.canvas import mixed
from actcompare.output.styles import PALETTES, Theme, line_styles, terminal_styles

LIGHT = PALETTES[Theme.light]
KNOWN = [entry.spec for entry in CATALOGUE]

Vector = npt.NDArray[np.float64]

# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
SEEN = {
    "by all": np.eye(3),
    "with protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
         [-0.003882, -0.048116, 1.051998]]
    ),
    "with deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
         [-0.011820, 0.042940, 0.968881]]
    ),
    "with tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
         [0.004733, 0.691367, 0.303900]]
    ),
}  # fmt: skip


def linear(colour: str) -> Vector:
    """Linear RGB of #rrggbb (IEC 61966-2-1)."""
    parts = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def lab(rgb: Vector) -> Vector:
    """CIE L*a*b* of linear RGB, white D65."""
    to_xyz = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
         [0.0193339, 0.1191920, 0.9503041]]
    )  # fmt: skip
    xyz = to_xyz @ np.clip(rgb, 0, 1) / np.array([0.95047, 1, 1.08883])
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def contrast(one: str, other: str) -> float:
    """WCAG 2.1's contrast ratio."""
    dark, bright = sorted(float([0.2126, 0.7152, 0.0722] @ linear(each)) for each in (one, other))
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", Theme)
@pytest.mark.parametrize("eye", SEEN)
def test_every_eye_tells_the_colours_apart(theme: Theme, eye: str) -> None:
    seen = [lab(SEEN[eye] @ linear(colour)) for colour in PALETTES[theme].lines]
    nearest = min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2))
    assert nearest > 15, "2.3 can just be noticed, side by side"


@pytest.mark.parametrize("theme", Theme)
def test_letters_are_readable_on_the_paper(theme: Theme) -> None:
    palette = PALETTES[theme]
    names = [mixed(colour, palette.ink, 0.35) for colour in palette.lines]
    for letters in (palette.ink, palette.quiet, *names):
        assert contrast(letters, palette.paper) > 3.5, letters
    assert contrast(palette.ink, palette.paper) > 12


def test_the_catalogue_has_a_look_for_each_and_a_colour_for_each_of_the_most_used() -> None:
    styles = line_styles(KNOWN, LIGHT)
    assert len({str(style) for style in styles.values()}) == len(KNOWN)
    used = ("relu", "softplus", "gelu", "silu", "leaky_relu", "tanh", "elu")
    assert len({styles[label]["color"] for label in used}) == len(used)


@given(st.lists(st.sampled_from(KNOWN), unique=True))
def test_a_known_label_looks_the_same_in_any_company(labels: list[str]) -> None:
    everywhere = line_styles([*KNOWN, "my.acts:Snake:a=0.5"], LIGHT)
    assert (
        line_styles([*labels, "my.acts:Other"], LIGHT).items()
        >= {label: everywhere[label] for label in labels}.items()
    )


def test_an_unknown_label_looks_the_same_in_every_process() -> None:
    styles = line_styles(["my.acts:Snake:a=0.5"], LIGHT)
    assert styles == {
        "my.acts:Snake:a=0.5": {"color": "#009E73", "linestyle": (0, (5, 1.5, 1, 1.5))}
    }


@given(st.lists(st.one_of(st.sampled_from(KNOWN), st.text()), unique=True, max_size=28))
def test_no_two_labels_look_alike_in_any_order(labels: list[str]) -> None:
    styles = line_styles(labels, LIGHT)
    assert len({str(style) for style in styles.values()}) == len(labels)
    assert line_styles(labels[::-1], LIGHT) == styles


def test_who_yields_keeps_the_colour_while_there_are_dashes() -> None:
    own = {f"a{k}": line_styles([f"a{k}"], LIGHT)[f"a{k}"] for k in range(200)}
    same = [label for label, style in own.items() if style == own["a0"]][:4]
    together = line_styles(same, LIGHT)
    assert {style["color"] for style in together.values()} == {own["a0"]["color"]}
    assert len({str(style["linestyle"]) for style in together.values()}) == 4


def test_more_labels_than_looks_are_still_drawn() -> None:
    assert len(line_styles([f"a{k}" for k in range(40)], LIGHT)) == 40


@pytest.mark.parametrize("colour", [True, False])
def test_a_terminal_tells_seven_apart(colour: bool) -> None:
    labels = ["relu", "sigmoid", "mish", "a", "b", "c", "d"]
    assert len(set(terminal_styles(labels, colour=colour).values())) == 7
