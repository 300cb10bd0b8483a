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
        """Whether a row meets the condition. One without the number does not; NaN does.

        `slower>3%` is met by a row whose verdict is slower, and whose ratio's whole interval lies
        above 1.03.
        """
        if self.column == SLOWER:
            if row["verdict"] != SLOWER:
                return False
            return _OPERATORS[self.sign](row["ratio_low"], 1 + self.bound)
        value = row[self.column]
        return value is not None and (math.isnan(value) or _OPERATORS[self.sign](value, self.bound))


def parse_gate(text: str, columns: Sequence[str]) -> Gate:
    """Read COLUMN OP NUMBER, where % divides by 100; `slower` stands for ratio_low - 1.

    Raises:
        UsageError: It cannot be read, or there is no such column of numbers.
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
        raise UsageError(f"--fail-on {text!r}: no column {column}; there are {', '.join(known)}")
    if column == SLOWER and sign.startswith("<"):
        raise UsageError(f"--fail-on {text!r}: slower takes > or >=")
    return Gate(text, column, sign, bound)


def parse_gates(texts: Sequence[str] | None, columns: Sequence[str]) -> list[Gate]:
    """Read the conditions of --fail-on; raises as `parse_gate`."""
    return [parse_gate(text, columns) for text in texts or ()]


def tripped(gates: Sequence[Gate], columns: Mapping[str, Sequence[Any]]) -> list[tuple[Gate, int]]:
    """Each gate that trips, with the index of each row that trips it."""
    rows = len(next(iter(columns.values()), ()))
    records = [{name: values[i] for name, values in columns.items()} for i in range(rows)]
    return [(gate, i) for gate in gates for i, row in enumerate(records) if gate.trips(row)]


def report_tripped(
    gates: Sequence[Gate], columns: Mapping[str, Sequence[Any]], describe: Callable[[str, int], str]
) -> bool:
    """Whether a gate trips; each that does is named on stderr with the row that trips it.

    Args:
        gates: The conditions.
        columns: The rows they judge.
        describe: What to say of a gate's column in the row of that index.
    """
    found = tripped(gates, columns)
    for gate, i in found:
        print(f"failed on {gate.text}: {describe(gate.column, i)}", file=sys.stderr)
    return bool(found)
