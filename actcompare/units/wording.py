"""The verdicts on units as people read them."""

_VERDICTS = {
    "zero_dead": "zero-dead",
    "gradient_dead": "gradient-dead",
    "gradient_zero": "gradient 0",
    "constant": "constant",
    "dormant": "dormant",
    "saturated": "saturated",
}
