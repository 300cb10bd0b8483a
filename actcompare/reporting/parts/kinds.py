"""The parts that every report has, in the order in which they run."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from actcompare.benchmark.bench import bench
from actcompare.benchmark.plan import HIDDEN as WIDTHS
from actcompare.benchmark.plan import SIZES
from actcompare.propagation.signal import signal_depth
from actcompare.reporting.parts.functions import measure_functions
from actcompare.reporting.parts.job import Job
from actcompare.reporting.parts.outputs import BATCH_SIZE, COUNTS, SOFTPLUS, is_positive
from actcompare.reporting.parts.training import run_outputs, run_study, run_variations

CASE_S = 1.2
"""Most seconds of a case that is timed."""

LEAST_S, ASIDE_S = 0.15, 0.3
"""Fewest seconds of a case, and those in which it is prepared, for each activation."""

CASES = len(SIZES["cpu"])
"""Sizes of a lone call, on every device."""

Measure = Callable[[Job, float], Any]
"""Runs a part within a number of seconds; raises `NoTimeError` if there are too few."""


@dataclass(frozen=True)
class Kind:
    """A part that every report has."""

    name: str
    title: str
    run: Measure
    weight: float
    """Its share of what is left over, relative to the other parts."""
    least_s: Callable[[Job], float]
    """Seconds that it needs at least."""
    command: Callable[[Job], list[str]]
    """The command that does the same alone."""


def _functions(job: Job, _: float) -> Any:
    return measure_functions(job.activations, job.config.device)


def _bench(job: Job, seconds: float, cases: int, **settings: Any) -> Any:
    config = job.config
    return bench(
        job.activations,
        device=config.device,
        seed=config.seed,
        time_limit=min(CASE_S, max(LEAST_S, seconds / cases - ASIDE_S * len(job.activations))),
        **settings,
    )


def _step(job: Job, seconds: float) -> Any:
    return _bench(job, seconds, 2, passes="step")


def _alone(job: Job, seconds: float) -> Any:
    return _bench(job, seconds, CASES, passes="both")


def _compiled(job: Job, _: float) -> Any:
    return _bench(job, CASE_S, 1, passes="step", mode="compiled", hidden=WIDTHS[0])


def _depth(job: Job, seconds: float) -> Any:
    config = job.config
    return signal_depth(
        job.activations,
        job.source,
        target=config.target,
        task=config.task,
        scale=config.scale,
        device=config.device,
        seed=config.seed,
        time_limit=seconds / 2,
    )


# --- their commands ------------------------------------------------------------------------------


def _study_command(job: Job) -> list[str]:
    config = job.config
    acts = config.with_activations(always=True)
    words = ["study", *config.with_data(), *acts, *config.with_machine()]
    return words + ([] if config.store is None else ["--store", config.store])


def _bench_command(*words: str) -> Callable[[Job], list[str]]:
    def command(job: Job) -> list[str]:
        config = job.config
        return ["bench", *config.with_activations(), *config.with_machine(), *words]

    return command


def _table_command(job: Job) -> list[str]:
    device = [] if job.config.device == "cpu" else ["--device", job.config.device]
    return ["table", *job.config.with_activations(), *device]


def _depth_command(job: Job) -> list[str]:
    config = job.config
    return ["depth", *config.with_data(), *config.with_activations(), *config.with_machine()]


def _outputs_command(job: Job) -> list[str]:
    config = job.config
    data = config.with_data() if is_positive(job.dataset) else ["--data", COUNTS]
    words = ["train", *data, "--output-act", SOFTPLUS, "--batch-size", str(BATCH_SIZE)]
    return [*words, *config.with_machine()]


def _variations_command(job: Job) -> list[str]:
    plain = replace(job, config=replace(job.config, store=None))
    return [*_study_command(plain), "--optimizer", "adam"]


def _at_least(seconds: float, for_each: float = 0.0) -> Callable[[Job], float]:
    """Return a lower bound of a part's seconds: a constant, and more for each activation."""
    return lambda job: seconds + for_each * len(job.activations)


def _least_of_study(job: Job) -> float:
    store = job.config.store
    return 0.5 if store is not None and Path(store).exists() else _at_least(1, 0.5)(job)


KINDS = (
    Kind("functions", "the functions themselves", _functions, 0, _at_least(0.5), _table_command),
    Kind(
        "step",
        "cost of a training step",
        _step,
        4,
        _at_least(2 * LEAST_S, 2 * ASIDE_S),
        _bench_command("--pass", "step"),
    ),
    Kind("study", "training, with paired seeds", run_study, 16, _least_of_study, _study_command),
    Kind(
        "alone",
        "cost of a lone call",
        _alone,
        6,
        _at_least(CASES * LEAST_S, CASES * ASIDE_S),
        _bench_command("--pass", "both"),
    ),
    Kind("depth", "signal through deep nets", _depth, 10, _at_least(0, 1), _depth_command),
    Kind(
        "outputs", "outputs that must be positive", run_outputs, 8, _at_least(1.5), _outputs_command
    ),
    Kind("variations", "other settings", run_variations, 24, _at_least(1, 1), _variations_command),
    Kind(
        "compiled",
        "cost when compiled",
        _compiled,
        0,
        _at_least(13, 2),
        _bench_command("--pass", "step", "--mode", "compiled", "--hidden", str(WIDTHS[0])),
    ),
)
"""In the order in which they run."""
