"""Benchmarks made up of given times, for tests of what is done with them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from actcompare.benchmark.bench import Benchmark
from actcompare.benchmark.records import COPY, BenchConfig, Case, Cost, Measurement
from actcompare.machine.environment import Environment
from actcompare.machine.timing import Timings

CASE = Case("cpu", "float32", (1000,), "forward", "eager", "hot", "warm", "contiguous", "normal")
HERE = Environment("0", "2.0", "3.11", "Linux", "a CPU", 2, 2, "cpu", "a CPU")


def times(
    seconds: Mapping[str, float], *, rounds: int = 100, noise: float = 0.005, seed: int = 0
) -> Timings:
    """Rounds with lognormal noise around given seconds; the first one's control at the end."""
    rng = np.random.default_rng(seed)
    middle = np.array([*seconds.values(), next(iter(seconds.values()))])
    table = middle * np.exp(rng.normal(0, noise, (rounds, len(middle))))
    order = np.tile(np.arange(len(middle)), (rounds, 1))
    return Timings(tuple(seconds), table, order, (1,) * len(seconds), "time")


def benchmark(
    relu: float = 1e-3,
    softplus: float = 2e-3,
    copy: float = 1e-3,
    *,
    case: Case = CASE,
    cost: Mapping[str, Any] = {},
    new_pages: float | None = None,
    margin: float = 0.01,
    **options: Any,
) -> Benchmark:
    """One case with two activations; `cost` says more of both."""
    timings = times({"0": relu, "1": softplus, COPY: copy}, **options)
    known = {"traffic_bytes": 8000, "peak_bytes": 4000} | dict(cost)
    costs = tuple(Cost(label, **known) for label in ("relu", "softplus"))
    config = BenchConfig(("relu", "softplus"), (case,), 2, 0, 1.0, 0.005, margin)
    return Benchmark(config, HERE, (Measurement(case, costs, timings, new_pages),))
