"""What a comparison's numbers mean for choosing, in words drawn from them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from actcompare.activations.spec import parse

if TYPE_CHECKING:
    from actcompare.properties.records import Properties

RARE = 1e-3
"""A region that N(0,1) inputs hit less often than this is out of their reach."""


def read_comparison(rows: "Sequence[Properties]", dtype: str) -> str:
    """Paragraphs on sparsity, gradient flow, depth, sign and cost, drawn from the properties."""
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
    return [f"Jumps: in {dtype} these are not continuous, and so not convex: {where}."]


def _read_sparsity(rows: "Sequence[Properties]") -> str:
    sparse = [row for row in rows if row.zero_output_share > RARE]
    if not sparse:
        return "Sparsity: for N(0,1) inputs hardly any output is exactly 0."
    shares = ", ".join(f"{row.activation} {row.zero_output_share:.3g}" for row in sparse)
    rest = [row for row in rows if row not in sparse]
    seldom = "never" if all(row.zero_output_share == 0 for row in rest) else "(almost) never"
    tail = f"; {_names(rest)} {seldom}" if rest else ""
    return f"Sparsity: the share of N(0,1) inputs whose output is exactly 0: {shares}{tail}."


def _read_gradient(rows: "Sequence[Properties]", dtype: str) -> str:
    dying = [row for row in rows if row.dead_units == "yes"]
    far = [row for row in rows if row.dead_units.startswith("only")]
    never = [row for row in rows if row.dead_units == "no"]
    parts = []
    if dying:
        shares = ", ".join(f"{row.activation} {row.zero_grad_share:.3g}" for row in dying)
        parts.append(
            f"inputs in easy reach get exactly no gradient ({shares} of N(0,1)),"
            " so a unit that stays there stops learning"
        )
    if far:
        where = ", ".join(f"{row.activation} {row.dead_units}" for row in far)
        parts.append(f"in {dtype} the gradient is exactly 0 for {where}, and tiny next to there")
    if never:
        parts.append(f"{_names(never)} {_s(never, 'have', 'has')} no region without gradient")
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
        f"Depth: mean output and mean squared gradient for N(0,1) inputs: {', '.join(parts)};"
        " the nearer to 0 the first, the less each layer shifts the next; the smaller the second,"
        " the faster gradients shrink with depth, unless the initialisation makes up for it."
    )


def _read_sign(rows: "Sequence[Properties]") -> str:
    positive = [row for row in rows if row.range_min >= 0]
    if not positive:
        return "Sign: every one of them gives negative outputs too."
    strict = [
        row
        for row in positive
        if min(row.value_at_neg2, row.value_at_0) > 0 and row.zero_output_share < 1e-9
    ]
    if not strict:
        gives = _s(positive, "give", "gives")
        return f"Sign: {_names(positive)} never {gives} a negative output, but {gives} exact zeros."
    return (
        f"Sign: outputs of {_names(strict)} are positive for ordinary inputs,"
        " which suits an output that must be positive, such as a scale or a rate."
    )


def _is_transcendental(label: str) -> bool:
    entry = parse(label).entry
    return entry is not None and entry.transcendental


def _read_cost(rows: "Sequence[Properties]") -> str:
    known = [row for row in rows if row.formula is not None]
    if not known:
        return "Cost: measure it; it depends on the machine."
    heavy = [row for row in known if _is_transcendental(row.activation)]
    light = [row for row in known if row not in heavy]
    parts = []
    if light:
        parts.append(
            f"{_names(light)} {_s(light, 'need', 'needs')} comparisons and simple arithmetic"
        )
    if heavy:
        need = _s(heavy, "need", "needs")
        parts.append(f"{_names(heavy)} {need} exponentials or their like for every element")
    return f"Cost: {'; '.join(parts)}; what that costs depends on the machine."
