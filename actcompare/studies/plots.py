"""The pictures of a study: paired differences, metric by learning rate, learning curves."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from actcompare.output.plotting import (
    COLOURS,
    DASHES,
    check_figure,
    terminal_figure,
    terminal_line,
    write_figure,
)
from actcompare.table import Columns


def write_study(
    answer: Columns, shared: Columns, curves: Columns, metric: str, margin: float, path: Path
) -> None:
    """Write a row of three panels per depth and width.

    Args:
        answer: tidy columns of a study, one record per activation.
        shared: how all do at every learning rate.
        curves: the validation metric over epochs.
        metric: what the metric is called.
        margin: of practical equivalence, shaded.
        path: the file; its ending chooses SVG, PNG or PDF.

    Raises:
        ActcompareError: the file cannot be written; and what check_figure raises.
    """
    check_figure(path)
    activations = list(dict.fromkeys(answer["activation"]))
    colours = {act: COLOURS[k % len(COLOURS)] for k, act in enumerate(activations)}
    dashes = {act: DASHES[k % len(DASHES)] for k, act in enumerate(activations)}
    settings = list(_settings(answer))

    def draw(figure: Any) -> None:
        for row, (title, depth, hidden) in enumerate(settings):
            panels = [figure.add_subplot(len(settings), 3, 3 * row + k + 1) for k in range(3)]
            here = depth, hidden
            _draw_differences(panels[0], _at(answer, *here), margin, colours)
            _draw_bands(panels[1], "lr", _at(shared, *here), colours, dashes, bars=True)
            _draw_bands(panels[2], "epoch", _at(curves, *here), colours, dashes, bars=False)
            titles = (
                "paired difference",
                f"test {metric} by learning rate",
                f"validation {metric}",
            )
            for axes, said in zip(panels, titles, strict=True):
                axes.set_title(said + title, fontsize=9)
                axes.spines[["top", "right"]].set_visible(False)
            panels[1].set(xscale="log", xlabel="learning rate")
            panels[2].set_xlabel("epoch")
            panels[1].legend(frameon=False, fontsize=8)

    write_figure(path, (10.2, max(2.9, 0.3 * len(activations)) * len(settings)), draw)


def _settings(columns: Columns) -> Iterator[tuple[str, int, int]]:
    """Every depth and width, with what a title says of it."""
    found = list(dict.fromkeys(zip(columns["depth"], columns["hidden"], strict=True)))
    for depth, hidden in found:
        yield (f" (depth {depth}, hidden {hidden})" if len(found) > 1 else ""), depth, hidden


def _at(columns: Columns, depth: int, hidden: int) -> dict[str, list[Any]]:
    here = [
        i
        for i in range(len(columns["activation"]))
        if (columns["depth"][i], columns["hidden"][i]) == (depth, hidden)
    ]
    return {name: [values[i] for i in here] for name, values in columns.items()}


def _draw_differences(axes: Any, answer: Columns, margin: float, colours: dict[str, str]) -> None:
    compared = _compared(answer)
    axes.axvspan(-margin, margin, color="0.93", zorder=0)
    axes.axvline(0, color="0.6", linewidth=0.8, zorder=1)
    for y, (activation, middle, low, high) in enumerate(compared):
        bars = [[middle - low], [high - middle]] if math.isfinite(low) else None
        axes.errorbar(
            middle, -y, xerr=bars, fmt="o", color=colours[activation], capsize=3, markersize=4
        )
    axes.set_yticks([-y for y in range(len(compared))], [each[0] for each in compared])
    axes.set_ylim(-len(compared) + 0.5, 0.5)
    axes.set_xlabel(f"against {answer['activation'][0]} (95 %; shaded: the margin)")


def _compared(answer: Columns) -> list[tuple[str, float, float, float]]:
    """Each activation but the baseline, with its difference and the ends of the interval."""
    names = ("activation", "difference", "difference_low", "difference_high", "verdict")
    rows = zip(*(answer[name] for name in names), strict=True)
    return [
        (activation, middle, low, high)
        for activation, middle, low, high, verdict in rows
        if verdict != "baseline" and middle is not None and math.isfinite(middle)
    ]


def _draw_bands(
    axes: Any,
    x: str,
    columns: Columns,
    colours: dict[str, str],
    dashes: dict[str, Any],
    *,
    bars: bool,
) -> None:
    for activation in dict.fromkeys(columns["activation"]):
        at, middle, low, high = _line(columns, activation, x)
        style: Any = {"color": colours[activation], "linewidth": 1.3}
        if bars:
            errors = (middle - low, high - middle)
            axes.errorbar(at, middle, errors, label=activation, marker="o", markersize=3,
                          capsize=2, linestyle=dashes[activation], **style)  # fmt: skip
        else:
            axes.plot(at, middle, label=activation, linestyle=dashes[activation], **style)
            axes.fill_between(at, low, high, color=colours[activation], alpha=0.2, linewidth=0)


def _line(columns: Columns, activation: str, x: str) -> Sequence[Any]:
    """Where, mean, and the ends of its interval; where they are infinite, the mean."""
    mine = [i for i, act in enumerate(columns["activation"]) if act == activation]
    at, middle, low, high = (
        np.array([columns[name][i] for i in mine], dtype=np.float64)
        for name in (x, "mean", "mean_low", "mean_high")
    )
    return at, middle, *(np.where(np.isfinite(end), end, middle) for end in (low, high))


def terminal_study(
    answer: Columns, shared: Columns, curves: Columns, metric: str, width: int, *, colour: bool
) -> str:
    """The same three as text, per depth and width."""
    drawn = []
    for title, depth, hidden in _settings(answer):
        compared = _compared(_at(answer, depth, hidden))
        if compared:
            figure = terminal_figure(width, colour, "difference", "activation")
            figure.height = max(4, 2 * len(compared))
            ends = [end for each in compared for end in each[1:] if math.isfinite(end)]
            figure.set_x_limits(min(0.0, *ends), max(0.0, *ends) or 1e-9)
            figure.set_y_limits(-len(compared), 1)
            for k, (activation, middle, low, high) in enumerate(compared):
                low, high = (low, high) if math.isfinite(low) else (middle, middle)
                line = np.linspace(low, high, 60)
                terminal_line(figure, line, np.full(60, float(-k)), activation, k + 1, colour)
            drawn.append(f"paired difference{title}\n{figure.show(legend=True)}")
        for columns, x, said in (
            (_at(shared, depth, hidden), "lr", f"test {metric} by learning rate"),
            (_at(curves, depth, hidden), "epoch", f"validation {metric}"),
        ):
            figure = terminal_figure(width, colour, "log10 lr" if x == "lr" else x, metric)
            figure.origin = False
            for k, activation in enumerate(dict.fromkeys(columns["activation"])):
                at, middle, _, _ = _line(columns, activation, x)
                at = np.log10(np.maximum(at, 1e-300)) if x == "lr" else at
                terminal_line(figure, at, middle, activation, k, colour)
            drawn.append(f"{said}{title}\n{figure.show(legend=True)}")
    return "\n\n".join(drawn) + "\n"
