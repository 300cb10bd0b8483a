"""`--fail-on`: a condition on the rows of a result.

Such as `median_s>0.001`, `slower>3%`, `verdict==worse` or `claim.dead_units==holds`. A gate that
judged nothing trips.
"""

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from actcompare.errors import UsageError
from actcompare.output.messages import say
from actcompare.text import read_number

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}

_GRAMMAR = re.compile(r"\s*([A-Za-z][\w.]*)\s*(>=|<=|==|!=|>|<)\s*([^<>=!]*?)\s*", re.ASCII)

SLOWER, VERDICT, QUALITY = "slower", "verdict", "quality"

BASELINE = "baseline"

WITHOUT_RESULT = ("failed", "not run")
"""Verdicts of rows that hold no result: every gate trips on them."""

_COMPARED = (VERDICT, SLOWER, "ratio", "difference", "p_")
"""How the columns begin that compare a row with the baseline."""


@dataclass(frozen=True)
class Gate:
    """COLUMN OP NUMBER, or COLUMN==TEXT for a column of verdicts."""

    text: str
    column: str
    sign: str
    bound: float | str
    layers: str = ""
    """Pattern of the names of the rows that it judges, as in `fnmatch`; empty for all."""

    def _concerns(self, row: Mapping[str, Any]) -> bool:
        return not self.layers or fnmatchcase(str(row["layer"]), self.layers)

    @property
    def of_text(self) -> bool:
        """Whether it tests a verdict."""
        return isinstance(self.bound, str)

    def misses(self, row: Mapping[str, Any]) -> str:
        """Return why a row has no result, such as `failed`; empty if it has one."""
        if not self._concerns(row):
            return ""
        value = row.get(self.column)
        found = [row.get(VERDICT), *([value] if self.of_text else [])]
        found += [row.get(QUALITY)] if value is None else []
        return next((text for text in found if text in WITHOUT_RESULT), "")

    def judges(self, row: Mapping[str, Any]) -> bool:
        """Return whether a row has a value to judge."""
        if not self._concerns(row) or self.misses(row):
            return False
        if row.get(VERDICT) == BASELINE and self.column.startswith(_COMPARED):
            return False
        if self.of_text and row[self.column] == BASELINE:
            return False
        return row["ratio_low" if self.column == SLOWER else self.column] is not None

    def trips(self, row: Mapping[str, Any]) -> bool:
        """Return whether a row that it judges meets the condition, as NaN does.

        A row meets `slower>3%` if its verdict is slower and the whole interval of its ratio lies
        above 1.03.
        """
        if self.column == SLOWER:
            if row["verdict"] != SLOWER:
                return False
            assert isinstance(self.bound, float)
            return _OPERATORS[self.sign](row["ratio_low"], 1 + self.bound)
        value = row[self.column]
        if self.of_text:
            value = value.partition(" (")[0]  # `unclear (machine busy)` is unclear
            if (self.sign, self.bound, value) == ("==", "worse", "did not train"):
                return True  # nothing is worse
        not_a_number = isinstance(value, float) and math.isnan(value)
        return not_a_number or _OPERATORS[self.sign](value, self.bound)


def parse_gate(
    text: str,
    columns: Sequence[str],
    verdicts: Sequence[str] = (),
    more: Mapping[str, Sequence[str]] | None = None,
    *,
    of_layers: bool = False,
) -> Gate:
    """Parse COLUMN OP NUMBER, where % divides by 100, or verdict==TEXT.

    `slower` stands for ratio_low - 1. A row of a layer may be chosen, as in `blocks.*:units>9`.

    Args:
        text: The condition.
        columns: The columns of numbers.
        verdicts: The verdicts that rows may have; none if they have no verdict.
        more: Further columns of verdicts, with the verdicts in each.
        of_layers: Whether the rows are layers, so that a pattern may stand before the column.

    Raises:
        UsageError: The condition cannot be parsed, or the column or verdict does not exist.
    """
    choices = ({VERDICT: verdicts} if verdicts else {}) | dict(more or {})
    known = [*columns, *[SLOWER] * ("ratio_low" in columns), *choices]
    example = "slower>3%" if SLOWER in known else f"{columns[0]}>10%"
    layers, _, condition = text.rpartition(":") if of_layers else ("", "", text)
    found = _GRAMMAR.fullmatch(condition)
    if found is None or not found[3]:
        raise _refused(text, f"write COLUMN OP NUMBER, such as {example!r}")
    column, sign, value = found.groups()
    if column not in known:
        raise _refused(text, f"no column {column}; use one of {', '.join(known)}")
    if (column in choices) != (sign in ("==", "!=")):
        takes = "== or !=" if column in choices else ">, >=, < or <="
        raise _refused(text, f"{column} takes {takes}")
    if column in choices:
        if value not in choices[column]:
            raise _refused(text, f"no verdict {value}; use one of {', '.join(choices[column])}")
        return Gate(text, column, sign, value, layers.strip())
    if column == SLOWER and sign.startswith("<"):
        raise _refused(text, f"{SLOWER} takes > or >=")
    try:
        bound = read_number(value.removesuffix("%")) / (100 if value.endswith("%") else 1)
        if math.isnan(bound):
            raise ValueError("nan is no bound")
    except ValueError as error:
        raise _refused(text, f"{error}; write {example!r}") from None
    return Gate(text, column, sign, bound, layers.strip())


def _refused(text: str, why: str) -> UsageError:
    return UsageError(f"--fail-on {text!r}: {why}")


def parse_gates(
    texts: Sequence[str] | None,
    columns: Sequence[str],
    verdicts: Sequence[str] = (),
    more: Mapping[str, Sequence[str]] | None = None,
    *,
    of_layers: bool = False,
) -> list[Gate]:
    """Parse the conditions of --fail-on; raise as `parse_gate` does."""
    return [parse_gate(text, columns, verdicts, more, of_layers=of_layers) for text in texts or ()]


def tripped(
    gates: Sequence[Gate], columns: Mapping[str, Sequence[Any]]
) -> list[tuple[Gate, int | None]]:
    """Return each gate that trips, with the index of each row that trips it.

    A row without a result trips every gate. If no row has a value to judge, the index is None.
    """
    rows = len(next(iter(columns.values()), ()))
    records = [{name: values[i] for name, values in columns.items()} for i in range(rows)]
    found: list[tuple[Gate, int | None]] = []
    for gate in gates:
        judged = [i for i, row in enumerate(records) if gate.judges(row)]
        missing = [i for i, row in enumerate(records) if gate.misses(row)]
        trips = sorted(missing + [i for i in judged if gate.trips(records[i])])
        found += [(gate, i) for i in trips]
        if not (judged or missing):
            found.append((gate, None))
    return found


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
        if i is None:
            said = "nothing to judge"
        elif gate.column != VERDICT and (why := gate.misses({n: v[i] for n, v in columns.items()})):
            whose = f" for {columns['activation'][i]}" if "activation" in columns else ""
            said = f"nothing to judge{whose}: {why}"
        else:
            said = describe(gate.column, i)
        say(f"failed on {gate.text}: {said}")
    return bool(found)
