"""Choose scales, limits and ticks that show differences, in readable units."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np


def scaled(axis: Any, said: Callable[[float], str]) -> None:
    """Set the scale of an axis of positive numbers to show their differences, with few ticks."""
    low, high = _data_range(axis)
    if not 0 < low <= high < math.inf:
        return
    low, high = (low / 1.1, high * 1.1) if high < 1.02 * low else (low, high)
    axes, name = axis.axes, axis.axis_name
    wide = high > 4 * low
    getattr(axes, f"set_{name}scale")("log" if wide else "linear")
    room = (high / low) ** 0.06 if wide else 1 + 0.06 * (high - low) / low
    getattr(axes, f"set_{name}lim")(low / room, high * room)
    getattr(axes, f"set_{name}ticks")(ticks := round_numbers(low / room, high * room))
    axis.set_ticklabels([said(tick) for tick in ticks])
    getattr(axes, f"set_{name}ticks")([], minor=True)


def zoomed(
    values: Iterable[float], ends: Iterable[float], least: float
) -> tuple[float, float] | None:
    """Return an axis range that shows how the best differ and cuts off far lower values, or None.

    Args:
        values: All values.
        ends: Values that must be visible: the best of each line, and the ends of its interval.
        least: A difference that should look small.
    """
    values, ends = (list(filter(math.isfinite, some)) for some in (values, ends))
    if not values or not ends:
        return None
    bound = max(ends) - 4 * max(max(ends) - min(ends), least)
    shown = [each for each in (*values, *ends) if each >= bound]
    low, high = min(shown), max(shown)
    room = 0.06 * (high - low) + max(0.0, least - (high - low)) / 2
    return low - room, high + room


def mark_below(axes: Any, x: Any, colour: str, *, above: bool = False) -> None:
    """Draw a triangle at the lower edge, or the upper one, for each x whose point is cut off."""
    if not len(x):  # an empty, unclipped artist would break the layout
        return
    edge = {"transform": axes.get_xaxis_transform(), "clip_on": False, "zorder": 4}
    axes.plot(x, np.full(len(x), float(above)), "v^"[above], color=colour, markersize=4, **edge)


def _data_range(axis: Any) -> tuple[float, float]:
    """Return the smallest and largest number drawn on an axis and those that share it."""
    siblings = getattr(axis.axes, f"get_shared_{axis.axis_name}_axes")().get_siblings(axis.axes)
    intervals = [getattr(axes.dataLim, f"interval{axis.axis_name}") for axes in siblings]
    return float(np.min(intervals)), float(np.max(intervals))


def round_numbers(low: float, high: float, most: int = 6) -> list[float]:
    """Return at most `most` round numbers in a range of positive numbers."""
    if high <= 4 * low:
        from matplotlib.ticker import MaxNLocator

        linear = MaxNLocator(most - 1, steps=[1, 2, 5, 10]).tick_values(low, high)
        return [float(each) for each in linear if low <= each <= high]
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found = list[float]()
    for parts in ((1, 2, 5), (1, 3), (1,)):
        found = [part * 10.0**decade for decade in decades for part in parts]
        found = [each for each in found if low <= each <= high]
        if len(found) <= most:
            return found
    return found[:: math.ceil(len(found) / most)]


def said_metric(metric: str, value: float, digits: int = 3) -> str:
    """Format a value of a metric; an accuracy is given in percent."""
    return f"{100 * value:.{digits}g} %" if metric == "accuracy" else f"{value:.{digits}g}"


def scale_metric(axes: Any, metric: str, shown: tuple[float, float] | None) -> None:
    """Set range and ticks of the vertical axis for a metric."""
    from matplotlib.ticker import MaxNLocator

    if shown is not None:
        axes.set_ylim(*shown)
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(lambda value, _: said_metric(metric, value, 4))


def whole_numbers(axis: Any) -> None:
    """Put ticks only at whole numbers."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
