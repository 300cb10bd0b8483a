"""Results that are there already: read them, and compare them as a study does."""

import json
import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from actcompare.errors import ActcompareError, UsageError
from actcompare.files.reading import reading
from actcompare.files.tabular import ENDINGS, read_frame
from actcompare.machine.environment import describe_environment
from actcompare.studies.fits.records import METRIC, VALIDATION, FitConfig
from actcompare.studies.records import Cell, CellResult, StudyConfig
from actcompare.studies.study import Study, report
from actcompare.text import listed

if TYPE_CHECKING:
    import pandas as pd

_LABELS = ("activation", "label")


def study_results(
    results: "str | Path | pd.DataFrame | Iterable[Mapping[str, Any]]",
    *,
    activations: Sequence[str] | None = None,
    metric: str = METRIC,
    higher_is_better: bool = True,
    margin: float | None = None,
) -> Study:
    """Compare results that are there already, with the statistics of `study`.

    Differences are paired where seeds match.

    Args:
        results: A DataFrame, records, or a .csv, .tsv, .parquet or .json file of them, with the
            columns `activation` (or `label`), `seed` and the metric, and, if there are any, `lr`
            and `validation`.
        activations: The activations to compare, the baseline first; by default all, in the order
            in which they appear.
        metric: Name of the metric's column.
        higher_is_better: Whether more of the metric is better.
        margin: Differences of the metric within this margin do not matter; by default 0.

    Raises:
        UsageError: A column or an activation is missing, or the margin is invalid.
        ActcompareError: The file cannot be read, or a row is invalid; names the row.
    """
    if margin is not None and not 0 <= margin < math.inf:
        raise UsageError(f"margin must be 0 or more, and finite, not {margin}")
    named = isinstance(results, str | Path)
    where = str(results) if named else "results"
    records = _read(Path(results)) if isinstance(results, str | Path) else _records(results)
    found = _runs(records, metric, where)
    labels = tuple(dict.fromkeys(each.cell.activation for each in found))
    if activations is not None:
        if missing := [each for each in activations if each not in labels]:
            raise UsageError(f"{where}: no {listed(missing)}, but {listed(labels)}")
        labels = tuple(dict.fromkeys(activations))
        found = [each for each in found if each.cell.activation in labels]
    seeds = tuple(sorted({each.cell.seed for each in found}))
    try:
        config = StudyConfig(
            activations=labels,
            seeds=len(seeds),
            lrs=tuple(sorted({each.cell.lr for each in found})),
            depths=(0,),
            hiddens=(0,),
            margin=margin or 0.0,
            training=FitConfig(where, {}, metric, higher_is_better, seeds[0], 1, seeds),
            fingerprint="",
        )
    except ValueError as error:
        raise ActcompareError(f"{where}: {error}") from error
    environment = replace(describe_environment(torch.device("cpu")), threads=1)
    return report(config, environment, metric, found)


def _read(path: Path) -> list[dict[Hashable, Any]]:
    if path.suffix.lower() in ENDINGS:
        return _records(read_frame(path))
    if path.suffix.lower() != ".json":
        raise UsageError(f"{path} is not a {', '.join(ENDINGS)} or .json file")
    with reading(path):
        text = path.read_bytes()
    try:
        return _records(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise ActcompareError(f"{path} is not JSON: {error}") from None
    except UsageError as error:
        raise ActcompareError(f"{path}: {error}") from None


def _records(results: Any) -> list[dict[Hashable, Any]]:
    """Return records of a DataFrame, or of what iterates over them."""
    if hasattr(results, "to_dict"):
        return [dict(record) for record in results.to_dict(orient="records")]
    records: list[Any] = list(results) if isinstance(results, Iterable) else [results]
    if isinstance(results, Mapping) or not all(isinstance(each, Mapping) for each in records):
        raise UsageError("results are a list of records, such as {'activation': 'relu', ...}")
    return [dict(record) for record in records]


def _runs(records: Sequence[Mapping[Hashable, Any]], metric: str, where: str) -> list[CellResult]:
    """Return the results of the records, one per activation, learning rate and seed."""
    columns = list(dict.fromkeys(str(name) for record in records for name in record))
    if not records:
        raise ActcompareError(f"{where}: no rows")
    label = next((name for name in _LABELS if name in columns), _LABELS[0])
    for name in (label, "seed", metric):
        if name not in columns:
            cure = ": name one with --metric" if name == metric else ""
            raise UsageError(f"{where}: no column {name}, but {listed(columns)}{cure}")
    found: dict[Cell, CellResult] = {}
    for i, record in enumerate(records, 1):
        place = f"{where}, record {i}"
        activation = record.get(label)
        if not isinstance(activation, str) or not activation.strip():
            raise ActcompareError(f"{place}: {label} should be a name, not {activation!r}")
        seed = _number(record.get("seed"), f"{place}: seed")
        if not (seed.is_integer() and 0 <= seed < 2**63):
            raise ActcompareError(f"{place}: seed should be a whole number from 0, not {seed:g}")
        lr = _number(record.get("lr"), f"{place}: lr") if "lr" in columns else 0.0
        if "lr" in columns and not 0 < lr < math.inf:
            raise ActcompareError(f"{place}: lr should be above 0, not {lr:g}")
        names = [metric, *[VALIDATION] * (VALIDATION in columns)]
        numbers = {name: _number(record.get(name), f"{place}: {name}") for name in names}
        cell = Cell(activation.strip(), 0, 0, lr, int(seed))
        if cell in found:
            raise ActcompareError(
                f"{place}: {cell.activation} with seed {cell.seed}"
                f"{f' and lr {lr:g}' * (lr > 0)} is there twice"
            )
        found[cell] = CellResult.of_fit(cell, [numbers[metric]], numbers)
    return list(found.values())


def _number(value: object, what: str) -> float:
    """Return a number; NaN for one that is missing.

    Raises:
        ActcompareError: It is something else.
    """
    if value is None:
        return math.nan
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ActcompareError(f"{what} should be a number, not {str(value)[:40]!r}")
    return float(value)
