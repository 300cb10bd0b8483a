"""Describe what becomes of the signal: what happens, why, what to use, and what an article says."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from actcompare.propagation.theory.dead import born_dead_share
from actcompare.stats import share_interval
from actcompare.text import listed

if TYPE_CHECKING:
    from actcompare.propagation.records import DepthConfig, Prospect, Row
    from actcompare.propagation.theory.edge import Edge
    from actcompare.propagation.theory.gains import Gain

KEPT = 6 / math.log(10)
"""A gradient whose variance stays within 10^KEPT of its start counts as kept: e^6, as for reach."""

MOST_ROWS = 8
"""The most rows that are described one by one."""

_ALIKE = 1e-3
"""Below this 1 - c, samples have become alike."""

_WORDS = {
    "default": "PyTorch's default initialisation",
    "kaiming": "Kaiming's",
    "xavier": "Xavier's",
    "critical": "critical initialisation",
}


def describe_propagation(
    config: "DepthConfig",
    samples: int,
    rows: "Sequence[Row]",
    gains: "Sequence[Gain]",
    edges: "Sequence[Edge]",
) -> str:
    """Return the reading, each sentence drawn from one of its numbers."""
    paragraphs = [
        _gradients(config, rows),
        _why(rows, gains, edges),
        _cure(config, rows),
        _article(config, rows),
        _measurement(config, samples, rows),
        _alike(rows),
        _born_dead(config, samples, rows),
        *(f"{row.why}." for row in rows if row.why),
    ]
    return "\n".join(dict.fromkeys(filter(None, paragraphs)))


def _name(init: str) -> str:
    return _WORDS.get(init, f"sigma_w^2, sigma_b^2 = {init}")


def _known(rows: "Sequence[Row]") -> "list[Prospect]":
    return [row.prospect for row in rows if row.prospect.log10_gradient_theory is not None]


def _gradients(config: "DepthConfig", rows: "Sequence[Row]") -> str:
    """Say what is left of the gradient, one initialisation after the other."""
    found = _known(rows)
    if not found:
        return ""
    by_init: dict[str, list[Prospect]] = {}
    for row in found:
        by_init.setdefault(row.init, []).append(row)
    said = []
    for init, those in by_init.items():
        parts = listed([f"{row.activation} {_left(row)}" for row in those], MOST_ROWS)
        said.append(f"With {_name(init)}: {parts}.")
    head = (
        "The gradient's variance at the first layer over that at the last, through"
        f" {config.layers:,} layers, in theory:"
    )
    return f"{head} " + " ".join(said)


def _left(row: "Prospect") -> str:
    """Return the factor of the gradient's variance, and the factor per layer where it is steady."""
    whole = row.log10_gradient_theory
    assert whole is not None
    if row.fixed_point_kind == "attracting" and row.chi and not 0.8 < row.chi < 1.25:
        step = f"{1 / row.chi:.3g}-fold less" if row.chi < 1 else f"{row.chi:.3g}-fold more"
        return f"{_power(whole)} ({step} per layer)"
    return _power(whole)


def _whole(row: "Prospect") -> str:
    return _power(row.log10_gradient_theory or 0.0)


def _power(exponent: float) -> str:
    if exponent == -math.inf:
        return "0"
    if abs(exponent) < 1:
        return f"{10**exponent:.2g}"
    return f"10^{exponent:.1f}"


def _why(rows: "Sequence[Row]", gains: "Sequence[Gain]", edges: "Sequence[Edge]") -> str:
    """Name the cause: a mean that carries the length, and whether an edge of chaos exists."""
    said = []
    for each in gains:
        if each.mean_square and each.ratio < 0.9:
            share = each.mean**2 / each.mean_square
            said.append(
                f"At pre-activations N(0,1), {each.activation} has mean {each.mean:.3g}, which is"
                f" {100 * share:.0f} % of its mean square. Weights that keep the signal's length"
                f" there multiply the gradient's variance by R = {each.ratio:.3g} per layer."
            )
    grows = [
        row.activation
        for row in _known(rows)
        if row.init == "kaiming" and row.fixed_point_kind == "none"
        if (row.log10_gradient_theory or 0.0) < 0
    ]
    if said and grows:
        said.append(
            f"With Kaiming's larger weights the signal of {listed(grows)} grows from layer to"
            " layer, and the gradient falls more slowly."
        )
    without = [edge.activation for edge in edges if not edge.points]
    if without:
        have = "has" if len(without) == 1 else "have"
        said.append(
            f"No variances of independent weights and biases keep both the signal's length and the"
            f" gradient's: {listed(without)} {have} no edge of chaos at any length searched."
        )
    return " ".join(said)


def _is_kept(row: "Prospect") -> bool:
    return abs(row.log10_gradient_theory or 0.0) <= KEPT


def _cure(config: "DepthConfig", rows: "Sequence[Row]") -> str:
    """Say which initialisations keep the gradient, and how far the others reach."""
    found = _known(rows)
    kept, lost = [row for row in found if _is_kept(row)], [r for r in found if not _is_kept(r)]
    said = []
    if kept:
        those = listed([f"{row.activation} with {row.init}" for row in kept], MOST_ROWS)
        said.append(
            f"In theory, gradients are kept over {config.layers:,} layers (variance within a factor"
            f" e^6) by {those}."
        )
    if lost:
        reaches = listed(
            [f"{row.activation} with {row.init} {row.reach_layers:,.0f}" for row in lost], MOST_ROWS
        )
        said.append(
            f"Layers that the others reach, as a guide to what plain SGD trains: {reaches}."
        )
    cured = [row for row in kept if row.init == "critical"]
    for row in [row for row in cured if row.activation == "softplus"] or cured[:1]:
        assert row.sigma_w2 is not None
        assert row.sigma_b2 is not None
        said.append(
            f"Critical initialisation of {row.activation} draws hidden weights with standard"
            f" deviation {math.sqrt(row.sigma_w2):.4g}/sqrt(inputs), subtracts from each unit's"
            " incoming weights their mean, so that the mean of the activation cancels, and draws"
            f" biases with standard deviation {math.sqrt(row.sigma_b2):.4g}: --init critical in"
            " train and study, and actcompare.initialise_critical_ in Python."
        )
    return " ".join(said)


def _article(config: "DepthConfig", rows: "Sequence[Row]") -> str:
    """Judge the claim that softplus does not speed up learning in deep networks."""
    by_init = {
        init: {row.activation: row for row in _known(rows) if row.init == init}
        for init in ("default", "kaiming", "critical")
    }
    said = []
    for init, those in by_init.items():
        row, relu = those.get("softplus"), those.get("relu")
        if row is None:
            continue
        fate = "is kept" if _is_kept(row) else "is not kept"
        part = (
            f"With {_name(init)} its gradient {fate} over {config.layers:,} layers ({_whole(row)}"
        )
        measured = row.log10_gradient_measured
        if measured is not None:
            part += f"; {_power(measured)} measured at width {config.width:,}"
        part += ")"
        if relu is not None:
            part += f", {_beside(_is_kept(row), _is_kept(relu))} ({_whole(relu)})"
        said.append(part + ".")
    if not said:
        return ""
    judged = [those["softplus"] for those in by_init.values() if "softplus" in those]
    if len({_is_kept(row) for row in judged}) > 1:
        said.append("So the initialisation decides, not the function.")
    said.append("Whether such nets learn is measured by --train.")
    claim = "An article says that softplus may not speed up learning in deep networks."
    return f"{claim} {' '.join(said)}"


def _beside(kept: bool, of_relu: bool) -> str:
    """Say whether relu's gradient is kept, beside one that is kept or not."""
    if kept == of_relu:
        return "and so is relu's" if kept else "nor is relu's"
    return "but relu's is" if of_relu else "but relu's is not"


def _measurement(config: "DepthConfig", samples: int, rows: "Sequence[Row]") -> str:
    """Say whether measurement and theory agree."""
    measured = [row for row in rows if row.nets]
    if not measured:
        return ""
    judged = [row for row in measured if row.prospect.agrees is not None]
    beyond = [row for row in measured if row.beyond_theory]
    apart = [row for row in judged if not row.prospect.agrees]
    nets = f"{measured[0].nets:,} net{'s' * (measured[0].nets != 1)} of width {config.width:,}"
    said = f"Measured on {nets} with {samples:,} training samples of {config.data}"
    if judged:
        count = len(judged) - len(apart)
        said += (
            f": the gradient agrees with the corrected theory in {count} of {len(judged)}"
            f" row{'s' * (len(judged) != 1)} that can be judged"
        )
    said += "."
    if apart:
        names = listed(
            [f"{r.prospect.activation} with {r.prospect.init}" for r in apart], MOST_ROWS
        )
        said += f" It does not for {names}."
    if beyond:
        names = listed([_beyond(row.prospect) for row in beyond], MOST_ROWS)
        said += (
            f" Beyond theory: {names}. The correction for this width and depth does not hold"
            " there, and only the measurement counts."
        )
    return said


def _beyond(row: "Prospect") -> str:
    found = row.log10_gradient_measured
    return f"{row.activation} with {row.init}" + ("" if found is None else f" ({_power(found)})")


def _alike(rows: "Sequence[Row]") -> str:
    alike = [
        f"{row.activation} with {row.init} ({row.one_minus_c_theory:.2g})"
        for row in _known(rows)
        if row.one_minus_c_theory is not None and row.one_minus_c_theory < _ALIKE
    ]
    if not alike:
        return ""
    said = (
        f"All samples look alike after the last layer (1 - correlation below {_ALIKE:g}, by"
        f" theory): {listed(alike, MOST_ROWS)}."
    )
    if any(row.zero_dead_theory for row in _known(rows)):
        said += (
            " Units that are then 0 on all of them are not damaged: the samples no longer differ."
        )
    return said


def _born_dead(config: "DepthConfig", samples: int, rows: "Sequence[Row]") -> str:
    """Say how many nets were dead from the start, where that happens at all."""
    said = []
    for row in rows:
        if not row.born_dead:
            continue
        of = share_interval(row.born_dead, row.nets)
        said.append(
            f"{row.prospect.activation} with {row.prospect.init}: {row.born_dead} of {row.nets}"
            f" ({100 * of.low:.0f} to {100 * of.high:.0f} %)"
        )
    if not said:
        return ""
    text = f"Nets born dead, with a layer that is 0 on all {samples} samples: {listed(said)}."
    if any(row.born_dead and row.prospect.activation == "relu" for row in rows):
        bound = born_dead_share(config.width, config.layers)
        text += f" For relu, one sample and symmetric biases, theory says {100 * bound:.3g} %."
    return text


def describe_training(rows: "Sequence[Mapping[str, Any]]", metric: str) -> str:
    """Say which nets train at this depth, beside the level of chance."""
    if not rows:
        return ""
    by_verdict: dict[str, list[str]] = {}
    for row in rows:
        said = f"{row['activation']} with {row['init']}"
        if row["mean"] is not None:
            said += f" {row['mean']:.3f} ({row['mean_low']:.3f} to {row['mean_high']:.3f})"
        by_verdict.setdefault(row["verdict"], []).append(said)
    chance = next((row["guess"] for row in rows if row["guess"] is not None), None)
    level = "" if chance is None else f" (a constant prediction has {chance:.3f})"
    parts = [f"{verdict}: {listed(names)}" for verdict, names in by_verdict.items()]
    return f"Training, test {metric}{level}: {'; '.join(parts)}."
