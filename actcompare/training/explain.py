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
    negative_share: float | None = None,
) -> str:
    """Return the reading; every sentence rests on a number of the run."""
    layers = history[-1].layers
    sentences = [
        *_divergence(config, history, diverged),
        _score(data, history[-1].epoch, test),
        *_negative(config, negative_share),
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
        remark = (
            " That is not clearly better than always predicting the largest class"
            f" ({_percent(guess)})."
        )
    between = f"{_percent(known.low)} to {_percent(known.high)}"
    return (
        f"{after}, test accuracy is {_percent(test.metric)}: {right:,} of {n:,} samples (95 %"
        f" interval over samples: {between}; another seed may fall outside it).{remark}"
    )


def _negative(config: TrainConfig, share: float | None) -> list[str]:
    """Say whether predictions are negative where no target is."""
    if share is None:
        return []
    if not share:
        return ["No prediction for the test set is negative, as no target is."]
    cure = " --output-act softplus keeps them positive." if config.output_activation is None else ""
    return [f"No target is negative, but {_percent(share, 2)} of the predictions are.{cure}"]


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
    return f"{name}: {', '.join(found)}{_since(history, layer)}."


def _since(history: Sequence[Epoch], layer: LayerUnits) -> str:
    """Say since when the units that are dead now are dead."""
    first, already = next(
        (
            (epoch.epoch, len(seen.dead & layer.dead))
            for epoch in history
            for seen in epoch.layers
            if seen.layer == layer.layer and seen.dead & layer.dead
        ),
        (None, 0),
    )
    if first is None:
        return ""
    if first > 0:
        return f"; the first dead unit appeared after epoch {first}"
    dead = len(layer.dead)
    which = "all" if already == dead else f"{already} of the {dead}"
    return f"; {which} dead units were dead at initialisation"


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
    first, layers = history[0].layers, history[-1].layers
    dead, units = sum(len(layer.dead) for layer in layers), sum(layer.units for layer in layers)
    if not units or dead <= MANY * units:
        return []
    born = sum(len(start.dead & now.dead) for start, now in zip(first, layers, strict=True))
    at_init = "try another --init or a smaller --depth"
    in_training = f"first try a learning rate below {config.lr:g}"
    if born == dead:
        return [f"They were dead at initialisation: {at_init}."]
    if not born:
        return [f"They died in training: {in_training}."]
    return [
        f"Of the dead units, {born:,} were dead at initialisation ({at_init}) and {dead - born:,}"
        f" died in training ({in_training})."
    ]


def _percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f} %"
