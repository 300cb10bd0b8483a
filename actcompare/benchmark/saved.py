"""Save a benchmark with all its rounds, and load it again."""

import json
from dataclasses import asdict
from pathlib import Path

from actcompare.benchmark.bench import Benchmark
from actcompare.errors import ActcompareError
from actcompare.files.saved import checked, read_json

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
    content = read_json(path, FORMAT, FORMAT_VERSION, "actcompare bench --save")
    del content["format"], content["format_version"]
    benchmark = checked(Benchmark, content, path, "measure again with --save")
    if not benchmark.measurements:
        raise ActcompareError(f"{path} contains no measurement: measure again with --save")
    return benchmark
