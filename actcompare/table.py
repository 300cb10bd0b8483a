"""Tidy records and their columns."""

from collections.abc import Mapping, Sequence
from typing import Any

Columns = Mapping[str, Any]
"""Name to a list or array of values, all of one length."""


def by_column(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Records as columns."""
    return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}
