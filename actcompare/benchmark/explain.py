"""In words: what dominates the time of each case, and what would change it.

Each sentence comes from a number that was measured: time on a single element, share of the speed of
`copy_`, new pages, subnormal results, the same work on an ordinary input.
"""

import math
from collections.abc import Iterable
from dataclasses import fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actcompare.benchmark.records import Case, Cost, Measurement

DOMINATES = 0.5
"""What takes at least this share of the time dominates it."""

DISTORTS = 1.5
"""An input that takes this many times an ordinary one's time dominates, too."""

LAUNCH_BOUND = 1.1
"""Calls that take this many times what they take in a captured graph wait for their launch."""

FEW = 0.01
"""A smaller share is not spoken of."""

_CURES = {
    "overhead": "Where the call itself dominates, fewer and larger calls help: larger batches, or"
    " compiling the whole model; activations differ there by what their calls cost.",
    "launch": "Where launching dominates, a CUDA graph or compiling the whole model helps; another"
    " activation changes little.",
    "subnormal": "Where subnormal numbers dominate, torch.set_flush_denormal(True) makes them 0 on"
    " a CPU.",
    "numbers": "Where the numbers themselves dominate, the time depends on the data: measure with"
    " --input as yours are.",
    "strides": "Where strides dominate, .contiguous() beforehand helps.",
    "pages": "Where new pages dominate, reusing memory helps; --memory warm shows how much.",
    "traffic": "Where moving bytes dominates, fewer bytes help: a narrower dtype, or fusing with"
    " the layers around it by compiling; a cheaper formula changes little.",
    "rest": "Where the activation is the lesser part of a step (linear layers, loss, optimizer and"
    " calls are the rest), another one changes that part only.",
    "arithmetic": "Where arithmetic dominates, a cheaper activation helps; --threads and"
    " --mode show what they would do.",
}


def describe_benchmark(measurements: "Iterable[Measurement]", margin: float) -> str:
    """One paragraph per case, and before them what the figures rest on."""
    measured = [m for m in measurements if m.timings is not None]
    varied = varied_axes(m.case for m in measured)
    lines = [_noise(measured, varied, margin)] if measured else []
    kinds: dict[str, None] = {}
    for m in measured:
        found = [_what_dominates(m, cost) for cost in m.costs if not cost.error]
        kinds |= dict.fromkeys(kind for kind, _ in found)
        lines.append(f"{name_case(m.case, varied)}: {'; '.join(words for _, words in found)}.")
    lines += [cure for kind, cure in _CURES.items() if kind in kinds]
    dropped = sum(m.timings.dropped for m in measured if m.timings)
    if dropped:
        lines.append(f"Dropped: {dropped} rounds in which the GPU's clock was held down.")
    return "\n".join(lines)


def varied_axes(cases: "Iterable[Case]") -> list[str]:
    """The axes on which cases differ, the size always among them."""
    cases = list(cases)
    names = [f.name for f in fields(cases[0])] if cases else []
    return [n for n in names if n == "shape" or len({getattr(c, n) for c in cases}) > 1]


def name_case(case: "Case", varied: list[str]) -> str:
    """A case by what tells it from the others."""
    words = [getattr(case, name) for name in varied if name != "shape"]
    if case.pass_ == "step":
        return " ".join([*words, f"hidden {case.shape[-1]:,}"])
    if len(case.shape) == 1:
        return " ".join([*words, f"{case.size:,}"])
    return " ".join([*words, "x".join(map(str, case.shape))])


def _noise(measured: "list[Measurement]", varied: list[str], margin: float) -> str:
    floors = {name_case(m.case, varied): m.timings.noise_floor() for m in measured if m.timings}
    worst = max(floors, key=lambda name: floors[name])
    text = f"Noise floor, the baseline against itself in the same rounds: {_floor(floors[worst])}"
    if len(floors) > 1:
        text += f" at {worst}, elsewhere down to {_floor(min(floors.values()))}"
    text += f". No difference below it, or below {_percent(margin)}, is called one."
    text += " Intervals are of this run; another may lie outside them."
    if floors[worst] > margin:
        text += " A longer --time-limit, an idle machine or --threads 1 lowers it."
    return text


def _floor(share: float) -> str:
    return "unknown after so few rounds" if math.isinf(share) else _percent(share)


def _what_dominates(m: "Measurement", cost: "Cost") -> tuple[str, str]:
    """The kind of bottleneck, empty where there is no single one, and its evidence in words."""
    column, name = m.column(cost), cost.activation
    assert m.timings is not None
    assert column is not None
    _, median, _ = m.timings.per_call(column)
    if cost.over_identity is not None:
        own = max(0.0, 1 - 1 / cost.over_identity)
        kind = "rest" if own < DOMINATES else "arithmetic"
        steps = f"{1 / median:,.0f} steps a second"
        return kind, f"{name} itself is {_percent(own)} of a step ({steps})"
    if cost.over_normal is not None and cost.over_normal >= DISTORTS:
        times = f"{name} takes {cost.over_normal:.3g} times what it takes on N(0,1) input"
        if cost.subnormal_share < FEW:
            return "numbers", times
        return "subnormal", f"{times}, {_percent(cost.subnormal_share)} of its results subnormal"
    if cost.over_contiguous is not None and cost.over_contiguous >= DISTORTS:
        with_copy = (m.copy_s() + median / cost.over_contiguous) / median
        return "strides", (
            f"{name} takes {cost.over_contiguous:.3g} times what it takes on contiguous input;"
            f" .contiguous() first would make it {_percent(with_copy)} of this"
        )
    if cost.graph_s is not None and median > LAUNCH_BOUND * cost.graph_s:
        ratio = median / cost.graph_s
        return "launch", f"{name} is launch-bound, {ratio:.3g} times its time in a captured graph"
    if cost.page_faults >= 1 and m.new_pages is not None and m.new_pages >= DISTORTS:
        return "pages", (
            f"{name} is given {cost.page_faults:,.0f} new pages a call, and into new pages copy_"
            f" takes {m.new_pages:.3g} times as long"
        )
    call = min(1.0, 1 / cost.over_one_element) if cost.over_one_element else 0.0
    moving = m.copy_share(cost) or 0.0
    if call >= DOMINATES:
        return "overhead", f"{_percent(call)} of {name}'s time is the call, as on one element"
    if moving >= DOMINATES:
        return "traffic", f"{name} moves bytes at {_percent(moving)} of copy_'s speed"
    if 1 - call - moving >= DOMINATES:
        return "arithmetic", (
            f"{name} computes: moving its bytes as copy_ does would be {_percent(moving)} of its"
            " time" + (f", the call {_percent(call)}" if call >= FEW else "")
        )
    return "", f"{name}: the call {_percent(call)}, moving bytes {_percent(moving)} of its time"


def _percent(share: float) -> str:
    percent = 100 * share
    return f"{percent:.0f} %" if percent >= 10 else f"{percent:.1f} %"
