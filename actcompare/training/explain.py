"""The reading of a training run: its test score, its dead units, and what to try next."""

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
"""Advice is given if a larger share of the units than this is dead."""


def describe_training(
    config: TrainConfig,
    data: DataSummary,
    history: Sequence[Epoch],
    test: Score,
    diverged: Divergence | None,
) -> str:
    """Return the reading; every sentence rests on a number of the run."""
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
            f"Verdicts on {n:,} samples are evidence, not proof: a unit that never fired here may"
            f" fire on up to {_percent(firing_rate_bound(n), 2)} of new samples (95 % bound)."
        )
    return " ".join(sentences)


def _divergence(
    config: TrainConfig, history: Sequence[Epoch], found: Divergence | None
) -> list[str]:
    if found is None:
        return []
    return [
        f"Diverged in epoch {found.epoch}, step {found.step} (loss {found.loss:.3g}). The results"
        f" show the state after epoch {history[-1].epoch}. First try a learning rate below"
        f" {config.lr:g}."
    ]


def _score(data: DataSummary, epochs: int, test: Score) -> str:
    n = data.samples[2]
    after = f"After {epochs} epoch{'s' if epochs != 1 else ''}"
    if not data.classes:
        return (
            f"{after}, the net explains {_percent(test.metric)} of the variance of {n:,} test"
            " samples (R^2). Another seed gives another split and another value."
        )
    right = round(test.metric * n)
    known = share_interval(right, n)
    guess = data.largest_class
    remark = ""
    if guess is not None and known.low <= guess:
        remark = f" That is no better than always predicting the largest class ({_percent(guess)})."
    between = f"{_percent(known.low)} to {_percent(known.high)}"
    return (
        f"{after}, test accuracy is {_percent(test.metric)}: {right:,} of {n:,} samples (95 %"
        f" interval over samples: {between}; another seed may fall outside it).{remark}"
    )


def _describe_layer(history: Sequence[Epoch], layer: LayerUnits) -> str:
    counts, name = layer.counts(), f"{layer.layer} ({layer.units} units)"
    found = [
        f"{counts[verdict]} {words}"
        for verdict, words in (
            ("zero_dead", "zero-dead"),
            ("gradient_dead", f"gradient-dead (|f'| at most {EPS:g} on every sample)"),
            ("constant", "constant"),
            ("dormant", "dormant"),
            ("saturated", "saturated"),
        )
        if counts[verdict]
    ]
    if not found:
        return f"{name}: no unit is dead, constant, dormant or saturated."
    first = next(
        (
            epoch.epoch
            for epoch in history
            if any(seen.layer == layer.layer and seen.dead for seen in epoch.layers)
        ),
        None,
    )
    since = "" if first is None else f"; the first dead unit appeared after epoch {first}"
    if first == 0:
        since = "; some units were dead at initialisation"
    return f"{name}: {', '.join(found)}{since}."


def _what_zeros_miss(layers: Sequence[LayerUnits]) -> list[str]:
    missed = sum(len(layer.dead) - layer.counts()["zero_dead"] for layer in layers)
    if not missed:
        return []
    units, their = ("unit", "its") if missed == 1 else ("units", "their")
    return [
        f"Counting zeros misses {missed} {units}: {their} output is not 0, but practically no"
        " gradient passes."
    ]


def _advice(config: TrainConfig, history: Sequence[Epoch]) -> list[str]:
    layers = history[-1].layers
    dead, units = sum(len(layer.dead) for layer in layers), sum(layer.units for layer in layers)
    if not units or dead <= MANY * units:
        return []
    at_init = sum(len(layer.dead) for layer in history[0].layers)
    if at_init > dead / 2:
        return ["They were dead at initialisation: try another --init or a smaller --depth."]
    return [f"They died in training: first try a learning rate below {config.lr:g}."]


def _percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f} %"
