"""Quantities as people read them."""


def in_bytes(count: float) -> str:
    """A number of bytes, in the binary unit that suits it."""
    units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
    while count >= 1024 and len(units) > 1:
        count /= 1024
        units.pop(0)
    return f"{count:.4g} {units[0]}"
