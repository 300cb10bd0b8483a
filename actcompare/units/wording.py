"""The verdicts on units as people read them."""

from collections.abc import Mapping, Sequence
from typing import Any

_VERDICTS = {
    "zero_dead": "zero-dead",
    "gradient_dead": "gradient-dead",
    "gradient_zero": "gradient 0",
    "constant": "constant",
    "dormant": "dormant",
    "saturated": "saturated",
}


def layer_value(layers: Mapping[str, Sequence[Any]], column: str, i: int) -> str:
    """A number of one layer, in words."""
    value, layer, units = layers[column][i], layers["layer"][i], layers["units"][i]
    return f"it is {value:.6g} in {layer}, of {units} units"
