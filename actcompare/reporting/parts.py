"""The parts of a report, and how they share its budget.

A part gets the share of the time left that its weight has among the parts still to come, and hands
on what it does not use: a study whose runs are in the store already leaves its time to others. The
order is that of importance, so that a small budget, or an interrupt, costs the least.
"""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from actcompare.activations.spec import Activation
from actcompare.benchmark.bench import bench
from actcompare.benchmark.plan import HIDDEN, SIZES
from actcompare.data.datasets import Dataset, Source
from actcompare.errors import ActcompareError, Terminated
from actcompare.machine.cores import usable_cores
from actcompare.machine.environment import Environment
from actcompare.propagation.signal import signal_depth
from actcompare.reporting.evidence import (
    DONE,
    FAILED,
    INTERRUPTED,
    NOT_RUN,
    RUNNING,
    Evidence,
    Part,
    ReportConfig,
    Variation,
)
from actcompare.reporting.functions import measure_functions
from actcompare.reporting.outputs import COUNTS, compare_outputs
from actcompare.studies.forecast import seconds_per_cell
from actcompare.studies.plan import Plan, make_plan
from actcompare.studies.store import Store
from actcompare.studies.study import Study, Work, choose_engine, report
from actcompare.text import duration
from actcompare.training.settings import LEARNING_RATES

Clock = Callable[[], float]

PAGE_S = 5.0
"""Seconds kept back to draw and write the page; at most PAGE_SHARE of the budget."""

PAGE_SHARE = 0.2

SEEDS = (2, 3, 5, 10, 20, 50, 100)
"""Numbers of seeds of a study; the largest that fits is taken, whatever its outcome will be."""

FEW_SEEDS = 10
"""Most seeds of a variation."""

WORKERS_START_S = 2.0
"""Seconds in which worker processes load torch."""

CAREFUL = 1.25
"""Estimates of times are multiplied by this."""

CASE_S = 1.2
"""Most seconds of a case that is timed."""

CASES = len(SIZES["cpu"])

FEW_RATES = (0.3, 1.0, 3.0, 10.0)
"""Learning rates of a variation, as multiples of the default of `train`."""

VARIATIONS: dict[str, dict[str, Any]] = {
    "optimizer adam": {"optimizer": "adam"},
    "Kaiming initialisation": {"init": "kaiming"},
    "3 hidden layers": {"depth": 3},
    "dtype bfloat16": {"dtype": "bfloat16"},
}


class NoTimeError(ActcompareError):
    """A part does not fit into the time that is left."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"it takes about {duration(seconds)}, more than was left of the budget")


@dataclass(frozen=True)
class Job:
    """What every part is given."""

    config: ReportConfig
    activations: tuple[Activation, ...]
    source: Source
    """The data, as the user gave them."""
    dataset: Dataset = field(repr=False)
    clock: Clock

    def training(self) -> dict[str, Any]:
        """Return the settings of training that the user chose."""
        config = self.config
        names = ("target", "task", "scale", "device", "margin", "seed")
        return {name: getattr(config, name) for name in names}


Run = Callable[[Job, float], Any]
"""Runs a part within a number of seconds; raises `NoTimeError` if there are too few."""


@dataclass(frozen=True)
class Kind:
    """A part that every report has."""

    name: str
    title: str
    run: Run
    weight: float
    """Its share of the time left, over the weights of the parts still to come."""
    least_s: float
    """Seconds below which it is not begun."""
    command: Callable[[ReportConfig], list[str]]
    """The command that does the same alone."""


def gather(
    job: Job,
    environment: Environment,
    listen: Callable[[Sequence[Part], float], None] | None = None,
) -> tuple[Evidence, BaseException | None]:
    """Run the parts within the budget.

    Args:
        job: What to report on.
        environment: The machine.
        listen: Called with the parts, and the seconds left, whenever a part begins or ends.

    Returns:
        The evidence, and the interrupt that cut it short, if any.

    Raises:
        ActcompareError: The activations cannot be evaluated at all.
    """
    config = job.config
    parts = tuple(
        Part(kind.name, kind.title, shlex.join(["actcompare", *kind.command(config)]))
        for kind in KINDS
    )
    evidence, stopped = Evidence(config, environment, parts), None
    end = job.clock() + config.budget - min(PAGE_S, PAGE_SHARE * config.budget)

    def settle(name: str, **changes: Any) -> None:
        nonlocal evidence
        parts = tuple(
            replace(part, **changes) if part.name == name else part for part in evidence.parts
        )
        evidence = replace(evidence, parts=parts)
        if listen is not None:
            listen(evidence.parts, end - job.clock())

    for i, kind in enumerate(KINDS):
        if stopped is not None:
            settle(kind.name, state=NOT_RUN, why="interrupted before")
            continue
        left, begin = end - job.clock(), job.clock()
        share = left * kind.weight / sum(other.weight for other in KINDS[i:])
        settle(kind.name, state=RUNNING)
        try:
            if kind.least_s > left:
                raise NoTimeError(kind.least_s)
            result = kind.run(job, max(share, kind.least_s))
            evidence = replace(evidence, **{kind.name: result})
            done: dict[str, str] = {"state": DONE}
        except NoTimeError as error:
            done = {"state": NOT_RUN, "why": str(error)}
        except ActcompareError as error:
            if i == 0:
                raise
            done = {"state": FAILED, "why": str(error)}
        except (KeyboardInterrupt, Terminated) as error:
            done, stopped = {"state": INTERRUPTED, "why": "interrupted"}, error
        settle(kind.name, seconds=job.clock() - begin, **done)
    return evidence, stopped


# --- the parts -----------------------------------------------------------------------------------


def _functions(job: Job, _: float) -> Any:
    return measure_functions(job.activations, job.config.device)


def _bench(job: Job, seconds: float, cases: int, **settings: Any) -> Any:
    config = job.config
    return bench(
        job.activations,
        device=config.device,
        seed=config.seed,
        time_limit=min(CASE_S, seconds / cases),
        **settings,
    )


def _step(job: Job, seconds: float) -> Any:
    return _bench(job, seconds, 2, passes="step")


def _alone(job: Job, seconds: float) -> Any:
    return _bench(job, seconds, CASES, passes="both")


def _compiled(job: Job, _: float) -> Any:
    return _bench(
        job,
        3.0,
        2,
        passes=("both", "step"),
        mode="compiled",
        size=_compiled_size(job.config),
        hidden=HIDDEN[0],
    )


def _compiled_size(config: ReportConfig) -> int:
    return SIZES["cpu" if config.device == "cpu" else "gpu"][1]


def _study(job: Job, seconds: float) -> Study:
    store = job.config.store
    if store is None:
        return _study_within(job, seconds, None, SEEDS)
    with Store(store) as kept:
        return _study_within(job, seconds, kept, SEEDS)


def _variations(job: Job, seconds: float) -> tuple[Variation, ...]:
    end, found = job.clock() + seconds, list[Variation]()
    for i, (setting, changed) in enumerate(VARIATIONS.items()):
        share = (end - job.clock()) / (len(VARIATIONS) - i)
        seeds = [count for count in SEEDS if count <= FEW_SEEDS]
        usual = LEARNING_RATES[job.dataset.task][changed.get("optimizer", "sgd")]
        rates = [float(f"{usual * factor:.3g}") for factor in FEW_RATES]
        try:
            study = _study_within(job, share, None, seeds, lr=rates, **changed)
        except NoTimeError:
            if not found:
                raise
            break
        options = tuple(word for key, value in changed.items() for word in (f"--{key}", str(value)))
        found.append(Variation(setting, options, study))
    return tuple(found)


def _study_within(
    job: Job, seconds: float, store: Store | None, counts: Sequence[int], **changed: Any
) -> Study:
    """Study with as many seeds as fit, chosen before any is run, and stop when time is up."""
    begin = job.clock()
    largest = make_plan(job.activations, job.source, seeds=counts[-1], **job.training() | changed)
    per_cell = seconds_per_cell(largest, job.clock)
    most = usable_cores() if job.config.device == "cpu" else 1
    left, chosen, workers = seconds - (job.clock() - begin), None, 1
    for seeds in counts:
        work = Work(_with_seeds(largest, seeds), store)
        cells = [cell for group in work.groups_left() for cell in group]
        alone = CAREFUL * sum(per_cell[cell.activation] for cell in cells)
        needed = min(alone, WORKERS_START_S + alone / most)
        if needed > left:
            if chosen is None:
                raise NoTimeError(needed)
            break
        chosen, workers = work, 1 if alone <= needed else most
    assert chosen is not None
    return _carry_on(chosen, workers, begin + 2 * seconds, job.clock)


def _with_seeds(plan: Plan, seeds: int) -> Plan:
    return replace(plan, config=replace(plan.config, seeds=seeds))


def _carry_on(work: Work, workers: int, end: float, clock: Clock) -> Study:
    """Run a study to its end, or until a time; then return the study of the complete seeds."""

    def listen(_: Work) -> None:
        if clock() > end:
            raise NoTimeError(clock() - end)

    try:
        return work.carry_on(choose_engine("local", workers, None, None), listen)
    except NoTimeError:
        config = work.plan.config
        for seeds in range(config.seeds - 1, 0, -1):
            fewer = replace(config, seeds=seeds)
            if all(cell in work.outcomes for cell in fewer.cells()):
                return report(fewer, work.environment, work.metric, work.outcomes.values())
        raise


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


def _outputs(job: Job, seconds: float) -> Any:
    begin = job.clock()

    def more(done: int) -> bool:
        spent = job.clock() - begin
        return spent + (spent / done if done else 0.0) < seconds

    found = compare_outputs(
        "relu", job.dataset, seed=job.config.seed, device=job.config.device, more=more
    )
    if found is None:
        raise NoTimeError(seconds)
    return found


# --- their commands ------------------------------------------------------------------------------


def _study_command(config: ReportConfig) -> list[str]:
    acts = config.with_activations() or ["--act", "relu", "--act", "softplus"]
    words = ["study", *config.with_data(), *acts, *config.with_machine()]
    return words + ([] if config.store is None else ["--store", config.store])


def _bench_command(*words: str) -> Callable[[ReportConfig], list[str]]:
    return lambda config: ["bench", *config.with_activations(), *config.with_machine(), *words]


def _compiled_command(config: ReportConfig) -> list[str]:
    size = str(_compiled_size(config))
    words = ("--pass", "both", "--pass", "step", "--mode", "compiled", "--size", size)
    return _bench_command(*words, "--hidden", str(HIDDEN[0]))(config)


def _table_command(config: ReportConfig) -> list[str]:
    device = [] if config.device == "cpu" else ["--device", config.device]
    return ["table", *config.with_activations(), *device]


def _depth_command(config: ReportConfig) -> list[str]:
    return ["depth", *config.with_data(), *config.with_activations(), *config.with_machine()]


def _outputs_command(_: ReportConfig) -> list[str]:
    return ["train", "--data", COUNTS, "--output-act", "softplus", "--batch-size", "128"]


def _variations_command(config: ReportConfig) -> list[str]:
    return [*_study_command(replace(config, store=None)), "--optimizer", "adam"]


KINDS = (
    Kind("functions", "the functions themselves", _functions, 1, 0, _table_command),
    Kind("step", "cost of a training step", _step, 4, 1, _bench_command("--pass", "step")),
    Kind("study", "training, with paired seeds", _study, 16, 2, _study_command),
    Kind("alone", "cost of a lone call", _alone, 6, 1.5, _bench_command("--pass", "both")),
    Kind("depth", "signal through deep nets", _depth, 10, 2, _depth_command),
    Kind("outputs", "outputs that must be positive", _outputs, 8, 1.5, _outputs_command),
    Kind("compiled", "cost when compiled", _compiled, 20, 25, _compiled_command),
    Kind("variations", "other settings", _variations, 12, 4, _variations_command),
)
"""In the order in which they run."""
