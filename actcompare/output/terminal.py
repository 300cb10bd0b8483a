"""Draw curves in the terminal with plotille."""

from typing import Any

import numpy as np

from actcompare.text import shown


def terminal_figure(width: int, colour: bool, x: str, y: str) -> Any:
    """Return an empty figure for a terminal of a width."""
    import plotille

    def number(value: float, chars: int, delta: float, left: bool = False) -> str:  # noqa: ARG001
        text = f"{value + 0.0:.3g}"
        return text.ljust(chars) if left else text.rjust(chars)

    figure = plotille.Figure()
    figure.width, figure.height = max(20, min(width - 24, 72)), 14
    figure.color_mode, figure.with_colors = "names", colour
    figure.x_label, figure.y_label = x, y
    figure.register_label_formatter(float, number)
    return figure


def terminal_line(figure: Any, x: Any, y: Any, label: str, look: str, colour: bool) -> None:
    """Draw the finite points of a line in its look from `terminal_styles`."""
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    finite = np.isfinite(x) & np.isfinite(y)
    if not finite.any():
        return
    if colour:
        figure.plot(x[finite].tolist(), y[finite].tolist(), lc=look, label=shown(label))
    else:
        figure.scatter(x[finite].tolist(), y[finite].tolist(), marker=look, label=shown(label))
