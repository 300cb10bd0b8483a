"""Quantities and lists as people write them."""

import math
from collections.abc import Sequence


def listed(names: Sequence[str], most: int = 12) -> str:
    """Names on one line of a message, the first of them where they are many."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def in_bytes(count: float) -> str:
    """A number of bytes, in the binary unit that suits it."""
    units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
    while count >= 1024 and len(units) > 1:
        count /= 1024
        units.pop(0)
    return f"{count:.4g} {units[0]}"


def duration(taken: float) -> str:
    """Seconds as people say them."""
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
    """A time, in the unit that suits it."""
    if value is None:
        return "n/a"
    unit, scale = _scale(value)
    return f"{_short(value / scale)} {unit}"


def _short(value: float) -> str:
    return f"{value:.3g}" if value < 999.5 else f"{value:.0f}"


def percent(share: float | None, digits: int) -> str:
    """A share in percent."""
    if share is None:
        return "n/a"
    return "unknown" if math.isinf(share) else f"{100 * share:.{digits}f} %"
