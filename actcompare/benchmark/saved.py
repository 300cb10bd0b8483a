"""Save a benchmark with all its rounds, and load it again."""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from actcompare.benchmark.bench import Benchmark
from actcompare.benchmark.records import BenchConfig, Case, Cost, Measurement
from actcompare.errors import ActcompareError
from actcompare.machine.environment import Environment
from actcompare.machine.timing import Timings

FORMAT = "actcompare bench"

FORMAT_VERSION = 1


def dumps(benchmark: Benchmark) -> str:
    """Return the benchmark as JSON text."""
    measurements = [
        asdict(m)
        | {
            "timings": m.timings
            and asdict(m.timings)
            | {"seconds": m.timings.seconds.tolist(), "order": m.timings.order.tolist()}
        }
        for m in benchmark.measurements
    ]
    return json.dumps(
        {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "config": asdict(benchmark.config),
            "environment": benchmark.environment.as_dict(),
            "measurements": measurements,
        }
    )


def load(path: Path) -> Benchmark:
    """Read a saved benchmark.

    Raises:
        ActcompareError: The file does not exist, is damaged, has another format version, or was
            not written by `dumps`.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ActcompareError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ActcompareError(
            f"{path} is damaged or was not written by `actcompare bench --save`: {error}"
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ActcompareError(f"{path} was not written by `actcompare bench --save`")
    if content.get("format_version") != FORMAT_VERSION:
        raise ActcompareError(
            f"{path} has format version {content.get('format_version')}, but this actcompare reads"
            f" version {FORMAT_VERSION}: measure again, or use the actcompare that wrote it"
        )
    try:
        benchmark = _benchmark(content)
        benchmark.reading()  # uses every number in the file
        benchmark.columns()
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise ActcompareError(
            f"{path} is damaged ({type(error).__name__}: {error}): measure again with --save"
        ) from error
    if not benchmark.measurements:
        raise ActcompareError(f"{path} contains no measurement: measure again with --save")
    return benchmark


def _benchmark(content: dict[str, Any]) -> Benchmark:
    config = content["config"]
    measurements = tuple(_measurement(m) for m in content["measurements"])
    return Benchmark(
        BenchConfig(
            **config
            | {
                "activations": tuple(config["activations"]),
                "cases": tuple(_case(case) for case in config["cases"]),
            }
        ),
        Environment(**content["environment"]),
        measurements,
    )


def _measurement(content: dict[str, Any]) -> Measurement:
    costs = tuple(Cost(**cost) for cost in content["costs"])
    timings = content["timings"] and _timings(content["timings"])
    if timings and len(timings.labels) != sum(not cost.error for cost in costs) + 1:
        raise ValueError("the rounds do not match the activations")
    return Measurement(_case(content["case"]), costs, timings, content["new_pages"])


def _case(content: dict[str, Any]) -> Case:
    case = Case(**content | {"shape": tuple(content["shape"])})
    if not all(isinstance(length, int) and length > 0 for length in case.shape):
        raise ValueError(f"shape {case.shape}")
    return case


def _timings(content: dict[str, Any]) -> Timings:
    timings = Timings(
        **content
        | {
            "labels": tuple(content["labels"]),
            "calls": tuple(content["calls"]),
            "seconds": np.array(content["seconds"], dtype=np.float64),
            "order": np.array(content["order"], dtype=np.int64),
        }
    )
    columns = len(timings.labels) + 1
    if timings.seconds.shape != timings.order.shape or timings.seconds.shape[1:] != (columns,):
        raise ValueError("the rounds do not match the activations")
    if not (timings.seconds > 0).all() or not math.isfinite(timings.seconds.sum()):
        raise ValueError("times must be positive and finite")
    return timings
