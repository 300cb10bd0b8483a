"""The reading of a benchmark: what limits each case, and what would make it faster.

Every sentence rests on a measured number: the time on a single element, the bandwidth relative to
`copy_`, page faults, the share of subnormal results, or the time on an ordinary input.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from actcompare.text import in_bytes

if TYPE_CHECKING:
    from actcompare.benchmark.records import BenchConfig, Case, Cost, Measurement
    from actcompare.machine.timing import Timings

DOMINATES = 0.5
"""A part that takes at least this share of the time is called the bottleneck."""

DISTORTS = 1.5
"""An input, layout or page cost this many times the ordinary one is called the bottleneck too."""

LAUNCH_BOUND = 1.1
"""A call that takes this many times its time in a captured CUDA graph is launch-bound."""

STALLS = 1.5
"""Several threads that take this many times as long as one wait for each other, or for a core."""

FEW = 0.01
"""Smaller shares are not mentioned."""

_CURES = {
    "stalls": "Where several threads take longer than one, they wait for each other at the end of"
    " every operation: the work is too small, or other processes use the cores. Use --threads 1.",
    "overhead": "Call overhead is the time of a call on a single element. Where it dominates, make"
    " fewer and larger calls: use larger batches, or compile the whole model. Activations then"
    " differ only in the overhead of their calls.",
    "launch": "Where kernel launches dominate, use a CUDA graph or compile the whole model. Another"
    " activation changes little.",
    "subnormal": "Where subnormal numbers dominate, torch.set_flush_denormal(True) flushes them to"
    " 0 on a CPU.",
    "numbers": "Where the input values dominate, the time depends on the data: choose the --input"
    " that is most like yours.",
    "strides": "Where strides dominate, a call of .contiguous() before the activation can help.",
    "pages": "Where new pages dominate, reuse memory; --memory warm shows how much that saves.",
    "traffic": "Where an activation is memory-bound, move fewer bytes: use a narrower dtype, or"
    " compile, to fuse the activation with the layers around it. A cheaper formula changes little.",
    "rest": "Where the activation is the smaller part of a step, another activation changes only"
    " that part. Linear layers, loss, optimizer and call overhead make up the rest.",
    "arithmetic": "Where an activation is compute-bound, a cheaper one helps. --threads and --mode"
    " show whether more threads or compiling help.",
}


def describe_benchmark(measurements: "Iterable[Measurement]", config: "BenchConfig") -> str:
    """Return what a benchmark shows.

    These are the noise floor, one line per case, one line of advice per kind of bottleneck, what
    was dropped, and what remains of the largest ratio in a training step.
    """
    measured = [m for m in measurements if m.timings is not None]
    varied = varied_axes(m.case for m in measured)
    lines = [_noise(measured, varied, config)] if measured else []
    kinds: dict[str, None] = {}
    for m in measured:
        assert m.timings is not None
        known = [cost for cost in m.costs if not cost.error]
        if m.case.model:
            kinds |= {"busy": None} if m.timings.busy else {}
            lines.append(f"{name_case(m.case, varied)}: {_in_a_model(m, known, config)}")
            continue
        if m.timings.busy:
            found = [("busy", _how_busy(m.timings)), *filter(None, map(_stall, known))]
        else:
            found = [_stall(cost) or _what_dominates(m, cost) for cost in known]
        kinds |= dict.fromkeys(kind for kind, _ in found)
        lines.append(f"{name_case(m.case, varied)}: {'. '.join(words for _, words in found)}.")
    lines += [cure for kind, cure in _CURES.items() if kind in kinds]
    if "busy" in kinds:
        fewer = ", or with --threads 1" if config.threads > 1 else ""
        lines.append(f"Where the machine was busy, measure again when it is idle{fewer}.")
    lines += _dropped([m.timings for m in measured if m.timings])
    lines += [] if config.model else _in_a_step(measured, varied, config)
    return "\n".join(lines)


def _in_a_model(m: "Measurement", known: "Sequence[Cost]", config: "BenchConfig") -> str:
    """Return the share of the activation in a model's time, and what others keep for backward."""
    assert m.timings is not None
    if m.timings.busy:
        return f"{_how_busy(m.timings)}."
    share = m.activation_share(known[0])
    assert share is not None
    calls = f"the {config.calls} calls" if config.calls != 1 else "the one call"
    where = f"{calls} of {config.swapped}"
    if math.isinf(share.high - share.low):
        text = f"the share of {where} is unknown (too few rounds)."
    elif share.low > 0:
        between = f"{_percent(share.low)} to {_percent(share.high)}"
        text = (
            f"{where} take {_percent(share.value)} ({between}) of the time: no swap can save more."
        )
    else:
        most = _percent(max(share.high, 0.0))
        text = f"{where} take at most {most} of the time: no swap can save more."
    first = known[0].saved_bytes
    for cost in known[1:]:
        if first and cost.saved_bytes is not None and cost.saved_bytes != first:
            more = (cost.saved_bytes - first) / m.case.shape[0]
            how = "more" if more > 0 else "less"
            text += f" {cost.activation} keeps {in_bytes(abs(more))} {how} per sample for backward."
    return text


def _how_busy(timings: "Timings") -> str:
    rounds = len(timings.seconds)
    return (
        f"the machine was busy: in {timings.disturbed:,} of {rounds:,} rounds threads had to wait"
        " for a core. These times are partly the scheduler's, and nothing is concluded from them"
    )


def _dropped(each: "Sequence[Timings]") -> list[str]:
    """Return what was dropped, and why."""
    lines = []
    if throttled := sum(timings.dropped for timings in each):
        lines.append(f"Dropped {throttled:,} rounds in which the GPU clock was throttled.")
    judged = [timings for timings in each if not timings.busy]
    disturbed = sum(timings.disturbed for timings in judged)
    total = disturbed + sum(len(timings.seconds) for timings in judged)
    if disturbed and disturbed >= FEW * total:
        lines.append(
            f"Dropped {disturbed:,} of {total:,} rounds in which threads had to wait for a core."
        )
    return lines


def _in_a_step(
    measured: "Sequence[Measurement]", varied: list[str], config: "BenchConfig"
) -> list[str]:
    """Return each activation's ratio in a lone call where it is furthest from 1, and in steps."""
    lines = []
    for k, name in enumerate(config.activations):
        alone: list[tuple[float, str]] = []
        in_steps: list[str] = []
        for m in measured:
            column = m.column(m.costs[k])
            if not column or m.timings is None or m.timings.busy:
                continue
            a_step, ratio = m.case.pass_ == "step", m.timings.ratio(column).value
            where = name_case(m.case, [v for v in varied if v != "pass_" or not a_step])
            if not a_step:
                alone.append((ratio, where))
            elif m.timings.verdict(column, config.margin) == "unclear":
                in_steps.append(f"not clearly another time ({where})")
            else:
                in_steps.append(f"{ratio:.3g} times ({where})")
        if alone and in_steps:
            ratio, where = max(alone, key=lambda found: abs(math.log(found[0])))
            lines.append(
                f"{name} takes {ratio:.3g} times as long as {config.activations[0]} in a lone call"
                f" ({where}); in a training step, {' and '.join(in_steps)}."
            )
    return lines


def varied_axes(cases: "Iterable[Case]") -> list[str]:
    """Return the names of the fields in which cases differ; `shape` is always among them."""
    cases = list(cases)
    names = [f.name for f in fields(cases[0])] if cases else []
    return [n for n in names if n == "shape" or len({getattr(c, n) for c in cases}) > 1]


def name_case(case: "Case", varied: list[str]) -> str:
    """Name a case by the fields that distinguish it from the others, such as `forward 1,024`."""
    words = [getattr(case, name) for name in varied if name != "shape"]
    if case.model:
        return " ".join([*words, "x".join(map(str, case.shape))])
    if case.pass_ == "step":
        return " ".join([*words, f"hidden {case.shape[-1]:,}"])
    if len(case.shape) == 1:
        return " ".join([*words, f"{case.size:,}"])
    return " ".join([*words, "x".join(map(str, case.shape))])


def _noise(measured: "list[Measurement]", varied: list[str], config: "BenchConfig") -> str:
    floors = {name_case(m.case, varied): m.timings.noise_floor() for m in measured if m.timings}
    worst = max(floors, key=lambda name: floors[name])
    text = f"Noise floor: {_floor(floors[worst])}"
    if min(floors.values()) < floors[worst]:
        text += f" for {worst}, down to {_floor(min(floors.values()))} for other cases"
    text += ". It comes from timing the baseline against itself in the same rounds."
    text += (
        f" Smaller differences, or ones below {_percent(config.margin)}, are not reported as real."
    )
    text += " Intervals describe this run; another run may fall outside them."
    if floors[worst] > config.margin:
        cures = ", an idle machine or --threads 1" if config.threads > 1 else " or an idle machine"
        text += f" A longer --time-limit{cures} lowers the noise."
    return text


def _floor(share: float) -> str:
    return "unknown (too few rounds)" if math.isinf(share) else _percent(share)


def _stall(cost: "Cost") -> tuple[str, str] | None:
    """Return the evidence that threads wait for each other; None without it."""
    times = cost.over_one_thread
    if times is None or times < STALLS:
        return None
    return "stalls", f"{cost.activation} takes {times:.3g} times as long as on one thread"


def _what_dominates(m: "Measurement", cost: "Cost") -> tuple[str, str]:
    """Return the kind of bottleneck (empty if there is no single one) and its evidence."""
    column, name = m.column(cost), cost.activation
    assert m.timings is not None
    assert column is not None
    _, median, _ = m.timings.per_call(column)
    if cost.busy:
        return "busy", f"{name}'s bottleneck is unknown, since the machine was busy"
    if cost.over_identity is not None:
        own = max(0.0, 1 - 1 / cost.over_identity)
        kind = "rest" if own < DOMINATES else "arithmetic"
        steps = f"{1 / median:,.0f} steps/s"
        return kind, f"{name} takes {_percent(own)} of a training step ({steps})"
    if cost.over_normal is not None and cost.over_normal >= DISTORTS:
        times = f"{name} takes {cost.over_normal:.3g} times as long as on N(0,1) input"
        if cost.subnormal_share < FEW:
            return "numbers", times
        share = _percent(cost.subnormal_share)
        return "subnormal", f"{times}; {share} of its results are subnormal"
    if cost.over_contiguous is not None and cost.over_contiguous >= DISTORTS:
        with_copy = (m.copy_s() + median / cost.over_contiguous) / median
        return "strides", (
            f"{name} takes {cost.over_contiguous:.3g} times as long as on contiguous input; with"
            f" .contiguous() first it would take {_percent(with_copy)} of the present time"
        )
    if cost.graph_s is not None and median > LAUNCH_BOUND * cost.graph_s:
        ratio = median / cost.graph_s
        return "launch", f"{name} is launch-bound: {ratio:.3g} times its time in a CUDA graph"
    if cost.page_faults >= 1 and m.new_pages is not None and m.new_pages >= DISTORTS:
        return "pages", (
            f"{name} touches {cost.page_faults:,.0f} new memory pages per call; copy_ takes"
            f" {m.new_pages:.3g} times as long into new pages as into used ones"
        )
    call = min(1.0, 1 / cost.over_one_element) if cost.over_one_element else 0.0
    moving = m.copy_share(cost) or 0.0
    if call >= DOMINATES:
        return "overhead", f"{_percent(call)} of {name}'s time is call overhead"
    if moving >= DOMINATES:
        return "traffic", f"{name} is memory-bound, at {_percent(moving)} of copy_'s bandwidth"
    if 1 - call - moving >= DOMINATES:
        return "arithmetic", (
            f"{name} is compute-bound; memory traffic explains {_percent(moving)} of its time"
            + (f", call overhead {_percent(call)}" if call >= FEW else "")
        )
    return "", (
        f"Call overhead explains {_percent(call)} of {name}'s time, memory traffic"
        f" {_percent(moving)}"
    )


def _percent(share: float) -> str:
    percent = 100 * share
    return f"{percent:.0f} %" if percent >= 10 else f"{percent:.1f} %"
