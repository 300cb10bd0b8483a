"""Seeded damage to bytes and to JSON."""

import json
import random
import re
from collections.abc import Iterator
from typing import Any


def damaged(rng: random.Random, whole: bytes) -> bytes:
    """Return bytes with one to three kinds of damage."""
    content = bytearray(whole)
    for _ in range(rng.choice([1, 1, 2, 3])):
        rng.choice(_DAMAGE)(rng, content)
    return bytes(content)


def _place(rng: random.Random, content: bytearray) -> int:
    # Headers stand at both ends of most formats.
    near = rng.randrange(min(256, len(content)) or 1)
    return rng.choice([near, max(0, len(content) - 1 - near), rng.randrange(len(content) or 1)])


def _flip(rng: random.Random, content: bytearray) -> None:
    for _ in range(rng.choice([1, 1, 4, 32])):
        if content:
            content[_place(rng, content)] ^= rng.randrange(1, 256)


def _cut(rng: random.Random, content: bytearray) -> None:
    del content[_place(rng, content) :]


def _remove(rng: random.Random, content: bytearray) -> None:
    first = _place(rng, content)
    del content[first : first + rng.choice([1, 8, 100])]


def _insert(rng: random.Random, content: bytearray) -> None:
    first = _place(rng, content)
    content[first:first] = rng.choice(
        [b"\0" * 8, b"\xff" * 8, b",", b"\n", b'"', b"\xff\xfe", b"1e999", bytes(content[:100])]
    )


def _overwrite(rng: random.Random, content: bytearray) -> None:
    first, length = _place(rng, content), rng.choice([1, 2, 4, 8])
    values = [b"\xff" * length, b"\0" * length, b"\x7f" * length, rng.randbytes(length)]
    content[first : first + length] = rng.choice(values)


def _grow_a_number(rng: random.Random, content: bytearray) -> None:
    found = list(re.finditer(rb"\d+", content[:4096]))
    if found:
        which = rng.choice(found)
        content[which.start() : which.end()] = rng.choice(
            [b"999999999999", b"-1", b"0", b"9" * 30, b"1e999", b"nan", b"9" * 5000]
        )


_DAMAGE = (_flip, _flip, _cut, _remove, _insert, _overwrite, _grow_a_number)

NASTY: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 10**9, 10**18, 10**30, -(10**18), 0.5, -0.5, 1e300, 1e-300),
    *(float("nan"), float("inf"), float("-inf"), "", "x", "NaN", "1", "relu", "cuda:9", "\x1b[2J"),
    *("x" * 20_000, "../../etc/passwd", "\ud800", [], [[]], [1, 2, 3], {}, {"a": {"b": []}}),
)


def tampered(rng: random.Random, whole: Any) -> Any:
    """Return plain data with one to three values changed, removed, added or moved."""
    content = json.loads(json.dumps(whole))
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        places = list(_places(content))
        if not places:
            return content
        holder, key = rng.choice(places)
        how = rng.randrange(6)
        if how == 0 and isinstance(holder, dict):
            del holder[key]
        elif how == 1 and isinstance(holder, dict):
            holder[rng.choice(["more", "", str(key) + "_"])] = rng.choice(NASTY)
        elif how == 2:
            other, name = rng.choice(places)
            holder[key] = json.loads(json.dumps(other[name]))
        elif how == 3 and isinstance(holder[key], list):
            holder[key] = rng.choice([holder[key] * 2, holder[key][:-1], holder[key][:1]])
        elif how == 4 and type(holder[key]) in (int, float):
            holder[key] = rng.choice([holder[key] * 2, -holder[key], holder[key] + 1, 10**18])
        else:
            holder[key] = rng.choice(NASTY)
    return content


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every container and key in it; of long lists only the ends."""
    if isinstance(content, dict):
        keys: list[Any] = list(content)
    elif isinstance(content, list):
        keys = sorted({0, len(content) // 2, len(content) - 1} & set(range(len(content))))
    else:
        return
    for key in keys:
        yield content, key
        yield from _places(content[key])
