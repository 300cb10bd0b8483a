"""The tables of a study for people: turn tidy columns into grids of formatted cells."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from actcompare.output.render import Grid, cell
from actcompare.studies.comparison import BASELINE, UNTRAINED
from actcompare.studies.explain import cannot_tell, number
from actcompare.studies.records import StudyConfig
from actcompare.table import Columns
from actcompare.text import duration, percent, seconds


def answer_grid(
    columns: Columns, metric: str, config: StudyConfig, *, chosen_on: str = "the validation set"
) -> Grid:
    """Return the answer: how each activation does, and how it differs from the baseline.

    Args:
        columns: The tidy records.
        metric: The name of the metric.
        config: The config of the study.
        chosen_on: What the learning rates were chosen on.
    """
    axes, fit = _axes(columns), config.fit is not None
    rows = [
        [
            *_key(columns, axes, i),
            _verdict(columns, metric, config, i),
            *([cell(columns["lr"][i], 3)] if "lr" in columns else []),
            _between(columns, "mean", i),
            _decimal(columns["iqm"][i], fit),
            _difference(columns, i),
            *(
                "" if columns[p][i] is None else f"{columns[p][i]:.2g}"
                for p in ("p_value", "p_holm", "p_sign_flip")
            ),
        ]
        for i in range(len(columns["activation"]))
    ]
    titles = ["activation", *axes, "verdict", *["lr"] * ("lr" in columns)]
    titles += [f"{'' if fit else 'test '}{metric} (95 %)", "IQM"]
    most, compared = max(columns["seeds"]), sum(pairs is not None for pairs in columns["pairs"])
    caption = (
        f"{most} paired seed{'s' * (most != 1)}"
        f"{f'; lr chosen on {chosen_on}' * (len(config.lrs) > 1)}; margin {config.margin:g}."
        " IQM: mean of the middle half of the seeds."
    )
    if compared:
        adjusted = "p Holm and the interval: Holm-adjusted" if compared > 1 else "p Holm: adjusted"
        caption += (
            f" difference, p: paired t, over seeds{' and test samples' * (not fit)}."
            f" {adjusted} for {compared}"
            f" comparison{'s' * (compared != 1)}. p flips: sign flips, unadjusted."
        )
    titles += ["difference (95 %)", "p", "p Holm", "p flips"]
    return Grid(titles, rows, keys=1 + len(axes), caption=caption)


def runs_grid(columns: Columns) -> Grid:
    """Return the outcome of the runs at the chosen learning rates, and the time of a step."""
    axes = _axes(columns)
    if "seconds" in columns:
        rows = [
            [
                *_key(columns, axes, i),
                *(str(columns[name][i]) for name in ("seeds", "diverged")),
                seconds(columns["seconds"][i]),
                _relative(columns, "seconds", i),
            ]
            for i in range(len(columns["activation"]))
        ]
        return Grid(["activation", "seeds", "diverged", "run", "run, relative"], rows)
    rows = [
        [
            *_key(columns, axes, i),
            str(columns["seeds"][i]),
            str(columns["diverged"][i]),
            percent(columns["zero_dead_share"][i], 1),
            percent(columns["gradient_dead_share"][i], 1),
            seconds(columns["step_s"][i]),
            _relative(columns, "step_s", i),
        ]
        for i in range(len(columns["activation"]))
    ]
    titles = ["activation", *axes, "seeds", "diverged", "zero-dead", "gradient-dead", "step"]
    return Grid([*titles, "step, relative"], rows, keys=1 + len(axes))


def rate_grid(shared: Columns, chosen: Columns, metric: str) -> Grid:
    """Return the mean test metric at every learning rate, with the chosen rate marked."""
    activations = list(dict.fromkeys(shared["activation"]))
    axes = _axes(shared)
    fit = _is_of_fit(chosen)
    names = [name for name in (*_NET, "lr") if name in shared]
    best = {
        (chosen["activation"][i], *(chosen[name][i] for name in names))
        for i in range(len(chosen["lr"]))
    }
    found: dict[tuple[Any, ...], dict[str, str]] = {}
    for i, activation in enumerate(shared["activation"]):
        setting = tuple(shared[name][i] for name in names)
        text = _decimal(shared["mean"][i], fit)
        if shared["diverged"][i]:
            text += f" ({shared['diverged'][i]} diverged)"
        if (activation, *setting) in best:
            text += " *"
        found.setdefault(setting, {})[activation] = text
    rows = [
        [
            *(str(value) for name, value in zip(names, setting, strict=True) if name in axes),
            cell(setting[-1], 3),
            *(cells.get(activation, "n/a") for activation in activations),
        ]
        for setting, cells in found.items()
    ]
    said = metric if fit else f"test {metric}"
    caption = f"Mean {said} at each learning rate; * marks the chosen rate."
    return Grid([*axes, "lr", *activations], rows, keys=1 + len(axes), caption=caption)


def forecast_grid(columns: Columns, by_workers: Mapping[int, float], memory: str) -> Grid:
    """Return the runs that are left, and how long they will take."""
    axes = _axes(columns)
    rows = [
        [
            *_key(columns, axes, i),
            f"{columns['cells'][i]:,}",
            f"{columns['groups'][i]:,}",
            duration(columns["seconds"][i]),
        ]
        for i in range(len(columns["activation"]))
    ]
    total = [f"{sum(columns[name]):,}" for name in ("cells", "groups")]
    rows.append(["total", *("" for _ in axes), *total, duration(sum(columns["seconds"]))])
    said = ", ".join(
        f"{workers} worker{'s' * (workers != 1)} {duration(taken)}"
        for workers, taken in by_workers.items()
    )
    titles = ["activation", *axes, "runs", "groups", "one worker"]
    return Grid(titles, rows, keys=1 + len(axes), caption=f"Estimate: {said}; {memory}.")


_NET = ("depth", "hidden")


def _is_of_fit(columns: Columns) -> bool:
    """Return whether an answer is of a user's own training, whose units are not watched."""
    return "zero_dead_share" not in columns


def _axes(columns: Columns) -> list[str]:
    return [name for name in _NET if len(set(columns.get(name, ()))) > 1]


def _key(columns: Columns, axes: Sequence[str], i: int) -> list[str]:
    return [str(columns["activation"][i]), *(str(columns[name][i]) for name in axes)]


def _between(columns: Columns, name: str, i: int) -> str:
    middle, low, high = (columns[f"{name}{end}"][i] for end in ("", "_low", "_high"))
    fit = _is_of_fit(columns)
    if middle is None or not math.isfinite(low):
        return _decimal(middle, fit)
    return f"{_decimal(middle, fit)} ({_decimal(low, fit)} to {_decimal(high, fit)})"


def _difference(columns: Columns, i: int) -> str:
    if columns["verdict"][i] == BASELINE:
        return ""
    middle, low, high = (columns[f"difference{end}"][i] for end in ("", "_low", "_high"))
    if middle is None or math.isnan(middle):
        return "n/a"
    fit = _is_of_fit(columns)
    said, below, above = (number(value, "+", fit) for value in (middle, low, high))
    return f"{said} ({below} to {above})" if math.isfinite(low) else said


def _verdict(columns: Columns, metric: str, config: StudyConfig, i: int) -> str:
    row = {name: values[i] for name, values in columns.items()}
    verdict, needed = str(row["verdict"]), row["seeds_needed"]
    if verdict == UNTRAINED and row["activation"] == config.activations[0]:
        return f"{verdict} ({BASELINE})"
    if needed is None:
        return verdict
    about = f"about {needed:,} seeds" if math.isfinite(needed) else "no number of seeds"
    return f"{verdict} ({cannot_tell(metric, config.margin, row) or about})"


def _relative(columns: Columns, time: str, i: int) -> str:
    same = [
        k
        for k in range(len(columns["activation"]))
        if all(columns[name][k] == columns[name][i] for name in _NET if name in columns)
    ]
    first, mine = columns[time][same[0]], columns[time][i]
    return f"{mine / first:.2f}" if first and mine else "n/a"


def _decimal(value: float | None, of_any_size: bool = False) -> str:
    return "n/a" if value is None or math.isnan(value) else number(value, "", of_any_size)
