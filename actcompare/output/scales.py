"""Scales, limits and ticks that show where numbers differ, in the units people write."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np


def scaled(axis: Any, said: Callable[[float], str]) -> None:
    """Give an axis of positive numbers the scale that shows their differences, and few ticks."""
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
    """The range of an axis in which the best differ, without what lies far below; None for all.

    Args:
        values: All that could be shown.
        ends: What must be seen: the best of each line, and the ends of their intervals.
        least: A difference that is to be seen as small.
    """
    values, ends = (list(filter(math.isfinite, some)) for some in (values, ends))
    if not values or not ends:
        return None
    bound = max(ends) - 4 * max(max(ends) - min(ends), least)
    shown = [each for each in (*values, *ends) if each >= bound]
    low, high = min(shown), max(shown)
    room = 0.06 * (high - low) + max(0.0, least - (high - low)) / 2
    return low - room, high + room


def mark_below(axes: Any, x: Any, colour: str) -> None:
    """A triangle at the lower edge for each point that the axis cuts off, at these x."""
    if not len(x):  # what is empty and not clipped has no place, and would break the layout
        return
    edge = {"transform": axes.get_xaxis_transform(), "clip_on": False, "zorder": 4}
    axes.plot(x, np.zeros(len(x)), "v", color=colour, markersize=4, **edge)


def _data_range(axis: Any) -> tuple[float, float]:
    """The least and greatest number drawn on the axis and those that share it."""
    siblings = getattr(axis.axes, f"get_shared_{axis.axis_name}_axes")().get_siblings(axis.axes)
    intervals = [getattr(axes.dataLim, f"interval{axis.axis_name}") for axes in siblings]
    return float(np.min(intervals)), float(np.max(intervals))


def round_numbers(low: float, high: float, most: int = 6) -> list[float]:
    """Some round numbers in a range of positive ones."""
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
    """A value of a metric as people write it: an accuracy in percent."""
    return f"{100 * value:.{digits}g} %" if metric == "accuracy" else f"{value:.{digits}g}"


def scale_metric(axes: Any, metric: str, shown: tuple[float, float] | None) -> None:
    """Give the vertical axis a range of a metric's values."""
    from matplotlib.ticker import MaxNLocator

    if shown is not None:
        axes.set_ylim(*shown)
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(lambda value, _: said_metric(metric, value, 4))


def whole_numbers(axis: Any) -> None:
    """Ticks at whole numbers alone."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
