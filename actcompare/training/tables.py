"""The tables of `train`."""

from collections.abc import Mapping, Sequence
from typing import Any

from actcompare.output.render import Grid, cell
from actcompare.table import Columns
from actcompare.text import percent, seconds
from actcompare.training.records import Example
from actcompare.units.wording import _VERDICTS, LEGEND

MOST_INPUTS = 8
"""An example with more inputs shows the first ones."""

# --- train ---------------------------------------------------------------------------------------

MOST_EPOCHS = 10
"""A longer run is shown at this many evenly spaced epochs, including the first and the last."""


def score_grid(metrics: Mapping[str, Any], samples: Sequence[int]) -> Grid:
    """Return the table of loss and metric on each split."""
    parts = ("train", "validation", "test")
    rows = [
        [part, f"{count:,}", cell(metrics[f"{part}_loss"], 4), cell(metrics[f"{part}_metric"], 4)]
        for part, count in zip(parts, samples, strict=True)
    ]
    speed = metrics["samples_per_s"]
    caption = f"{metrics['epochs']} epoch{'s' * (metrics['epochs'] != 1)}"
    if speed:
        caption += f", {seconds(metrics['seconds'])} in training steps ({speed:,.0f} samples/s)"
    return Grid(["split", "samples", "loss", metrics["metric"]], rows, caption=caption + ".")


def unit_grid(first: Columns, last: Columns) -> Grid:
    """Return the table of verdicts: units per hidden layer, at initialisation and now."""
    rows = []
    for i, layer in enumerate(last["layer"]):
        verdicts = [f"{first[name][i]} -> {last[name][i]}" for name in _VERDICTS]
        sparsity = f"{percent(first['sparsity'][i], 0)} -> {percent(last['sparsity'][i], 0)}"
        norms = f"{cell(first['gradient_norm'][i], 2)} -> {cell(last['gradient_norm'][i], 2)}"
        rows.append([str(layer), str(last["units"][i]), *verdicts, sparsity, norms])
    titles = ["layer", "units", *_VERDICTS.values(), "sparsity", "gradient norm"]
    caption = f"Units at initialisation -> now, on {last['samples'][0]:,} samples. {LEGEND}"
    return Grid(titles, rows, caption=caption)


def course_grid(course: Columns, metric: str) -> Grid:
    """Return the table of scores and dead units by epoch."""
    total = len(course["epoch"])
    steps = min(total, MOST_EPOCHS) - 1
    shown = [round(i * (total - 1) / steps) for i in range(steps + 1)] if steps else [0]
    titles = ["epoch", "train loss", "validation loss", f"validation {metric}"]
    rows = [
        [str(course["epoch"][i]), *(cell(course[name][i], 4) for name in _SCORES)] for i in shown
    ]
    if "died" in course:
        titles += ["zero-dead", "gradient-dead", "died", "revived"]
        for row, last, i in zip(rows, [-1, *shown], shown, strict=False):
            row += [str(course["zero_dead"][i]), str(course["gradient_dead"][i])]
            row += [str(sum(course[name][last + 1 : i + 1])) for name in ("died", "revived")]
    return Grid(titles, rows)


_SCORES = ("train_loss", "validation_loss", "validation_metric")


def example_grid(examples: Sequence[Example]) -> Grid:
    """Return samples of the test set: input, target, and what the net makes of them."""
    rows = [
        [
            str(each.sample),
            _numbers(each.input),
            each.target if isinstance(each.target, str) else _numbers(each.target),
            _numbers(each.output)
            if each.predicted is None
            else f"{each.predicted} ({percent(max(each.output), 1)})",
        ]
        for each in examples
    ]
    caption = "Samples of the test set, in the units of the data; sample: its row, from 0."
    if examples[0].predicted is not None:
        caption += " output: the most probable class, with its probability."
    return Grid(["sample", "input", "target", "output"], rows, caption=caption)


def _numbers(values: Sequence[float | None]) -> str:
    """Write a vector, or its beginning."""
    text = ", ".join(cell(value, 4) for value in values[:MOST_INPUTS])
    return text + (f", ... ({len(values)})" if len(values) > MOST_INPUTS else "")
