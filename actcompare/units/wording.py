"""The names and definitions of the verdicts on units, for people."""

from collections.abc import Mapping, Sequence
from typing import Any

_VERDICTS = {
    "zero_dead": "zero-dead",
    "gradient_dead": "gradient-dead",
    "gradient_zero": "zero-gradient",
    "constant": "constant",
    "dormant": "dormant",
    "saturated": "saturated",
}


UNIT, GATE, ATTENTION, ROUTER, BOUND, WEIGHT = (
    *("unit", "gate", "attention", "router", "bound", "weight"),
)
"""What an activation is for: the units of a layer, or something that is shown apart."""

ROLES = {
    GATE: ("gate", "gates"),
    ATTENTION: ("row of attention scores", "rows of attention scores"),
    ROUTER: ("router", "routers"),
    BOUND: ("bound", "bounds"),
    WEIGHT: ("activation of parameters", "activations of parameters"),
}
"""What is shown apart, singular and plural: factors of products, scores, the choice of experts,
bounds of boxes or of what is activated already, and what is computed from parameters alone."""


LEGEND = (
    "zero-dead: a = f(z) is 0 on every sample; gradient-dead: f'(z) is practically 0 on every"
    " sample; zero-gradient: f'(z) is exactly 0 on every sample; constant: a hardly varies;"
    " dormant: mean |a| is at most 2.5 % of the layer's; saturated: f'(z) is practically 0 on 95 %"
    " of the samples."
)
"""Definitions of the verdicts for a caption; `actcompare.units.statistics` has the thresholds."""


def layer_value(layers: Mapping[str, Sequence[Any]], column: str, i: int) -> str:
    """Describe a number of one layer."""
    value, layer, units = layers[column][i], layers["layer"][i], layers["units"][i]
    return f"it is {value:.6g} in {layer} ({units} units)"
