"""`--fail-on`: a condition on the rows of a result, such as `median_s>0.001` or `slower>3%`."""

import math
import operator
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from actcompare.errors import UsageError

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}

_GRAMMAR = re.compile(r"\s*([A-Za-z]\w*)\s*(>=|<=|>|<)\s*([^\s%_]+)\s*(%?)\s*")

SLOWER = "slower"


@dataclass(frozen=True)
class Gate:
    """COLUMN OP NUMBER."""

    text: str
    column: str
    sign: str
    bound: float

    def trips(self, row: Mapping[str, Any]) -> bool:
        """Return whether a row meets the condition. NaN meets it, a missing number does not.

        A row meets `slower>3%` if its verdict is slower and the whole interval of its ratio lies
        above 1.03.
        """
        if self.column == SLOWER:
            if row["verdict"] != SLOWER:
                return False
            return _OPERATORS[self.sign](row["ratio_low"], 1 + self.bound)
        value = row[self.column]
        return value is not None and (math.isnan(value) or _OPERATORS[self.sign](value, self.bound))


def parse_gate(text: str, columns: Sequence[str]) -> Gate:
    """Parse COLUMN OP NUMBER, where % divides by 100; `slower` stands for ratio_low - 1.

    Raises:
        UsageError: The condition cannot be parsed, or the column does not exist.
    """
    known = [*columns, SLOWER] if "ratio_low" in columns else list(columns)
    found = _GRAMMAR.fullmatch(text)
    try:
        if not found:
            raise ValueError
        column, sign, number, percent = found.groups()
        bound = float(number) / (100 if percent else 1)
        if math.isnan(bound):
            raise ValueError
    except ValueError:
        example = "slower>3%" if SLOWER in known else f"{columns[0]}>10%"
        raise UsageError(
            f"--fail-on {text!r}: write COLUMN OP NUMBER with >, >=, < or <=, such as '{example}'"
        ) from None
    if column not in known:
        raise UsageError(f"--fail-on {text!r}: no column {column}; use one of {', '.join(known)}")
    if column == SLOWER and sign.startswith("<"):
        raise UsageError(f"--fail-on {text!r}: slower takes > or >=")
    return Gate(text, column, sign, bound)


def parse_gates(texts: Sequence[str] | None, columns: Sequence[str]) -> list[Gate]:
    """Parse the conditions of --fail-on; raise as `parse_gate` does."""
    return [parse_gate(text, columns) for text in texts or ()]


def tripped(gates: Sequence[Gate], columns: Mapping[str, Sequence[Any]]) -> list[tuple[Gate, int]]:
    """Return each gate that trips, with the index of each row that trips it."""
    rows = len(next(iter(columns.values()), ()))
    records = [{name: values[i] for name, values in columns.items()} for i in range(rows)]
    return [(gate, i) for gate in gates for i, row in enumerate(records) if gate.trips(row)]


def report_tripped(
    gates: Sequence[Gate], columns: Mapping[str, Sequence[Any]], describe: Callable[[str, int], str]
) -> bool:
    """Return whether a gate trips; report each one that does, and the row, on stderr.

    Args:
        gates: The conditions.
        columns: The rows to check.
        describe: Describes a column in the row with an index.
    """
    found = tripped(gates, columns)
    for gate, i in found:
        print(f"failed on {gate.text}: {describe(gate.column, i)}", file=sys.stderr)
    return bool(found)
