"""Choose a colour and a dash for each label, the same in every figure."""

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
    """Colour of secondary text."""
    faint: str
    """Colour of what lies behind the curves: axes, bands, the baseline of a small panel."""
    lines: tuple[str, ...]


PALETTES = {
    # The colour-blind-safe palette of Okabe and Ito, without yellow.
    Theme.light: Palette(
        paper="#FFFFFF",
        ink="#1A1A1A",
        quiet="#5F5F5F",
        faint="#C4C4C4",
        lines=("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"),
    ),
    # The same hues, lighter and equally far apart.
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

# The numbers of colours and of dashes are coprime, so cycling through both yields every pair once.
# The first of these labels, the most used, each have a colour of their own.
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
    """Return the colour and dash of each label, distinct while there are enough."""
    slots = _slots(labels, _COLOURS * len(DASHES), _COLOURS)
    return {
        label: {"color": palette.lines[slot % _COLOURS], "linestyle": DASHES[slot % len(DASHES)]}
        for label, slot in slots.items()
    }


def terminal_styles(labels: Sequence[str], *, colour: bool) -> dict[str, str]:
    """Return what each label is drawn with in a terminal: a colour or else a character."""
    names = _TERMINAL_COLOURS if colour else _MARKS
    return {label: names[slot] for label, slot in _slots(labels, len(names), 1).items()}


def _slots(labels: Sequence[str], count: int, step: int) -> dict[str, int]:
    """Return one of `count` slots per label: its own or, if that is taken, one some steps on.

    The slot of a label is its index in _FIXED, or else a hash. The result does not depend on the
    order of the labels: those in _FIXED choose first, then the others by name.
    """
    known = [label for label in _FIXED if label in labels]
    slots: dict[str, int] = {}
    for label in (*known, *sorted(set(labels) - set(known))):
        own = _FIXED.index(label) if label in known else zlib.crc32(label.encode())
        tried = [(own + k * step + k * step // count) % count for k in range(count)]
        slots[label] = next((slot for slot in tried if slot not in slots.values()), tried[0])
    return slots
