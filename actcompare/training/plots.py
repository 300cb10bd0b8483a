"""The figures of `train`: loss, metric and units over epochs."""

from pathlib import Path
from typing import Any

from actcompare.output.plotting import COLOURS, DASHES, terminal_figure, terminal_line, write_figure
from actcompare.table import Columns

# --- train ---------------------------------------------------------------------------------------

_COURSE: dict[str, tuple[str, ...]] = {
    "loss": ("train_loss", "validation_loss"),
    "metric": ("train_metric", "validation_metric"),
    "units": ("zero_dead", "gradient_dead", "constant", "dormant", "saturated"),
}


def write_course(course: Columns, metric: str, path: Path) -> None:
    """Write loss, metric and unit verdicts over epochs as panels of one figure.

    Args:
        course: tidy columns of a training, one record per epoch.
        metric: what the metric is called.
        path: the file; its ending chooses SVG, PNG or PDF.

    Raises:
        ActcompareError: the file cannot be written; and what check_figure raises.
    """
    panels = _course_panels(course, metric)

    def draw(figure: Any) -> None:
        for i, (title, names) in enumerate(panels.items()):
            axes = figure.add_subplot(1, len(panels), i + 1)
            for k, name in enumerate(names):
                style: Any = {"color": COLOURS[k], "linestyle": DASHES[k % len(DASHES)]}
                label = _line_label(name)
                axes.plot(course["epoch"], course[name], label=label, linewidth=1.4, **style)
            axes.set_xlabel("epoch")
            axes.set_title(title, fontsize=9)
            axes.spines[["top", "right"]].set_visible(False)
            axes.legend(frameon=False, fontsize=8)

    write_figure(path, (3.4 * len(panels), 2.9), draw)


def terminal_course(course: Columns, metric: str, width: int, *, colour: bool) -> str:
    """Loss, metric and unit verdicts over epochs as text."""
    drawn = []
    for title, names in _course_panels(course, metric).items():
        figure = terminal_figure(width, colour, "epoch", title)
        figure.origin = False
        figure.set_x_limits(0, 1.05 * max(1, course["epoch"][-1]))
        if title.startswith("units"):
            figure.set_y_limits(0, 1.1 * max(1, *(max(course[name]) for name in names)))
        for k, name in enumerate(names):
            terminal_line(figure, course["epoch"], course[name], _line_label(name), k, colour)
        drawn.append(f"{title}\n{figure.show(legend=True)}")
    return "\n\n".join(drawn) + "\n"


def _course_panels(course: Columns, metric: str) -> dict[str, list[str]]:
    """For each panel's title the columns it shows."""
    titles = {"metric": metric, "units": f"units, of {course.get('units', [0])[0]}"}
    panels = {
        titles.get(of, of): [name for name in names if name in course]
        for of, names in _COURSE.items()
    }
    return {title: names for title, names in panels.items() if names}


def _line_label(name: str) -> str:
    return name.removesuffix("_loss").removesuffix("_metric").replace("_", "-")
