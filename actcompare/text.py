"""Format quantities and lists for people, and read the numbers that they write."""

import math
from collections.abc import Sequence
from decimal import Decimal

LINE, CELL = 1600, 400
"""Longest line and longest cell of a table that are shown whole, in characters."""


def shown(text: str, most: int = LINE) -> str:
    """Return a text as one line that is safe to print, `escaped`.

    A text of more than `most` characters loses its middle.
    """
    return _without_middle(escaped(_without_middle(text, most)), most)


def escaped(text: str) -> str:
    """Return a text with all that has no look of its own escaped, as in Python's repr.

    Such are control characters, line ends, and marks that change the direction of writing.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def prose(text: str) -> list[str]:
    """Return the paragraphs of a text, `escaped`; very long words, such as names, lose the middle.

    A text that ends with a line end has no empty last paragraph.
    """
    return [
        " ".join(shown(word, CELL) for word in paragraph.split(" "))
        for paragraph in text.removesuffix("\n").split("\n")
    ]


def _without_middle(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most // 2]}...{text[-(most // 2) :]}"


def read_number(text: str) -> float:
    """Parse a decimal number such as -2, 1e-3, inf or nan.

    Raises:
        ValueError: The text is not a number, or is out of range for float64.
    """
    try:
        if "_" in text or not text.isascii():  # only Python accepts 1_000
            raise ValueError
        value = float(text)
    except ValueError:
        raise ValueError(f"{_quoted(text)} is not a number") from None
    if math.isinf(value) and "inf" not in text.lower():
        raise ValueError(f"{_quoted(text)} is out of range for float64; write inf for infinity")
    return value


def read_finite(text: str) -> float:
    """Parse a finite number.

    Raises:
        ValueError: The text is not a finite number.
    """
    value = read_number(text)
    if not math.isfinite(value):
        raise ValueError(f"{_quoted(text)} is not a finite number")
    return value


def read_whole(text: str) -> int:
    """Parse a whole number of at most 64 bits, such as 4096, 1_000, 1e6 or 2^20.

    Raises:
        ValueError: The text is not a whole number, or needs more bits.
    """
    base, power, exponent = text.partition("^")
    try:
        if not text.isascii():
            raise ValueError
        value = Decimal(base) ** Decimal(exponent if power else 1)  # exact, unlike a float
        if value != value.to_integral_value():
            raise ValueError
    except (ArithmeticError, ValueError):
        raise ValueError(
            f"{_quoted(text)} is not a whole number such as 4096, 1e6 or 2^20"
        ) from None
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"{_quoted(text)} needs more than 64 bits")
    return int(value)


def read_shape(text: str) -> list[int]:
    """Parse whole numbers of 1 or more between x, such as 3x224x224.

    Raises:
        ValueError: The text is not a shape.
    """
    lengths = [read_whole(length) for length in text.lower().split("x")]
    if min(lengths) < 1:
        raise ValueError(f"{_quoted(text)} is not a shape such as 3x224x224")
    return lengths


def _quoted(text: str) -> str:
    return repr(text[:60]) if text.strip() else "an empty field"


def listed(names: Sequence[str], most: int = 12) -> str:
    """Join names with commas; of more than `most`, show the first ones and count the rest."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def in_bytes(count: float) -> str:
    """Format a number of bytes with a binary unit, such as 4 KiB."""
    units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
    while count >= 1024 and len(units) > 1:
        count /= 1024
        units.pop(0)
    return f"{count:.4g} {units[0]}"


def duration(taken: float) -> str:
    """Format seconds as a duration, such as 3 s, 12 min or 1.5 h."""
    if taken < 60:
        return f"{taken:.2g} s" if taken < 9.95 else f"{taken:.0f} s"
    minutes = taken / 60
    if minutes < 60:
        return f"{minutes:.0f} min"
    return f"{minutes / 60:.1f} h" if minutes < 48 * 60 else f"{minutes / 60 / 24:.1f} days"


_SECONDS = (("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9))


def _scale(seconds: float) -> tuple[str, float]:
    return next((unit for unit in _SECONDS if seconds >= 0.9995 * unit[1]), _SECONDS[-1])


def seconds(value: float | None) -> str:
    """Format seconds with an SI unit, such as 2.1 us; n/a for None."""
    if value is None:
        return "n/a"
    unit, scale = _scale(value)
    return f"{_short(value / scale)} {unit}"


def _short(value: float) -> str:
    return f"{value:.3g}" if value < 999.5 else f"{value:.0f}"


def percent(share: float | None, digits: int) -> str:
    """Format a share as a percentage; n/a for None, unknown for an infinite share."""
    if share is None:
        return "n/a"
    return "unknown" if math.isinf(share) else f"{100 * share:.{digits}f} %"
