"""Describe what becomes of the signal: what happens, why, what to use, and what an article says."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from actcompare.propagation.dead import born_dead_share
from actcompare.stats import share_interval
from actcompare.text import listed

if TYPE_CHECKING:
    from actcompare.propagation.edge import Edge
    from actcompare.propagation.gains import Gain
    from actcompare.propagation.records import DepthConfig, Prospect, Row

KEPT = 1.0
"""A gradient's variance within 10^KEPT of its start counts as kept."""

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
        _why(gains, edges),
        _cure(config, rows),
        _article(config, rows),
        _measurement(config, rows),
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
        f"What is left of the gradient's variance at the first of {config.layers:,} layers, in"
        " theory:"
    )
    return f"{head} " + " ".join(said)


def _left(row: "Prospect") -> str:
    """Return the factor of the gradient's variance, and the factor per layer where it is steady."""
    whole = row.log10_gradient_theory
    assert whole is not None
    if whole == -math.inf:
        return "nothing"
    if abs(whole) < 0.05:
        return "all of it"
    if row.fixed_point_kind == "attracting" and row.chi and not 0.8 < row.chi < 1.25:
        step = f"{1 / row.chi:.3g}-fold less" if row.chi < 1 else f"{row.chi:.3g}-fold more"
        return f"{_power(whole)} ({step} per layer)"
    return _power(whole)


def _power(exponent: float) -> str:
    if abs(exponent) < 1:
        return f"{10**exponent:.2g} of it" if exponent < 0 else f"{10**exponent:.2g} times it"
    return f"10^{exponent:.1f}"


def _why(gains: "Sequence[Gain]", edges: "Sequence[Edge]") -> str:
    """Name the cause: a mean that carries the length, and whether an edge of chaos exists."""
    said = []
    for each in gains:
        if not each.mean_square:
            continue
        share = each.mean**2 / each.mean_square
        if each.ratio < 0.9:
            said.append(
                f"The mean of {each.activation} is {each.mean:.3g} on N(0,1) and carries"
                f" {100 * share:.0f} % of its mean square: weights that keep the signal's length"
                f" leave {each.ratio:.3g} of the gradient's variance per layer (R)."
            )
    without = [edge.activation for edge in edges if not edge.points]
    if without:
        have = "has" if len(without) == 1 else "have"
        said.append(
            f"{listed(without)} {have} no edge of chaos: no variances of independent weights and"
            " biases keep both."
        )
    return " ".join(said)


def _cure(config: "DepthConfig", rows: "Sequence[Row]") -> str:
    """Say which initialisations keep the gradient, and how far the others reach."""
    found = _known(rows)
    kept = [row for row in found if abs(row.log10_gradient_theory or 0) <= KEPT]
    lost = [row for row in found if row not in kept]
    said = []
    if kept:
        those = listed([f"{row.activation} with {row.init}" for row in kept], MOST_ROWS)
        said.append(f"What keeps gradients over {config.layers:,} layers: {those}.")
    if lost:
        reaches = listed(
            [f"{row.activation} with {row.init} {row.reach_layers:.0f}" for row in lost], MOST_ROWS
        )
        said.append(
            f"How many layers the others reach until the gradient's variance has changed by e^6,"
            f" as a guide to what plain SGD trains: {reaches}."
        )
    critical = [row for row in kept if row.init == "critical" and row.activation != "relu"]
    for row in critical[:1]:
        assert row.sigma_w2 is not None
        assert row.sigma_b2 is not None
        said.append(
            f"Critical initialisation of {row.activation} subtracts from each unit's incoming"
            " weights their mean, so that the mean of the activation cancels, and draws them with"
            f" sigma_w {math.sqrt(row.sigma_w2):.4g} and biases with sigma_b"
            f" {math.sqrt(row.sigma_b2):.4g}: in Python actcompare.initialise_critical_, and"
            " --init critical in train and study."
        )
    return " ".join(said)


def _article(config: "DepthConfig", rows: "Sequence[Row]") -> str:
    """Judge the claim that softplus does not speed up learning in deep networks."""
    softplus = {row.init: row for row in _known(rows) if row.activation == "softplus"}
    usual = [softplus[init] for init in ("default", "kaiming") if init in softplus]
    cured = softplus.get("critical")
    if not usual:
        return ""
    lost = all((row.log10_gradient_theory or 0) < -KEPT for row in usual)
    claim = "An article says that softplus may not speed up learning in deep networks."
    names = " and ".join(_name(row.init) for row in usual)
    if not lost:
        return f"{claim} At {config.layers:,} layers, its gradient is not lost with {names}."
    verdict = f"{claim} That is so with {names}"
    if cured is not None and abs(cured.log10_gradient_theory or 0) <= KEPT:
        verdict += ", but it is not of the function: with critical initialisation nothing vanishes"
    return verdict + "."


def _measurement(config: "DepthConfig", rows: "Sequence[Row]") -> str:
    """Say whether measurement and theory agree."""
    measured = [row for row in rows if row.nets]
    if not measured:
        return ""
    judged = [row for row in measured if row.prospect.agrees is not None]
    beyond = [row for row in measured if row.beyond_theory]
    apart = [row for row in judged if not row.prospect.agrees]
    said = f"Measured on {measured[0].nets:,} nets of width {config.width:,}"
    if judged:
        count = len(judged) - len(apart)
        said += f": the gradient agrees with the theory in {count} of {len(judged)} rows"
    said += "."
    if apart:
        names = listed(
            [f"{r.prospect.activation} with {r.prospect.init}" for r in apart], MOST_ROWS
        )
        said += f" It does not for {names}."
    if beyond:
        names = listed(
            [f"{r.prospect.activation} with {r.prospect.init}" for r in beyond], MOST_ROWS
        )
        said += (
            f" Beyond theory are {names}: this width is too small for so many layers, and only the"
            " measurement counts."
        )
    return said


def _alike(rows: "Sequence[Row]") -> str:
    alike = [
        f"{row.activation} with {row.init} ({row.one_minus_c_theory:.2g})"
        for row in _known(rows)
        if row.one_minus_c_theory is not None and row.one_minus_c_theory < _ALIKE
    ]
    if not alike:
        return ""
    return (
        f"All samples look alike after the last layer (1 - correlation below {_ALIKE:g}):"
        f" {listed(alike, MOST_ROWS)}. Units that are then 0 on all of them are not damaged: the"
        " samples no longer differ."
    )


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
    bound = born_dead_share(config.width, config.layers)
    return (
        f"Nets born dead, with a layer that is 0 on all {samples} samples: {listed(said)}. For"
        f" relu, one sample and biases of 0, theory says {100 * bound:.3g} %."
    )


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
