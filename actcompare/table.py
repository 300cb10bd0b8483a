"""The table of a result: tidy records, stored by column."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

Columns = Mapping[str, Any]
"""Maps a name to a list or array of values; all have the same length."""


class Table(Mapping[str, Any]):
    """Immutable columns by name, all of the same length."""

    def __init__(self, columns: Columns) -> None:
        self._columns = dict(columns)

    @classmethod
    def of(cls, records: Sequence[Mapping[str, Any]]) -> "Table":
        """Make a table of records with the same names; without records it has no columns."""
        names = records[0] if records else ()
        return cls({name: [record[name] for record in records] for name in names})

    def __getitem__(self, name: str) -> Any:
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        """Return the number of columns."""
        return len(self._columns)

    def __repr__(self) -> str:
        return f"Table({self._columns!r})"

    @property
    def records(self) -> list[dict[str, Any]]:
        """The records, one dict per row."""
        return [
            dict(zip(self, values, strict=True))
            for values in zip(*self._columns.values(), strict=True)
        ]

    def frame(self) -> "pd.DataFrame":
        """Return the records as a DataFrame."""
        import pandas as pd

        return pd.DataFrame(self._columns)

    def _repr_html_(self) -> str:
        """Return the HTML that a notebook shows."""
        return self.frame().to_html(index=False)


class Tabular(ABC):
    """A result with one table of records."""

    @property
    @abstractmethod
    def table(self) -> Table:
        """The tidy records; a result makes them once, as a cached property."""

    def columns(self) -> Table:
        """Return the tidy records by column."""
        return self.table

    def frame(self) -> "pd.DataFrame":
        """Return the tidy records as a DataFrame."""
        return self.table.frame()

    def _repr_html_(self) -> str:
        """Return the HTML that a notebook shows."""
        return self.table._repr_html_()
