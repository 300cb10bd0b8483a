"""The config of a user's own training."""

from dataclasses import dataclass

from actcompare.bounds import Count, Label, Positive

METRIC, VALIDATION = "metric", "validation"
"""Keys of what a fit returns: the metric (or another that is named), and what chooses the rate."""


@dataclass(frozen=True)
class FitConfig:
    """A user's own training, or where results come from that were there already."""

    function: Label
    """`module:Name` or `file.py:Name`; the name of a function that was passed as an object; or the
    file of the results."""
    settings: dict[str, str]
    """What the function receives beside activation, seed and learning rate: Python literals."""
    metric: Label
    higher_is_better: bool
    seed: Count
    """First seed."""
    threads: Positive
    """Threads of torch in each worker."""
    given_seeds: tuple[Count, ...] | None = None
    """Seeds of results that were there already, which need not be consecutive; None for a fit."""
