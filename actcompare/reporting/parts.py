"""The parts of a report, and how they share its budget.

Each part gets the least that it needs, and a share by weight of what the parts still to come leave;
where not all fit, the last ones make room. A part hands on what it does not use: a study whose runs
are in the store already leaves its time to others. The order is that of importance, so that a small
budget, or an interrupt, costs the least.
"""

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from actcompare.activations.spec import Activation
from actcompare.activations.user_code import describe
from actcompare.benchmark.bench import bench
from actcompare.benchmark.plan import HIDDEN as WIDTHS
from actcompare.benchmark.plan import SIZES
from actcompare.data.datasets import Dataset, Source
from actcompare.data.splits import split
from actcompare.errors import ActcompareError, Terminated
from actcompare.machine.cores import usable_cores
from actcompare.machine.environment import Environment
from actcompare.machine.memory import is_shortage
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
from actcompare.reporting.outputs import (
    BATCH_SIZE,
    COUNTS,
    EPOCHS,
    HIDDEN,
    OUTPUTS,
    PLAIN,
    RATES,
    SOFTPLUS,
    Outputs,
    is_positive,
)
from actcompare.studies.comparison import by_learning_rate, chosen
from actcompare.studies.engines.workers import can_be_sent
from actcompare.studies.forecast import seconds_per_cell
from actcompare.studies.plan import Plan, make_plan
from actcompare.studies.store import Store
from actcompare.studies.study import Study, Work, choose_engine, report
from actcompare.text import duration
from actcompare.training.run import Run
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

FEW_SAMPLES = 100
"""Fewer samples may be too few for three sets."""

BATCH = 32
"""Samples per step of the study."""

CASE_S = 1.2
"""Most seconds of a case that is timed."""

CASES = len(SIZES["cpu"])
"""Sizes of a lone call, on every device."""

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
        """Return the settings of training that the user chose, with batches that can be filled."""
        config, samples = self.config, len(self.dataset.X)
        names = ("target", "task", "scale", "device", "margin", "seed")
        chosen = {name: getattr(config, name) for name in names}
        return chosen | {"batch_size": max(1, min(BATCH, samples // 2))}

    def plan(self, seeds: int, **changed: Any) -> Plan:
        """Return the plan of the study, or of one with other settings; raise as `make_plan`."""
        return make_plan(self.activations, self.source, seeds=seeds, **self.training() | changed)

    def check(self) -> None:
        """Check the study and its store, before anything is measured.

        Raises:
            ActcompareError: A setting is wrong, the data are too few, or the store cannot be used.
        """
        plan = self.plan(SEEDS[0])
        if len(self.dataset.X) < FEW_SAMPLES:
            split(self.dataset, self.config.seed, torch.float32, torch.device("cpu"))
        if self.config.store is None:
            Work(plan)
            return
        with Store(self.config.store) as kept:
            Work(plan, kept)


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
        Part(kind.name, kind.title, shlex.join(["actcompare", *kind.command(job)]))
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
        settle(kind.name, state=RUNNING)
        try:
            result = kind.run(job, share_of(KINDS[i:], job, left))
            evidence = replace(evidence, **{kind.name: result})
            done: dict[str, str] = {"state": DONE}
        except NoTimeError as error:
            done = {"state": NOT_RUN, "why": str(error)}
        except (KeyboardInterrupt, Terminated) as error:
            done, stopped = {"state": INTERRUPTED, "why": "interrupted"}, error
        except (Exception, SystemExit) as error:  # whatever a user's function does
            if i == 0:
                raise
            done = {"state": FAILED, "why": _said(error)}
        settle(kind.name, seconds=job.clock() - begin, **done)
    return evidence, stopped


def _said(error: BaseException) -> str:
    if is_shortage(error):
        return "out of memory"
    return str(error) if isinstance(error, ActcompareError) else describe(error)


def share_of(kinds: Sequence[Kind], job: Job, left: float) -> float:
    """Return the seconds of the first of these parts.

    Raises:
        NoTimeError: Not even the least that it needs is left.
    """
    least = [kind.least_s(job) for kind in kinds]
    if least[0] > left:
        raise NoTimeError(least[0])
    fitting = next(n for n in range(len(kinds), 0, -1) if sum(least[:n]) <= left)
    weights = sum(kind.weight for kind in kinds[:fitting])
    surplus = left - sum(least[:fitting])
    return least[0] + (surplus * kinds[0].weight / weights if weights else 0.0)


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
    return _bench(job, CASE_S, 1, passes="step", mode="compiled", hidden=WIDTHS[0])


def _study(job: Job, seconds: float) -> Study:
    store = job.config.store
    if store is None:
        return _study_within(job, seconds, None, SEEDS)
    with Store(store) as kept:
        return _study_within(job, seconds, kept, SEEDS)


def _variations(job: Job, seconds: float) -> tuple[Variation, ...]:
    end, found = job.clock() + seconds, list[Variation]()
    for i, (setting, changed) in enumerate(VARIATIONS.items()):
        left = end - job.clock()
        share = left / (len(VARIATIONS) - i)
        seeds = [count for count in SEEDS if count <= FEW_SEEDS]
        usual = LEARNING_RATES[job.dataset.task][changed.get("optimizer", "sgd")]
        rates = [float(f"{usual * factor:.3g}") for factor in FEW_RATES]
        try:
            study = _study_within(job, share, None, seeds, left, lr=rates, **changed)
        except ActcompareError:
            if not found:
                raise
            break
        found.append(Variation(setting, study))
    return tuple(found)


def _study_within(
    job: Job,
    seconds: float,
    store: Store | None,
    counts: Sequence[int],
    most_s: float | None = None,
    **changed: Any,
) -> Study:
    """Study with as many seeds as fit, chosen before any is run, and stop when time is up.

    Args:
        job: What to report on.
        seconds: The time that it should take.
        store: Keeps the study.
        counts: Numbers of seeds to choose from, ascending.
        most_s: The time that the first of them may take.
        changed: Settings that differ from the defaults.

    Raises:
        NoTimeError: Not even the first of them fits.
    """
    begin = job.clock()
    largest = job.plan(counts[-1], **changed)
    per_cell = seconds_per_cell(largest, job.clock)
    spread = job.config.device == "cpu" and can_be_sent(largest)
    most, spent = usable_cores() if spread else 1, job.clock() - begin
    chosen, workers = None, 1
    for seeds in counts:
        work = Work(_with_seeds(largest, seeds), store)
        cells = [cell for group in work.groups_left() for cell in group]
        alone = CAREFUL * sum(per_cell[cell.activation] for cell in cells)
        needed = min(alone, WORKERS_START_S + alone / most)
        if needed > (seconds if chosen or most_s is None else most_s) - spent:
            if chosen is None:
                raise NoTimeError(needed)
            break
        chosen, workers = work, 1 if alone <= needed else most
    assert chosen is not None
    return _carry_on(chosen, workers, begin + 1.5 * max(seconds, most_s or 0.0), job.clock)


def _with_seeds(plan: Plan, seeds: int) -> Plan:
    return replace(plan, config=replace(plan.config, seeds=seeds))


def _carry_on(work: Work, workers: int, end: float, clock: Clock) -> Study:
    """Run a study to its end, or until a time; then return the study of the complete seeds."""

    def listen(_: Work) -> None:
        if clock() > end:
            raise NoTimeError(0.0)  # caught below

    try:
        return work.carry_on(choose_engine("local", workers, None, None), listen)
    except NoTimeError:
        config = work.plan.config
        for seeds in range(config.seeds, 0, -1):
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


def _outputs(job: Job, seconds: float) -> Outputs:
    """Study each activation of the output, then count negative predictions at the chosen rates."""
    own = is_positive(job.dataset)
    data = job.source if own else COUNTS
    settings: dict[str, Any] = (
        job.training() if own else {"device": job.config.device, "seed": job.config.seed}
    )
    settings |= {"epochs": EPOCHS, "batch_size": min(BATCH_SIZE, len(job.dataset.X))}
    begin, counts = job.clock(), [count for count in SEEDS if count <= FEW_SEEDS]
    plans = {
        output: make_plan(
            HIDDEN,
            data,
            seeds=counts[-1],
            lr=RATES,
            output_activation=None if output == PLAIN else output,
            **{"margin": job.config.margin} | settings,
        )
        for output in OUTPUTS
    }
    per_cell = sum(seconds_per_cell(plan, job.clock)[HIDDEN] for plan in plans.values())
    # each seed is studied at every rate, and once more to see its predictions
    per_seed = CAREFUL * per_cell * (len(RATES) + 1)
    seeds = _most_that_fit(counts, per_seed, seconds - (job.clock() - begin))
    studies, negative = dict[str, Study](), dict[str, tuple[float, ...]]()
    for output, plan in plans.items():
        work = Work(_with_seeds(plan, seeds))
        studies[output] = work.carry_on(choose_engine("local", 1, None, None))
        negative[output] = tuple(_negative_shares(plan, studies[output]))
    return Outputs(data if isinstance(data, str) else "arrays", studies, negative)


def _most_that_fit(counts: Sequence[int], seconds_each: float, seconds: float) -> int:
    """Return the largest count that fits.

    Raises:
        NoTimeError: None does.
    """
    fitting = [count for count in counts if count * seconds_each <= seconds]
    if not fitting:
        raise NoTimeError(counts[0] * seconds_each)
    return fitting[-1]


def _negative_shares(plan: Plan, study: Study) -> Iterator[float]:
    """Train the chosen runs again, one by one, and yield their shares of negative predictions."""
    for runs in chosen(by_learning_rate(study.config, study.results)).values():
        for result in runs.by_seed.values():
            recipe = plan.recipe(result.cell)
            run = Run(replace(recipe, config=replace(recipe.config, track_on=None)))
            for _ in run.epochs():
                pass
            share = run.report().negative_share
            assert share is not None
            yield share


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
        _at_least(0.5, 0.2),
        _bench_command("--pass", "step"),
    ),
    Kind("study", "training, with paired seeds", _study, 30, _least_of_study, _study_command),
    Kind(
        "alone",
        "cost of a lone call",
        _alone,
        6,
        _at_least(0.5, 0.5),
        _bench_command("--pass", "both"),
    ),
    Kind("depth", "signal through deep nets", _depth, 10, _at_least(0, 1), _depth_command),
    Kind("outputs", "outputs that must be positive", _outputs, 8, _at_least(1.5), _outputs_command),
    Kind("variations", "other settings", _variations, 14, _at_least(1, 1), _variations_command),
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
