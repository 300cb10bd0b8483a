"""Figures of `depth`: signals by layer, and the factor of gradients over variances."""

import math
from typing import Any

import numpy as np

from actcompare.output.canvas import Canvas, Panel, Style, curves_size, mixed
from actcompare.output.plotting import Picture, named
from actcompare.output.scales import whole_numbers
from actcompare.output.styles import terminal_styles
from actcompare.output.terminal import terminal_figure, terminal_line
from actcompare.propagation.records import Row
from actcompare.propagation.signal import Propagation
from actcompare.propagation.theory.edge import STABLE, Edge

_QUANTITIES = {
    "log10_q": "variance (log10)",
    "log10_gradient": "gradient's variance (log10)",
    "one_minus_c": "1 - correlation (log10)",
}

_DOTS = 26
"""About how many measured layers are drawn."""

_PIXELS = 60

_ROUNDING = 1e-28
"""1 - c below this is the rounding of float64 when measured, and is not drawn."""

_FARTHEST = 2.0
"""|log10 chi| beyond which colours no longer change."""


def depth_picture(found: Propagation) -> Picture:
    """Draw variance, gradient and correlation by layer, and chi over the variances.

    Lines are theory, with a band in which 95 % of nets of this width are expected; dots are
    measured. In the maps, the edge of chaos is drawn where it is stable, and dashed where it is
    not; there is no fixed point where they are hatched.
    """
    config, labels = found.config, list(found.config.activations)
    by_init = {init: rows_with(found, init) for init in config.inits}
    width, height = curves_size(labels, len(_QUANTITIES))
    maps = list(found.edges)[:4]
    heights = [height] * len(by_init) + [3.0] * bool(maps)

    def draw(canvas: Canvas) -> None:
        titles = [*by_init, "factor of the gradient's variance per layer, chi"][: len(heights)]
        strips = canvas.strips(titles, heights)
        for strip, rows in zip(strips, by_init.values(), strict=False):
            panels = [signal_panel(canvas, rows, of, labels) for of in _QUANTITIES]
            canvas.curves(strip, panels, labels)
        if maps:
            axes = strips[-1].subplots(1, len(maps), squeeze=False)[0]
            for each, edge in zip(axes, maps, strict=True):
                _draw_map(canvas, each, edge, found)

    measured = ""
    if config.nets:
        nets = max(row.nets for row in found.rows)
        measured = f"; dots: {nets} nets of width {config.width}; bands: 95 % of such nets"
    return Picture(
        f"Signal through {config.layers:,} layers with {named(labels)}",
        f"lines: theory{measured}; {found.samples} inputs of {config.data}, seed {config.seed};"
        " maps: edge of chaos (dashed where unstable), hatched without a fixed point",
        labels,
        (max(width, 2.7 * len(maps)), sum(heights)),
        draw,
        lambda width, colour: _as_text(found, width, colour),
    )


def rows_with(found: Propagation, init: str) -> dict[str, Row]:
    """Return the row of each activation with an initialisation."""
    return {row.prospect.activation: row for row in found.rows if row.prospect.init == init}


def signal_panel(canvas: Canvas, rows: dict[str, Row], of: str, labels: list[str]) -> Panel:
    """Return a quantity by layer: log10_q, log10_gradient or one_minus_c."""

    def line(axes: Any, label: str, style: Style) -> None:
        row = rows[label]
        theory, measured = (_drawn(of, getattr(each, of)) for each in (row.theory, row.measured))
        if theory is not None:
            axes.plot(range(1, len(theory) + 1), theory, **style)
            if of == "log10_gradient":
                _draw_band(canvas, axes, row, theory, style)
        if measured is not None:
            every = max(1, len(measured) // _DOTS)
            dots = {"marker": "o", "markersize": 2.2, "linestyle": "", "color": style["color"]}
            axes.plot(range(1, len(measured) + 1, every), measured[::every], **dots, zorder=4)

    def finish(axes: Any) -> str:
        whole_numbers(axes.xaxis)
        return ""

    known = [label for label in labels if getattr(rows[label].theory, of) is not None]
    return Panel(_QUANTITIES[of], "layer", line, finish, named=known if of != "log10_q" else ())


def _drawn(of: str, values: Any) -> Any:
    """Return the values to draw: finite, or NaN."""
    if values is None:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        if of == "one_minus_c":
            values = np.log10(np.where(values < _ROUNDING, np.nan, values))
    return np.where(np.isfinite(values), values, np.nan)


def _draw_band(canvas: Canvas, axes: Any, row: Row, theory: Any, style: Style) -> None:
    """Draw where 95 % of nets of this width are expected, if theory holds for them."""
    shift = row.prospect.log10_gradient_corrected
    if row.beyond_theory or shift is None or not math.isfinite(theory[0]):
        return
    left = np.linspace(1, 0, len(theory))  # both grow with the number of layers above
    middle = theory + (shift - theory[0]) * left
    spread = 1.96 * np.sqrt(row.variance * left) / math.log(10)
    colour = mixed(style["color"], canvas.palette.paper, 0.75)
    layers = range(1, len(theory) + 1)
    axes.fill_between(layers, middle - spread, middle + spread, color=colour, linewidth=0, zorder=1)


def _draw_map(canvas: Canvas, axes: Any, edge: Edge, found: Propagation) -> None:
    """Draw chi over the standard deviations of biases and weights, with the edge of chaos."""
    palette = canvas.palette
    rows = [row.prospect for row in found.rows if row.prospect.activation == edge.activation]
    given = [
        (math.sqrt(row.sigma_b2), math.sqrt(row.sigma_w2), row.init)
        for row in rows
        if row.init != "critical" and row.sigma_w2 is not None and row.sigma_b2 is not None
    ]
    most_w = max([3.0, *(1.15 * w for _, w, _ in given)])
    most_b = max([1.0, *(1.15 * b for b, _, _ in given)])
    biases, weights = np.linspace(0, most_b, _PIXELS), np.linspace(0.1, most_w, _PIXELS)
    with np.errstate(divide="ignore"):
        chi = np.log10(edge.chi_at(weights**2, biases**2))
    shown = np.clip(chi, -_FARTHEST, _FARTHEST)
    axes.set_facecolor(palette.paper)
    axes.patch.set(hatch="////", edgecolor=palette.faint)
    mesh = axes.pcolormesh(
        biases, weights, np.ma.masked_invalid(shown), cmap="RdBu_r", vmin=-2, vmax=2, zorder=1
    )
    mesh.set_rasterized(True)
    for stable, dash in ((True, "-"), (False, "--")):
        points = [
            (p.sigma_b2**0.5, p.sigma_w2**0.5)
            if (p.stability == STABLE) == stable
            else (np.nan,) * 2
            for p in edge.points
        ]
        if points:
            axes.plot(*np.array(points).T, linestyle=dash, color=palette.ink, linewidth=1.3)
    if edge.points and edge.is_point:
        axes.plot([0], [edge.points[0].sigma_w2 ** 0.5], "D", color=palette.ink, markersize=5)
    for b, w, init in given:
        axes.plot([b], [w], "o", color=palette.ink, markersize=3.5, clip_on=False, zorder=5)
        axes.annotate(init, (b, w), (5, 3), textcoords="offset points", fontsize=7, zorder=5)
    axes.set_xlim(0, most_b)
    axes.set_ylim(0.1, most_w)
    axes.set_title(edge.activation)
    axes.set_xlabel("sigma_b")
    axes.set_ylabel("sigma_w")
    if axes.get_subplotspec().is_last_col():
        bar = axes.figure.colorbar(mesh, ax=axes)
        bar.set_ticks([-2, -1, 0, 1, 2], labels=["0.01", "0.1", "1", "10", "100"])


def _as_text(found: Propagation, width: int, colour: bool) -> str:
    """Draw the gradient by layer as text: by theory, or as measured if there is none."""
    lines = {}
    for row in found.rows:
        both = (row.theory.log10_gradient, row.measured.log10_gradient)
        values = next((each for each in both if each is not None), None)
        if values is not None and np.isfinite(values).all():
            lines[f"{row.prospect.activation}, {row.prospect.init}"] = values
    if not lines:
        return "nothing to draw: no gradient is finite"
    looks = terminal_styles(list(lines), colour=colour)
    figure = terminal_figure(width, colour, "layer", "log10")
    figure.origin = False
    figure.set_x_limits(1, 1.05 * (found.config.layers + 1))
    least, most = min(map(min, lines.values())), max(map(max, lines.values()))
    figure.set_y_limits(least - 0.05, most + 0.05)
    for label, y in lines.items():
        layers = np.arange(1, len(y) + 1)
        terminal_line(figure, layers, y, label, looks[label], colour)
    return f"the gradient's variance by layer\n{figure.show(legend=True)}"
