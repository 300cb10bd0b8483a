"""What activations look like: a colour and a dash for each label, the same in every figure."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Theme = StrEnum("Theme", ["light", "dark"])


@dataclass(frozen=True)
class Palette:
    """The colours of a theme, as #rrggbb."""

    paper: str
    ink: str
    quiet: str
    """Of what is said aside."""
    faint: str
    """Of what lies behind the curves: axes, bands, the baseline of a small panel."""
    lines: tuple[str, ...]


PALETTES = {
    # The colours of Okabe and Ito, which every kind of colour vision tells apart, but for yellow.
    Theme.light: Palette(
        paper="#FFFFFF",
        ink="#1A1A1A",
        quiet="#5F5F5F",
        faint="#C4C4C4",
        lines=("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"),
    ),
    # The same hues, lighter, and as far apart.
    Theme.dark: Palette(
        paper="#121212",
        ink="#EDEDED",
        quiet="#A8A8A8",
        faint="#5A5A5A",
        lines=("#1F8FE0", "#E8652A", "#10B080", "#DE8FC0", "#FFC53D", "#9AD9FF", "#FFFFFF"),
    ),
}

DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)))

_COLOURS = len(PALETTES[Theme.light].lines)

# The number of colours and that of dashes have no common factor, so that counting through both
# gives every pair once. The first of these, the most used, have each a colour to themselves.
_FIXED = (
    *("relu", "softplus", "gelu", "silu", "leaky_relu", "tanh", "elu"),
    *("sigmoid", "mish", "selu", "prelu", "relu6", "hardswish", "celu"),
    *("gelu:approximate=tanh", "softsign", "logsigmoid", "hardtanh", "hardsigmoid", "rrelu"),
    *("softshrink", "hardshrink", "tanhshrink", "threshold"),
)

_MARKS = "ox+*#@%&"

_TERMINAL_COLOURS = (
    *("bright_blue", "bright_red", "bright_green", "bright_magenta", "bright_yellow"),
    *("bright_cyan", "white"),
)


def line_styles(labels: Sequence[str], palette: Palette) -> dict[str, dict[str, Any]]:
    """The colour and dash of each label, no two alike while there are enough of them."""
    slots = _slots(labels, _COLOURS * len(DASHES), _COLOURS)
    return {
        label: {"color": palette.lines[slot % _COLOURS], "linestyle": DASHES[slot % len(DASHES)]}
        for label, slot in slots.items()
    }


def terminal_styles(labels: Sequence[str], *, colour: bool) -> dict[str, str]:
    """What each label is drawn with in a terminal: a colour, or without colours a character."""
    names = _TERMINAL_COLOURS if colour else _MARKS
    return {label: names[slot] for label, slot in _slots(labels, len(names), 1).items()}


def _slots(labels: Sequence[str], count: int, step: int) -> dict[str, int]:
    """One of `count` slots for each label: its own, or where that is taken one some steps on.

    A label in the table has its place there, any other one that its letters give. Who yields does
    not depend on the order of the labels: those in the table come first, the others by name.
    """
    known = [label for label in _FIXED if label in labels]
    slots: dict[str, int] = {}
    for label in (*known, *sorted(set(labels) - set(known))):
        own = _FIXED.index(label) if label in known else zlib.crc32(label.encode())
        tried = [(own + k * step + k * step // count) % count for k in range(count)]
        slots[label] = next((slot for slot in tried if slot not in slots.values()), tried[0])
    return slots
