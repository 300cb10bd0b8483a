"""An inspection in words: which units are dead, where it comes from, and what to try."""

from collections.abc import Sequence

from actcompare.inspection.records import WhatIf
from actcompare.models.records import Unseen, WatchedLayer, total_of
from actcompare.text import listed
from actcompare.units.statistics import EPS, firing_rate_bound

MANY = 0.1
"""A layer with a larger share of such units than this gets advice."""

MOST_LAYERS = 5
"""So many layers are described; those with the most dead units."""

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
) -> str:
    """One sentence after the other, each from a number of the inspection."""
    sentences = [
        _overview(layers),
        *_worst(layers),
        *_what_zeros_miss(layers),
        *_not_finite(layers),
        *_advice(layers),
        *_what_if(layers, what_if),
        *_unseen(unseen, never_called),
        _bound(samples),
    ]
    return " ".join(sentences)


def _overview(layers: Sequence[WatchedLayer]) -> str:
    total = total_of(layers)
    dead = sum(layer.dead for layer in layers)
    calls = "call" if total["layers"] == 1 else "calls"
    return (
        f"{total['layers']} {calls} of activations, {total['units']:,} units:"
        f" {_share(dead, total['units'])} zero-dead or gradient-dead (|f'| at most {EPS:g} on every"
        " sample)."
    )


def _worst(layers: Sequence[WatchedLayer]) -> list[str]:
    found = [layer for layer in layers if any(layer.counts()[name] for name in _SAID)]
    shown = sorted(found, key=lambda layer: layer.dead / layer.units, reverse=True)[:MOST_LAYERS]
    told = []
    for layer in (layer for layer in layers if layer in shown):
        counts = layer.counts()
        said = ", ".join(f"{counts[name]} {word}" for name, word in _SAID.items() if counts[name])
        told.append(f"{layer.name}, of {layer.units:,} units: {said}.")
    if len(found) > len(shown):
        told.append(f"{len(found) - len(shown)} more have such units; the table shows them.")
    return told


def _what_zeros_miss(layers: Sequence[WatchedLayer]) -> list[str]:
    missed = sum(layer.dead - layer.counts()["zero_dead"] for layer in layers)
    if not missed:
        return []
    return [
        f"Counting zeros misses {missed:,} unit{'s' if missed != 1 else ''}, of which no gradient"
        " worth the name comes through, though the output is not 0."
    ]


def _not_finite(layers: Sequence[WatchedLayer]) -> list[str]:
    first = next((layer for layer in layers if bool(layer.statistics.not_finite.any())), None)
    if first is None:
        return []
    count = int(first.statistics.not_finite.sum())
    return [
        f"{first.name} is the first to put out values that are no finite numbers, in {count:,} of"
        f" {first.units:,} units: look at its weights, and at those before it."
    ]


def _advice(layers: Sequence[WatchedLayer]) -> list[str]:
    told: list[str] = []
    for i, layer in enumerate(layers):
        counts, kind = layer.counts(), layer.use.partition(":")[0]
        share = {name: count / layer.units for name, count in counts.items()}
        before = layers[i - 1] if i else None
        if max(layer.dead / layer.units, share["constant"], share["saturated"]) <= MANY:
            continue
        if before is not None and before.counts()["constant"] > before.units / 2:
            told.append(
                f"{layer.name} gets little to tell samples apart by: {before.name} before it has"
                f" {before.counts()['constant']:,} of {before.units:,} units constant. Look there"
                " first."
            )
        elif share["zero_dead"] > MANY and kind in _ZERO_BELOW:
            told.append(
                f"{layer.name}: {_percent(share['zero_dead'])} of the units put out 0 for every"
                " sample, and get no gradient to come back by. To try: a lower learning rate or"
                " a warm-up, smaller biases, or a slope below 0 (--swap"
                f" {kind}=leaky_relu shows how the outputs would change), and training anew."
            )
        elif share["saturated"] > MANY and kind in _BOUNDED:
            size = float(layer.statistics.mean_abs.mean())
            told.append(
                f"{layer.name}: {_percent(share['saturated'])} of the units lie on a flat end on"
                f" 95 % of the samples (mean |activation| {size:.3g}). To try: smaller weights"
                " before it (initialisation with a lower gain, weight decay), or inputs scaled"
                " to deviation 1."
            )
        elif layer.dead / layer.units > MANY:
            slope = float(layer.statistics.slope.median())
            told.append(
                f"{layer.name}: {_percent(layer.dead / layer.units)} of the units pass next to no"
                f" gradient (the median unit's greatest |f'| is {slope:.2g}). To try: a lower"
                " learning rate, and normalisation before it."
            )
        else:
            told.append(
                f"{layer.name}: {_percent(share['constant'])} of the units are constant, so that"
                " what comes after learns a bias from them. Look at the layer before: its weights"
                " may be small beside its biases."
            )
    if len(told) > MOST_LAYERS:
        return [*told[:MOST_LAYERS], f"{len(told) - MOST_LAYERS} more layers are like these."]
    return told


def _what_if(layers: Sequence[WatchedLayer], what_if: WhatIf | None) -> list[str]:
    if what_if is None:
        return []
    dead, then = (sum(layer.dead for layer in run) for run in (layers, what_if.layers))
    pairs = list(zip(layers, what_if.layers, strict=False))
    told = [
        f"With the activations swapped and the weights as they are, {then:,} units are dead instead"
        f" of {dead:,}: that shows what goes on at once, not what training would make of it."
    ]
    old, new = pairs[-1]
    told.append(
        f"The last of them, {old.name}, then has mean {new.statistics.layer_mean:.3g} and variance"
        f" {new.statistics.layer_variance:.3g} instead of {old.statistics.layer_mean:.3g} and"
        f" {old.statistics.layer_variance:.3g}."
    )
    left = [f"{swap.where} ({swap.why_not})" for swap in what_if.swaps if swap.why_not]
    if left:
        told.append(f"Not swapped: {listed(left, 5)}.")
    return told


def _unseen(unseen: Sequence[Unseen], never_called: Sequence[str]) -> list[str]:
    told = []
    if unseen:
        told.append(f"Not seen: {listed([str(each) for each in unseen], 5)}.")
    if never_called:
        told.append(f"Never called: {listed(list(never_called))}.")
    return told


def _bound(n: int) -> str:
    return (
        f"A verdict on {n:,} sample{'s' if n != 1 else ''} is evidence, not proof: a unit silent on"
        f" all of them may still fire on {_percent(firing_rate_bound(n), 2)} of others (95 %)."
    )


def _share(count: int, of: int) -> str:
    return f"{count:,} ({_percent(count / of)})"


def _percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f} %"
