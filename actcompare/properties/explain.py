"""Describe a comparison: what its numbers mean for a choice."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from actcompare.activations.spec import parse

if TYPE_CHECKING:
    from actcompare.properties.records import Properties

RARE = 1e-3
"""Regions that N(0,1) inputs hit less often than this count as out of reach."""


def read_comparison(rows: "Sequence[Properties]", dtype: str) -> str:
    """Return paragraphs on sparsity, gradient flow, depth, sign and cost."""
    return "\n".join(
        [
            *_read_jumps(rows, dtype),
            _read_sparsity(rows),
            _read_gradient(rows, dtype),
            _read_depth(rows),
            _read_sign(rows),
            _read_cost(rows),
        ]
    )


def _s(rows: "Sequence[Properties]", plural: str, singular: str) -> str:
    return singular if len(rows) == 1 else plural


def _names(rows: "Sequence[Properties]") -> str:
    names = [row.activation for row in rows]
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def _read_jumps(rows: "Sequence[Properties]", dtype: str) -> list[str]:
    jumping = [row for row in rows if row.smoothness == "discontinuous"]
    if not jumping:
        return []
    where = "; ".join(f"{row.activation}: {row.jumps}" for row in jumping)
    return [f"Jumps: in {dtype} these functions are not continuous, and so not convex: {where}."]


def _read_sparsity(rows: "Sequence[Properties]") -> str:
    sparse = [row for row in rows if row.zero_output_share > RARE]
    if not sparse:
        return "Sparsity: on N(0,1) inputs practically no output is exactly 0."
    shares = ", ".join(f"{row.activation} {row.zero_output_share:.3g}" for row in sparse)
    rest = [row for row in rows if row not in sparse]
    none = "0" if all(row.zero_output_share == 0 for row in rest) else "practically 0"
    tail = f"; {_names(rest)} {none}" if rest else ""
    return f"Sparsity: share of N(0,1) inputs whose output is exactly 0: {shares}{tail}."


def _read_gradient(rows: "Sequence[Properties]", dtype: str) -> str:
    dying = [row for row in rows if row.dead_units == "yes"]
    far = [row for row in rows if row.dead_units.startswith("only")]
    never = [row for row in rows if row.dead_units == "no"]
    parts = []
    if dying:
        shares = ", ".join(f"{row.activation} {row.zero_grad_share:.3g}" for row in dying)
        parts.append(
            f"the gradient is exactly 0 on ordinary inputs ({shares} of N(0,1)),"
            " so a unit that stays there stops learning"
        )
    if far:
        where = ", ".join(f"{row.activation} {row.dead_units}" for row in far)
        parts.append(f"in {dtype} the gradient is exactly 0 for {where}, and tiny nearby")
    if never:
        parts.append(f"{_names(never)} {_s(never, 'have', 'has')} a gradient everywhere")
    broken = [row for row in rows if row.nan_grad_beyond is not None]
    parts += [
        f"{row.activation} has a NaN gradient from about |x| = {row.nan_grad_beyond:.1g}"
        for row in broken
    ]
    return f"Gradient flow: {'; '.join(parts)}."


def _read_depth(rows: "Sequence[Properties]") -> str:
    parts = [
        f"{row.activation} {row.mean_output:.3g} and {row.grad_second_moment:.3g}" for row in rows
    ]
    return (
        f"Depth: mean output and mean squared gradient on N(0,1) inputs: {', '.join(parts)}. The"
        " closer the mean is to 0, the less each layer shifts the next; the smaller the squared"
        " gradient, the faster gradients shrink with depth, unless the initialisation compensates."
    )


def _read_sign(rows: "Sequence[Properties]") -> str:
    positive = [row for row in rows if row.range_min >= 0]
    if not positive:
        have = _s(rows, "all of them have", f"{rows[0].activation} has")
        return f"Sign: {have} negative outputs."
    strict = [
        row
        for row in positive
        if min(row.value_at_neg2, row.value_at_0) > 0 and row.zero_output_share < 1e-9
    ]
    if not strict:
        have = _s(positive, "have", "has")
        return f"Sign: {_names(positive)} {have} no negative outputs, but {have} exact zeros."
    return (
        f"Sign: outputs of {_names(strict)} are positive on ordinary inputs,"
        " as needed for an output such as a scale or a rate."
    )


def _is_transcendental(label: str) -> bool:
    entry = parse(label).entry
    return entry is not None and entry.transcendental


def _read_cost(rows: "Sequence[Properties]") -> str:
    known = [row for row in rows if row.formula is not None]
    if not known:
        return "Cost: it depends on the machine; measure it with actcompare bench."
    heavy = [row for row in known if _is_transcendental(row.activation)]
    light = [row for row in known if row not in heavy]
    parts = []
    if light:
        parts.append(
            f"{_names(light)} {_s(light, 'need', 'needs')} comparisons and simple arithmetic"
        )
    if heavy:
        need = _s(heavy, "need", "needs")
        parts.append(f"{_names(heavy)} {need} exponentials or similar functions")
    return f"Cost: {'; '.join(parts)}. actcompare bench measures the time on your machine."
