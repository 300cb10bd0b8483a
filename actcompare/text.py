"""Format quantities and lists for people."""

import math
from collections.abc import Sequence


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
