"""A training in words: how far it came, which units are dead, and what would help."""

from collections.abc import Sequence

from actcompare.stats import share_interval
from actcompare.training.records import (
    DataSummary,
    Divergence,
    Epoch,
    LayerUnits,
    Score,
    TrainConfig,
)
from actcompare.units.statistics import EPS, firing_rate_bound

MANY = 0.1
"""A layer with a larger share of dead units than this gets advice."""


def describe_training(
    config: TrainConfig,
    data: DataSummary,
    history: Sequence[Epoch],
    test: Score,
    diverged: Divergence | None,
) -> str:
    """One sentence after the other, each from a number of the run."""
    layers = history[-1].layers
    sentences = [
        *_divergence(config, history, diverged),
        _score(data, history[-1].epoch, test),
        *(_describe_layer(history, layer) for layer in layers),
        *_what_zeros_miss(layers),
        *_advice(config, history),
    ]
    if layers:
        n = layers[0].samples
        sentences.append(
            f"A verdict on {n:,} samples is evidence, not proof: a unit silent on all of them may"
            f" still fire on {_percent(firing_rate_bound(n), 2)} of others (95 %)."
        )
    return " ".join(sentences)


def _divergence(
    config: TrainConfig, history: Sequence[Epoch], found: Divergence | None
) -> list[str]:
    if found is None:
        return []
    return [
        f"Diverged in epoch {found.epoch}, step {found.step}, where the loss was {found.loss:.3g}:"
        f" what is shown is the state after epoch {history[-1].epoch}. A learning rate"
        f" below {config.lr:g} is the first thing to try."
    ]


def _score(data: DataSummary, epochs: int, test: Score) -> str:
    n = data.samples[2]
    after = f"After {epochs} epoch{'s' if epochs != 1 else ''}"
    if not data.classes:
        return (
            f"{after} the net explains {_percent(test.metric)} of the variance of {n:,}"
            " test samples; another seed, and so another split, gives another share."
        )
    right = round(test.metric * n)
    known = share_interval(right, n)
    guess = data.largest_class
    remark = ""
    if guess is not None and known.low <= guess:
        remark = f": no better than always naming the largest class, {_percent(guess)}"
    between = f"{_percent(known.low)} to {_percent(known.high)}"
    return (
        f"{after} {right:,} of {n:,} test samples are right, {_percent(test.metric)} (of"
        f" all such samples {between}, at 95 %; another seed may lie elsewhere)"
        f"{remark}."
    )


def _describe_layer(history: Sequence[Epoch], layer: LayerUnits) -> str:
    counts, name = layer.counts(), f"{layer.layer}, of {layer.units} units"
    told = [
        f"{counts[verdict]} {said}"
        for verdict, said in (
            ("zero_dead", "zero-dead"),
            ("gradient_dead", f"gradient-dead (|f'| at most {EPS:g} on every sample)"),
            ("constant", "constant"),
            ("dormant", "dormant"),
            ("saturated", "saturated"),
        )
        if counts[verdict]
    ]
    if not told:
        return f"{name}: none is dead, constant, dormant or saturated."
    first = next(
        (
            epoch.epoch
            for epoch in history
            if any(seen.layer == layer.layer and seen.dead for seen in epoch.layers)
        ),
        None,
    )
    since = "" if first is None else f"; the first dead one was seen after epoch {first}"
    if first == 0:
        since = "; some were dead from the initialisation on"
    return f"{name}: {', '.join(told)}{since}."


def _what_zeros_miss(layers: Sequence[LayerUnits]) -> list[str]:
    missed = sum(len(layer.dead) - layer.counts()["zero_dead"] for layer in layers)
    if not missed:
        return []
    return [
        f"Counting zeros misses {missed} unit{'s' if missed != 1 else ''}: the output is not 0, but"
        " practically no gradient passes."
    ]


def _advice(config: TrainConfig, history: Sequence[Epoch]) -> list[str]:
    layers = history[-1].layers
    dead, units = sum(len(layer.dead) for layer in layers), sum(layer.units for layer in layers)
    if not units or dead <= MANY * units:
        return []
    at_init = sum(len(layer.dead) for layer in history[0].layers)
    if at_init > dead / 2:
        return ["They were dead before any step: another --init or a smaller --depth may help."]
    return [
        f"They died in training: a learning rate below {config.lr:g} is the first thing to try."
    ]


def _percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f} %"
