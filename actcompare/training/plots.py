"""Figures of `train`: loss, metric and units over epochs."""

from typing import Any

from actcompare.output.canvas import Canvas, Style, mixed
from actcompare.output.plotting import Picture
from actcompare.output.scales import said_metric, scale_metric, scaled, whole_numbers, zoomed
from actcompare.output.styles import terminal_styles
from actcompare.output.terminal import terminal_figure, terminal_line
from actcompare.training.run import Training

_PARTS = ("validation", "train")

_UNITS = ("zero_dead", "gradient_dead", "constant", "dormant", "saturated")


def course_picture(training: Training) -> Picture:
    """Draw loss, metric and the verdicts on units over epochs, side by side."""
    config, metric = training.config, _named(training.metric)
    watched = bool(training.history[0].layers)

    def draw(canvas: Canvas) -> None:
        (strip,) = canvas.strips([""], [1])
        panels = strip.subplots(1, 2 + watched)
        _draw_loss(canvas, panels[0], training)
        _draw_metric(canvas, panels[1], training)
        if watched:
            _draw_units(canvas, panels[2], training)
        for axes in panels:
            axes.set_xlabel("\n".join(filter(None, ("epoch", axes.get_xlabel()))))
            whole_numbers(axes.xaxis)

    what = f"loss, {metric} and units" if watched else f"loss and {metric}"
    sizes = (config.input_size, *[config.hidden] * config.depth, config.output_size)
    trained = config.model or "SimpleNet"
    layers = "" if config.model else f"layers of {'-'.join(map(str, sizes))} units, "
    note = (
        f"{layers}{config.optimizer} with learning rate {config.lr:g}, batches of"
        f" {config.batch_size}, {config.dtype}, seed {config.seed}"
    )
    if training.diverged:
        note += f"; diverged in epoch {training.diverged.epoch}"
    return Picture(
        f"Training of {trained} with {config.activation} on {config.data}: {what}",
        note,
        [config.activation],
        (3.1 * (2 + watched), 2.6),
        draw,
        lambda width, colour: _as_text(training, width, colour),
    )


def _draw_parts(canvas: Canvas, axes: Any, training: Training, of: str) -> None:
    """Draw both parts over epochs: validation in the activation's usual style, train faded."""
    course, style = training.course(), canvas.styles[training.config.activation]
    faded: Style = {"color": mixed(style["color"], canvas.palette.paper, 0.5), "linestyle": "-"}
    for part, look in zip(_PARTS, (Style(), faded), strict=True):
        _draw_line(axes, course["epoch"], course[f"{part}_{of}"], part, style | look)
    canvas.name_ends(axes, _PARTS)


def _draw_line(axes: Any, x: Any, y: Any, label: str, style: Style) -> None:
    points = {"marker": "o", "markersize": 3} if len(x) < 12 else {}
    axes.plot(x, y, label=label, **points, **style)


def _draw_loss(canvas: Canvas, axes: Any, training: Training) -> None:
    which = "cross-entropy" if training.data.classes else "mean squared error"
    axes.set_title(f"loss ({which})")
    _draw_parts(canvas, axes, training, "loss")
    scaled(axes.yaxis, "{:.3g}".format)


def _draw_metric(canvas: Canvas, axes: Any, training: Training) -> None:
    axes.set_title(_named(training.metric))
    _draw_parts(canvas, axes, training, "metric")
    curves = [training.course()[f"{part}_metric"] for part in _PARTS]
    shown = zoomed([y for curve in curves for y in curve], [curve[-1] for curve in curves], 0.02)
    scale_metric(axes, training.metric, shown)
    if shown is not None and curves[0][0] < shown[0]:
        first = said_metric(training.metric, curves[0][0])
        axes.set_xlabel(f"begins below the axis, at {first}")


def _draw_units(canvas: Canvas, axes: Any, training: Training) -> None:
    course, dead = training.course(), canvas.styles[training.config.activation]
    axes.set_title(f"hidden units, of {course['units'][0]}")
    quiet = {"color": canvas.palette.quiet, "linewidth": 1.2}
    looks = (dead, dead, quiet, quiet | {"linestyle": "--"}, quiet | {"linestyle": ":"})
    together: dict[tuple[int, ...], list[str]] = {}
    for name in _UNITS:
        together.setdefault(tuple(course[name]), []).append(name)
    for counts, names in together.items():
        label = "\n".join(map(_said, names))
        _draw_line(axes, course["epoch"], counts, label, looks[_UNITS.index(names[0])])
    most = max(map(max, together))
    axes.set_ylim(-0.02 * most, 1.06 * max(most, course["units"][0] / 8))
    whole_numbers(axes.yaxis)
    canvas.name_ends(axes, ["\n".join(map(_said, names)) for names in together.values()])


def _named(metric: str) -> str:
    return metric.replace("^2", "²")


def _said(name: str) -> str:
    return name.replace("_", "-")


def _as_text(training: Training, width: int, colour: bool) -> str:
    """Draw loss, metric and units over epochs as text."""
    course, drawn = training.course(), []
    panels = {
        "loss": {part: course[f"{part}_loss"] for part in _PARTS},
        training.metric: {part: course[f"{part}_metric"] for part in _PARTS},
    }
    if "units" in course:
        panels[f"units, of {course['units'][0]}"] = {_said(name): course[name] for name in _UNITS}
    for title, lines in panels.items():
        looks = terminal_styles(list(lines), colour=colour)
        figure = terminal_figure(width, colour, "epoch", title)
        figure.origin = False
        figure.set_x_limits(0, 1.05 * max(1, course["epoch"][-1]))
        if title.startswith("units"):
            figure.set_y_limits(0, 1.1 * max(1, *map(max, lines.values())))
        for label, y in lines.items():
            terminal_line(figure, course["epoch"], y, label, looks[label], colour)
        drawn.append(f"{title}\n{figure.show(legend=True)}")
    return "\n\n".join(drawn)
