"""The tables of `train`."""

from collections.abc import Mapping, Sequence
from typing import Any

from actcompare.output.render import Grid, cell
from actcompare.table import Columns
from actcompare.text import percent, seconds
from actcompare.units.wording import _VERDICTS

# --- train ---------------------------------------------------------------------------------------

MOST_EPOCHS = 10
"""A longer course is shown at so many epochs, evenly spaced, the first and the last among them."""


def score_grid(metrics: Mapping[str, Any], samples: Sequence[int]) -> Grid:
    """Loss and metric of each part."""
    parts = ("train", "validation", "test")
    rows = [
        [
            part,
            f"{count:,}",
            cell(metrics[f"{part}_loss"], 4),
            cell(metrics[f"{part}_metric"], 4),
        ]
        for part, count in zip(parts, samples, strict=True)
    ]
    speed = metrics["samples_per_s"]
    caption = f"{metrics['epochs']} epochs"
    if speed:
        caption += f", {seconds(metrics['seconds'])} in steps, {speed:,.0f} samples a second"
    return Grid(["part", "samples", "loss", metrics["metric"]], rows, caption=caption + ".")


def unit_grid(first: Columns, last: Columns) -> Grid:
    """Of each hidden layer how many units each verdict holds for, at initialisation and now."""
    rows = []
    for i, layer in enumerate(last["layer"]):
        verdicts = [f"{first[name][i]} -> {last[name][i]}" for name in _VERDICTS]
        sparsity = f"{percent(first['sparsity'][i], 0)} -> {percent(last['sparsity'][i], 0)}"
        norms = f"{cell(first['gradient_norm'][i], 2)} -> {cell(last['gradient_norm'][i], 2)}"
        rows.append([str(layer), str(last["units"][i]), *verdicts, sparsity, norms])
    titles = ["layer", "units", *_VERDICTS.values(), "sparsity", "gradient norm"]
    n, bound = last["samples"][0], last["firing_rate_bound"][0]
    caption = (
        f"Initialisation -> now, on {n:,} samples: a unit silent on all of them fires at most"
        f" {percent(bound, 2)} of the time (95 %)."
    )
    return Grid(titles, rows, caption=caption)


def course_grid(course: Columns, metric: str) -> Grid:
    """The run over its epochs."""
    total = len(course["epoch"])
    steps = min(total, MOST_EPOCHS) - 1
    shown = [round(i * (total - 1) / steps) for i in range(steps + 1)] if steps else [0]
    titles = ["epoch", "train loss", "validation loss", f"validation {metric}"]
    rows = [
        [
            str(course["epoch"][i]),
            *(cell(course[name][i], 4) for name in _SCORES),
        ]
        for i in shown
    ]
    if "died" in course:
        titles += ["zero-dead", "gradient-dead", "died", "revived"]
        for row, last, i in zip(rows, [-1, *shown], shown, strict=False):
            row += [str(course["zero_dead"][i]), str(course["gradient_dead"][i])]
            row += [str(sum(course[name][last + 1 : i + 1])) for name in ("died", "revived")]
    return Grid(titles, rows)


_SCORES = ("train_loss", "validation_loss", "validation_metric")
