"""The one tabular value: tidy records, column by column."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

Columns = Mapping[str, Any]
"""Name to a list or array of values, all of one length."""


class Table(Mapping[str, Any]):
    """Columns by name, all of one length; never changed once made."""

    def __init__(self, columns: Columns) -> None:
        self._columns = dict(columns)

    @classmethod
    def of(cls, records: Sequence[Mapping[str, Any]]) -> "Table":
        """The table of records that have the same names; without records it has no columns."""
        names = records[0] if records else ()
        return cls({name: [record[name] for record in records] for name in names})

    def __getitem__(self, name: str) -> Any:
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        """How many columns there are."""
        return len(self._columns)

    def __repr__(self) -> str:
        return f"Table({self._columns!r})"

    @property
    def records(self) -> list[dict[str, Any]]:
        """The records, one after the other."""
        return [
            dict(zip(self, values, strict=True))
            for values in zip(*self._columns.values(), strict=True)
        ]

    def frame(self) -> "pd.DataFrame":
        """The records as a DataFrame."""
        import pandas as pd

        return pd.DataFrame(self._columns)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return self.frame().to_html(index=False)


class Tabular:
    """A result whose records are one table, made once."""

    @cached_property
    def table(self) -> Table:
        """The tidy records."""
        raise NotImplementedError

    def columns(self) -> Table:
        """The tidy records, column by column."""
        return self.table

    def frame(self) -> "pd.DataFrame":
        """The tidy records as a DataFrame."""
        return self.table.frame()

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return self.table._repr_html_()
