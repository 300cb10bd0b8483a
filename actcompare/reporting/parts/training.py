"""The parts of a report that train: the study, the same with other settings, positive outputs."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

from actcompare.errors import ActcompareError
from actcompare.machine.cores import usable_cores
from actcompare.reporting.evidence import ARRAYS, Variation
from actcompare.reporting.parts.job import Clock, Job, NoTimeError
from actcompare.reporting.parts.outputs import (
    BATCH_SIZE,
    COUNTS,
    EPOCHS,
    HIDDEN,
    OUTPUTS,
    PLAIN,
    RATES,
    Outputs,
    is_positive,
)
from actcompare.studies.comparison import by_learning_rate, chosen
from actcompare.studies.engines.workers import can_be_sent
from actcompare.studies.forecast import seconds_per_cell
from actcompare.studies.plan import Plan, make_plan
from actcompare.studies.store import Store
from actcompare.studies.study import Study, Work, choose_engine, report
from actcompare.training.run import Run
from actcompare.training.settings import LEARNING_RATES

SEEDS = (2, 3, 5, 10, 20, 50, 100)
"""Numbers of seeds of a study; the largest that fits is taken, whatever its outcome will be."""

FEW_SEEDS = (3, 5, 10)
"""Numbers of seeds of a variation, and of the positive outputs."""

WORKERS_START_S = 2.0
"""Seconds in which worker processes load torch."""

CAREFUL = 1.25
"""Estimates of times are multiplied by this."""

LATE = 1.5
"""A study that takes this many times its seconds is ended."""

FEW_RATES = (0.3, 1.0, 3.0, 10.0)
"""Learning rates of a variation, as multiples of the default of `train`."""

VARIATIONS: dict[str, dict[str, Any]] = {
    "optimizer adam": {"optimizer": "adam"},
    "Kaiming initialisation": {"init": "kaiming"},
    "3 hidden layers": {"depth": 3},
    "dtype bfloat16": {"dtype": "bfloat16"},
}


def run_study(job: Job, seconds: float) -> Study:
    """Study with as many seeds as fit; raise NoTimeError if none do."""
    begin = job.clock()
    offer = Offer.of(job.plan(SEEDS[-1]), job)
    with Store(job.config.store) if job.config.store else nullcontext() as store:
        fits = [offer.work(seeds, store) for seeds in SEEDS]
        task = _largest(fits, seconds - (job.clock() - begin))
        return task.carry_on(begin + LATE * seconds, job.clock)


def run_variations(job: Job, seconds: float) -> tuple[Variation, ...]:
    """Study again with one setting changed, each with the same number of seeds.

    If not all fit with the fewest, the first ones are run.
    """
    begin = job.clock()
    offers = {setting: _variation(job, changed) for setting, changed in VARIATIONS.items()}
    left = seconds - (job.clock() - begin)
    names, count = _fewest_that_fit(offers, left)
    for more in (n for n in FEW_SEEDS if n > count):
        if sum(offers[name].work(more).seconds for name in names) <= left:
            count = more
    found = list[Variation]()
    for name in names:
        try:
            study = offers[name].work(count).carry_on(begin + LATE * seconds, job.clock)
        except ActcompareError:
            if not found:
                raise
            break
        found.append(Variation(name, study))
    return tuple(found)


def _fewest_that_fit(offers: "Mapping[str, Offer]", seconds: float) -> tuple[list[str], int]:
    """Return the names of the first offers that fit with the fewest seeds, and that number.

    Raises:
        NoTimeError: Not even the first one fits.
    """
    count, names = FEW_SEEDS[0], list[str]()
    for name, offer in offers.items():
        needed = offer.work(count).seconds
        if needed > seconds:
            break
        seconds -= needed
        names.append(name)
    if not names:
        raise NoTimeError(next(iter(offers.values())).work(count).seconds)
    return names, count


def _variation(job: Job, changed: dict[str, Any]) -> "Offer":
    usual = LEARNING_RATES[job.dataset.task][changed.get("optimizer", "sgd")]
    rates = [float(f"{usual * factor:.3g}") for factor in FEW_RATES]
    return Offer.of(job.plan(FEW_SEEDS[-1], lr=rates, **changed), job)


def run_outputs(job: Job, seconds: float) -> Outputs:
    """Study each activation of the output, then count negative predictions at the chosen rates."""
    begin, own = job.clock(), is_positive(job.dataset)
    data = job.source if own else COUNTS
    settings: dict[str, Any] = {"device": job.config.device, "seed": job.config.seed}
    settings = job.training() if own else settings
    settings |= {"epochs": EPOCHS, "margin": job.config.margin, "lr": RATES}
    settings["batch_size"] = min(BATCH_SIZE, len(job.dataset.X) // 2) if own else BATCH_SIZE
    plans = {
        output: make_plan(
            HIDDEN,
            data,
            seeds=FEW_SEEDS[-1],
            output_activation=None if output == PLAIN else output,
            **settings,
        )
        for output in OUTPUTS
    }
    offers = [Offer(plan, seconds_per_cell(plan, job.clock), 1) for plan in plans.values()]
    left = seconds - (job.clock() - begin)
    again = (len(RATES) + 1) / len(RATES)  # once more at the chosen rate, to see predictions
    needed = {n: again * sum(each.work(n).seconds for each in offers) for n in FEW_SEEDS}
    fitting = [count for count in FEW_SEEDS if needed[count] <= left]
    if not fitting:
        raise NoTimeError(needed[FEW_SEEDS[0]])
    studies, negative = dict[str, Study](), dict[str, tuple[float, ...]]()
    for offer, (output, plan) in zip(offers, plans.items(), strict=True):
        study = offer.work(fitting[-1]).carry_on(begin + LATE * seconds, job.clock)
        studies[output], negative[output] = study, tuple(_negative_shares(plan, study))
    return Outputs(data if isinstance(data, str) else ARRAYS, studies, negative)


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


# --- as many seeds as fit ------------------------------------------------------------------------


@dataclass(frozen=True)
class Offer:
    """A study with any number of seeds."""

    largest: Plan
    per_cell: Mapping[str, float]
    """Estimated seconds of a run of each activation."""
    cores: int
    """Cores that its runs may be spread over."""

    @classmethod
    def of(cls, largest: Plan, job: Job) -> "Offer":
        """Estimate how long the runs of a plan take."""
        spread = job.config.device == "cpu" and can_be_sent(largest)
        per_cell = seconds_per_cell(largest, job.clock)
        return cls(largest, per_cell, usable_cores() if spread else 1)

    def work(self, seeds: int, store: Store | None = None) -> "Task":
        """Return the study with so many seeds, as far as it is not in the store."""
        config = replace(self.largest.config, seeds=seeds)
        work = Work(replace(self.largest, config=config), store)
        cells = [cell for group in work.groups_left() for cell in group]
        alone = CAREFUL * sum(self.per_cell[cell.activation] for cell in cells)
        spread = WORKERS_START_S + alone / self.cores
        return Task(work, min(alone, spread), 1 if alone <= spread else self.cores)


@dataclass(frozen=True)
class Task:
    """A study that is left to be run."""

    study: Work
    seconds: float
    """Estimated time."""
    workers: int

    def carry_on(self, end: float, clock: Clock) -> Study:
        """Run it, at most until a time; then return the study of the seeds that are complete.

        Raises:
            NoTimeError: No seed is complete.
        """

        def listen(_: Work) -> None:
            if clock() > end:
                raise NoTimeError(self.seconds)

        try:
            return self.study.carry_on(choose_engine("local", self.workers, None, None), listen)
        except NoTimeError:
            config = self.study.plan.config
            for seeds in range(config.seeds, 0, -1):
                fewer, done = replace(config, seeds=seeds), self.study.outcomes
                if all(cell in done for cell in fewer.cells()):
                    environment, metric = self.study.environment, self.study.metric
                    return report(fewer, environment, metric, done.values())
            raise


def _largest(tasks: Sequence[Task], seconds: float) -> Task:
    """Return the last task that fits; raise NoTimeError if none does."""
    fitting = [task for task in tasks if task.seconds <= seconds]
    if not fitting:
        raise NoTimeError(tasks[0].seconds)
    return fitting[-1]
