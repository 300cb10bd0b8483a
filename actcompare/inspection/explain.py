"""Describe an inspection: which units are dead, why, and what to try."""

from collections import Counter
from collections.abc import Sequence

from actcompare.inspection.records import WhatIf
from actcompare.models.watching.gated import is_product
from actcompare.models.watching.records import Unseen, WatchedLayer, total_of
from actcompare.text import listed
from actcompare.units.statistics import EPS, firing_rate_bound
from actcompare.units.wording import ROLES, UNIT

MANY = 0.1
"""Layers with a larger share of such units get advice."""

MOST_LAYERS = 5
"""The most layers that are described; those with the most dead units come first."""

_SAID = {
    "zero_dead": "zero-dead",
    "gradient_dead": "gradient-dead",
    "constant": "constant",
    "dormant": "dormant",
    "saturated": "saturated",
}

_ZERO_BELOW = ("relu", "relu6", "clamp", "clamp_min", "clip", "threshold")

_BOUNDED = ("tanh", "sigmoid", "hardtanh", "hardsigmoid", "softsign", "relu6")


def describe_inspection(
    layers: Sequence[WatchedLayer],
    samples: int,
    what_if: WhatIf | None,
    unseen: Sequence[Unseen],
    never_called: Sequence[str],
    every: int = 1,
) -> str:
    """Return the reading of an inspection, each sentence drawn from one of its numbers."""
    everything = layers
    apart = [layer for layer in layers if layer.role != UNIT]
    layers = [layer for layer in layers if layer.role == UNIT]
    sentences = [
        _overview(layers),
        *_worst(layers),
        *_what_zeros_miss(layers),
        *_not_finite(layers),
        *_advice(layers),
        *_what_if(everything, what_if),
        *_apart(apart),
        *_unseen(unseen, never_called),
        *_thinned(every),
        _bound(samples),
    ]
    return " ".join(sentences)


def _overview(layers: Sequence[WatchedLayer]) -> str:
    total = total_of(layers)
    if not layers:
        return "No activation that was seen is of units of a layer."
    dead = sum(layer.dead for layer in layers)
    calls = "call" if total["layers"] == 1 else "calls"
    return (
        f"{_share(dead, total['units'])} of the {total['units']:,} units of {total['layers']}"
        f" activation {calls} are zero-dead or gradient-dead (|f'| at most {EPS:g} on every"
        " sample)."
    )


def _worst(layers: Sequence[WatchedLayer]) -> list[str]:
    found = [layer for layer in layers if any(layer.counts()[name] for name in _SAID)]
    shown = sorted(found, key=lambda layer: layer.dead / layer.units, reverse=True)[:MOST_LAYERS]
    sentences = []
    for layer in (layer for layer in layers if layer in shown):
        counts = layer.counts()
        said = ", ".join(f"{counts[name]} {word}" for name, word in _SAID.items() if counts[name])
        sentences.append(f"{layer.name} ({layer.units:,} units): {said}.")
    if len(found) > len(shown):
        sentences.append(f"The table shows {len(found) - len(shown)} more layers with such units.")
    return sentences


def _what_zeros_miss(layers: Sequence[WatchedLayer]) -> list[str]:
    missed = sum(layer.dead - layer.counts()["zero_dead"] for layer in layers)
    if not missed:
        return []
    return [
        f"Counting zeros misses {missed:,} unit{'s' if missed != 1 else ''} whose output is not 0,"
        " but that pass practically no gradient."
    ]


def _not_finite(layers: Sequence[WatchedLayer]) -> list[str]:
    first = next((layer for layer in layers if bool(layer.statistics.not_finite.any())), None)
    if first is None:
        return []
    count = int(first.statistics.not_finite.sum())
    return [
        f"{first.name} is the first layer with outputs that are not finite, in {count:,} of"
        f" {first.units:,} units: check its weights and those before it."
    ]


def _advice(layers: Sequence[WatchedLayer]) -> list[str]:
    sentences: list[str] = []
    for i, layer in enumerate(layers):
        counts, kind = layer.counts(), layer.use.partition(":")[0]
        share = {name: count / layer.units for name, count in counts.items()}
        before = layers[i - 1] if i else None
        if max(layer.dead / layer.units, share["constant"], share["saturated"]) <= MANY:
            continue
        if before is not None and before.counts()["constant"] > before.units / 2:
            sentences.append(
                f"{layer.name} receives nearly constant input:"
                f" {before.counts()['constant']:,} of the {before.units:,} units of {before.name}"
                " before it are constant. Look there first."
            )
        elif share["zero_dead"] > MANY and is_product(layer.use):
            sentences.append(
                f"{layer.name}: {_percent(share['zero_dead'])} of the units output 0 on every"
                " sample, since the gate or what it multiplies is 0."
            )
        elif share["zero_dead"] > MANY and kind in _ZERO_BELOW:
            sentences.append(
                f"{layer.name}: {_percent(share['zero_dead'])} of the units output 0 on every"
                " sample and receive no gradient, so they cannot recover. Train again with a lower"
                " learning rate, a warm-up, smaller biases, or a slope below 0 (--swap"
                f" {kind}=leaky_relu shows how the outputs would change)."
            )
        elif share["saturated"] > MANY and kind in _BOUNDED:
            size = float(layer.statistics.mean_abs.mean())
            sentences.append(
                f"{layer.name}: {_percent(share['saturated'])} of the units are saturated (mean"
                f" |activation| {size:.3g}). Try smaller weights before it (a lower gain of the"
                " initialisation, weight decay), or scale the inputs to standard deviation 1."
            )
        elif layer.dead / layer.units > MANY:
            slope = float(layer.statistics.slope.median())
            sentences.append(
                f"{layer.name}: {_percent(layer.dead / layer.units)} of the units pass practically"
                f" no gradient (the median unit's largest |f'| is {slope:.2g}). Try a lower"
                " learning rate, or normalisation before it."
            )
        elif share["constant"] <= MANY:
            sentences.append(
                f"{layer.name}: {_percent(share['saturated'])} of the units are saturated: they"
                " pass practically no gradient on at least 95 % of the samples, and learn from the"
                " others alone."
            )
        else:
            sentences.append(
                f"{layer.name}: {_percent(share['constant'])} of the units are constant, so they"
                " act as biases of the next layer. In the layer before, the weights may be small"
                " compared with the biases."
            )
    if len(sentences) > MOST_LAYERS:
        return [*sentences[:MOST_LAYERS], f"{len(sentences) - MOST_LAYERS} more are similar."]
    return sentences


def _what_if(layers: Sequence[WatchedLayer], what_if: WhatIf | None) -> list[str]:
    if what_if is None:
        return []
    both = zip(layers, what_if.layers, strict=False)
    pairs = [(old, new) for old, new in both if old.role == UNIT]
    if not pairs:
        return []
    dead, then = (sum(pair[i].dead for pair in pairs) for i in range(2))
    sentences = [
        f"With the activations swapped and the weights unchanged, {then:,} units are dead instead"
        f" of {dead:,}. That is the immediate effect, not the effect after training."
    ]
    old, new = pairs[-1]
    sentences.append(
        f"The mean of the last layer, {old.name}, changes from {old.statistics.layer_mean:.3g} to"
        f" {new.statistics.layer_mean:.3g}, its variance from {old.statistics.layer_variance:.3g}"
        f" to {new.statistics.layer_variance:.3g}."
    )
    left = [f"{swap.where} ({swap.why_not})" for swap in what_if.swaps if swap.why_not]
    if left:
        sentences.append(f"Not swapped: {listed(left, 5)}.")
    return sentences


def _apart(layers: Sequence[WatchedLayer]) -> list[str]:
    counts = Counter(layer.role for layer in layers)
    said = [
        f"{counts[role]:,} {one if counts[role] == 1 else many}"
        for role, (one, many) in ROLES.items()
        if counts[role]
    ]
    return [f"Not units of a layer, and so shown apart: {listed(said)}."] if said else []


def _thinned(every: int) -> list[str]:
    if every == 1:
        return []
    return [
        f"One of {every} samples, or positions, of each batch was measured: a unit may have fired"
        " at others."
    ]


def _unseen(unseen: Sequence[Unseen], never_called: Sequence[str]) -> list[str]:
    sentences = []
    if unseen:
        sentences.append(f"Not seen: {listed([str(each) for each in unseen], 5)}.")
    if never_called:
        sentences.append(f"Never called: {listed(list(never_called))}.")
    return sentences


def _bound(n: int) -> str:
    return (
        f"Verdicts on {n:,} sample{'s' if n != 1 else ''} are evidence, not proof: a unit that"
        f" never fired here may fire on up to {_percent(firing_rate_bound(n), 2)} of new samples"
        " (95 % bound)."
    )


def _share(count: int, of: int) -> str:
    return f"{count:,} ({_percent(count / of)})"


def _percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f} %"
