"""Figures as matplotlib has them, for tests of what is on them."""

from collections.abc import Iterator
from typing import Any

import pytest
from matplotlib.figure import Figure

from actcompare.output.plotting import Picture, figure_bytes
from actcompare.output.styles import Theme

Look = tuple[str, Any]
"""Colour and dash."""


def drawn(picture: Picture, theme: Theme = Theme.light) -> Figure:
    """The figure that a picture becomes, laid out."""
    kept: list[Figure] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", lambda self, *_, **__: kept.append(self))
        figure_bytes(picture, ".svg", theme)
    return kept[0]


def text_of(picture: Picture, theme: Theme = Theme.light) -> str:
    """The SVG of a picture."""
    return figure_bytes(picture, ".svg", theme).decode()


def looks(figure: Figure) -> Iterator[tuple[str, Look]]:
    """Each curve's label with how it is drawn."""
    for axes in figure.axes:
        for line in axes.get_lines():
            label = str(line.get_label())
            if not label.startswith("_"):
                yield label, (str(line.get_color()), line._unscaled_dash_pattern)  # type: ignore[attr-defined]
