"""`study`: find which activation trains better, and whether the difference is real."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from actcompare.activations.spec import Specs
from actcompare.data.datasets import CLASSIFICATION, Source
from actcompare.data.splits import split_rows
from actcompare.errors import ActcompareError, UsageError
from actcompare.machine.cores import usable_cores
from actcompare.machine.devices import resolve_device, resolve_dtype
from actcompare.machine.environment import Environment, describe_environment
from actcompare.studies.comparison import answer, learning_curves, shared_rates, validated
from actcompare.studies.engines.apart import environments_of, fits_apart
from actcompare.studies.engines.ray_cluster import on_ray
from actcompare.studies.engines.workers import (
    AnyPlan,
    Engine,
    Group,
    can_be_sent,
    in_this_process,
    local,
)
from actcompare.studies.explain import describe_study
from actcompare.studies.fits.plan import FitPlan, make_fit_plan
from actcompare.studies.fits.records import VALIDATION
from actcompare.studies.plan import Plan, make_plan
from actcompare.studies.records import Cell, CellResult, Failure, Outcome, StudyConfig
from actcompare.studies.store import Store
from actcompare.table import Table, Tabular
from actcompare.text import listed
from actcompare.training.learning.nets import check_run, make_net
from actcompare.training.run import Run
from actcompare.training.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

ENGINES = ("local", "ray")

Listener = Callable[["Work"], None]


def study(
    activations: Specs = ("relu", "softplus"),
    data: Source = "digits",
    *,
    store: str | Path | None = None,
    engine: str = "local",
    workers: int | None = None,
    address: str | None = None,
    gpus_per_task: float | None = None,
    listen: Listener | None = None,
    train: str | Callable[..., Any] | None = None,
    **settings: Any,
) -> "Study":
    """Train many paired seeds of each activation, and compare them on the test set.

    With the same seed, every activation gets the same initial weights, split and batch order. Each
    activation's learning rate is chosen on the validation set.

    Args:
        activations: One or more SPECs, functions or modules; the first is the baseline.
        data: `digits`, `sklearn:NAME`, `random`, a file's path, or arrays X and y.
        train: A training of your own instead: `fit(activation, seed, lr, **settings)`, which
            returns the metric, as a function, `module:Name` or `file.py:Name`.
        store: File that keeps the study; runs already in it are not repeated.
        engine: `local` or `ray`.
        workers: Processes on this machine; by default one per core, or one on a GPU.
        address: Address of a running Ray cluster.
        gpus_per_task: GPUs per Ray task; by default 1 if device is cuda, else 0. Of a fit, GPUs per
            worker; by default 1 where there are any.
        listen: Called with the current `Work` after each group of runs.
        settings: Seeds, lr, depth, hidden, margin, epochs and more: see
            `actcompare.studies.plan.make_plan`. For a fit, seeds, lr, margin, settings, metric and
            more: see `actcompare.studies.fits.plan.make_fit_plan`.

    Raises:
        UsageError: A setting is invalid.
        ActcompareError: The data cannot be used, an activation fails, the store cannot be written
            or holds another study, or no cluster answers.
    """
    fit = train is not None
    chosen = choose_engine(engine, workers, address, gpus_per_task, fit=fit)
    remote = address is not None
    plan = make_any_plan(activations, data, train, settings)
    if store is None:
        return Work(plan, remote=remote).carry_on(chosen, listen)
    with Store(store) as kept:
        return Work(plan, kept, remote=remote).carry_on(chosen, listen)


def make_any_plan(
    activations: Specs,
    data: Source,
    train: str | Callable[..., Any] | None,
    settings: Mapping[str, Any],
) -> AnyPlan:
    """Return the plan of a study of SimpleNet, or of a user's own training.

    Raises:
        UsageError: A setting is invalid, or belongs to the other kind of study.
        ActcompareError: The data, the fit or an activation cannot be used.
    """
    of_fit = set(inspect.signature(make_fit_plan).parameters)
    of_net = {*inspect.signature(make_plan).parameters, *inspect.signature(Settings).parameters}
    if train is None:
        if others := sorted(of_fit & settings.keys() - of_net):
            raise UsageError(f"{listed(others)}: only with a training of your own (train)")
        return make_plan(activations, data, **settings)
    others = sorted(settings.keys() - of_fit) + ["data"] * (data != "digits")
    if others:
        raise UsageError(
            f"{listed(others)}: of SimpleNet, not of a training of your own: give it in settings"
        )
    return make_fit_plan(activations, train, **settings)


def choose_engine(
    engine: str,
    workers: int | None,
    address: str | None,
    gpus_per_task: float | None,
    *,
    fit: bool = False,
) -> Engine:
    """Return the engine of that name, for a study of SimpleNet or of a fit.

    Raises:
        UsageError: No such engine, or the other arguments do not fit it.
    """
    if engine not in ENGINES:
        raise UsageError(f"engine {engine!r} is not one of {', '.join(ENGINES)}")
    if workers is not None and workers < 1:
        raise UsageError(f"workers must be at least 1, not {workers}")
    if gpus_per_task is not None and not 0 <= gpus_per_task < float("inf"):
        raise UsageError(f"gpus-per-task must be 0 or more, and finite, not {gpus_per_task}")
    if engine == "ray":
        if address is not None and workers is not None:
            raise UsageError(
                "workers and address exclude each other: a cluster has its own workers"
            )
        return partial(_on_ray, workers=workers, address=address, gpus_per_task=gpus_per_task)
    for name, value in (("address", address), ("gpus-per-task", None if fit else gpus_per_task)):
        if value is not None:
            raise UsageError(f"{name} needs --engine ray")
    return partial(_locally, workers=workers, gpus_per_task=gpus_per_task)


def _on_ray(
    plan: AnyPlan, groups: Sequence[Group], gpus_per_task: float | None, **more: Any
) -> Iterator[list[Outcome]]:
    if gpus_per_task is None and not isinstance(plan, FitPlan):
        gpus_per_task = float(plan.config.net.device.startswith("cuda"))
    return on_ray(plan, groups, gpus_per_task=gpus_per_task, **more)


def _locally(
    plan: AnyPlan, groups: Sequence[Group], workers: int | None, gpus_per_task: float | None
) -> Iterator[list[Outcome]]:
    if isinstance(plan, FitPlan):
        if workers is None and plan.time_limit_s is None and not can_be_sent(plan):
            return in_this_process(plan, groups)
        if gpus_per_task is None:
            gpus_per_task = float(torch.cuda.device_count() > 0)
        return fits_apart(plan, groups, environments_of(plan, gpus_per_task, workers))
    if workers is None and (plan.config.net.device != "cpu" or not can_be_sent(plan)):
        return in_this_process(plan, groups)
    if workers is None:
        workers = max(1, usable_cores() // plan.config.training.threads)
    return local(plan, groups, workers)


class Work:
    """A study in progress: `carry_on` runs what is left, `report` returns the results so far."""

    def __init__(self, plan: AnyPlan, store: Store | None = None, *, remote: bool = False) -> None:
        """Check what every run needs, and load earlier results from the store.

        Args:
            plan: Plan of the study.
            store: Open file that keeps the study.
            remote: Whether runs happen on a cluster, so that its devices are not checked here.

        Raises:
            ActcompareError: The data set is too small, a net is too large, an activation fails, or
                the store holds another study.
        """
        self.plan, self._store = plan, store
        config = plan.config
        if isinstance(plan, FitPlan):
            plan.check()
            device, self.metric = torch.device("cpu"), plan.fit_config.metric
        else:
            device, self.metric = _checked(plan, remote)
        self.environment = replace(describe_environment(device), threads=config.training.threads)
        self.kept_from: Environment | None = None
        """Environment of the runs already in the store."""
        self.code_changed = False
        """Whether a fit has changed since the first runs in the store."""
        self.outcomes: dict[Cell, Outcome] = {}
        if store is not None:
            store.check(config)
            self.kept_from, kept = store.environment(), store.config()
            self.code_changed = kept is not None and kept.fingerprint != config.fingerprint
            self._take_up(store)
        self.total = config.total
        """Number of cells of the study."""

    @property
    def done(self) -> int:
        """Number of cells that have a result."""
        return sum(isinstance(each, CellResult) for each in self.outcomes.values())

    def _take_up(self, store: Store) -> None:
        wanted = set(self.plan.config.cells())
        self.outcomes = {each.cell: each for each in store.outcomes() if each.cell in wanted}

    def groups_left(self) -> list[Group]:
        """Return the groups still to train, and the failed cells, which are retried.

        A group of which any cell is new is trained whole, and replaces its earlier results: the
        last bits of a run depend on its group, and so a study that grew is equal to one that was
        this large from the start.
        """

        def left(group: Group) -> Group:
            if not all(cell in self.outcomes for cell in group):
                return group
            return tuple(c for c in group if not isinstance(self.outcomes[c], CellResult))

        return [part for part in map(left, self.plan.groups()) if part]

    def carry_on(self, engine: Engine, listen: Listener | None = None) -> "Study":
        """Train what is left, storing each group when it finishes.

        Raises:
            ActcompareError: The engine does not start, or the store cannot be written.
        """
        groups = self.groups_left()
        try:
            for k, outcomes in enumerate(engine(self.plan, groups) if groups else ()):
                self.outcomes |= {each.cell: each for each in outcomes}
                if self._store is not None:
                    if k == 0:
                        self._store.begin(self.plan.config, self.environment, self.metric)
                    self._store.add(outcomes)
                if listen is not None:
                    listen(self)
        except ActcompareError:
            raise
        except BaseException:  # an interrupt may leave the last group in the file or not
            if self._store is not None:
                self._take_up(self._store)
            raise
        return self.report()

    def report(self) -> "Study":
        """Return the study as far as it got."""
        return report(self.plan.config, self.environment, self.metric, self.outcomes.values())


def _checked(plan: Plan, remote: bool) -> tuple[torch.device, str]:
    """Check that every net of a plan can be trained, and return the device and the metric."""
    config = plan.config
    here = "cpu" if remote else config.net.device
    device, dtype = resolve_device(here), resolve_dtype(config.net.dtype)[1]
    classes = plan.dataset.y if config.net.task == CLASSIFICATION else None
    samples = len(split_rows(classes, len(plan.dataset.X), 0)[0])
    for cell in replace(config, seeds=1, lrs=config.lrs[:1]).cells():
        check_run(replace(config.run(cell), device=here), samples)
        if plan.model is not None:
            Run(replace(plan.recipe(cell), config=replace(config.run(cell), device=here)))
        else:
            make_net(plan.recipe(cell), dtype, device)
    return device, "accuracy" if classes is not None else "R^2"


def report(
    config: StudyConfig, environment: Environment, metric: str, outcomes: Iterable[Outcome]
) -> "Study":
    """Return the study of these outcomes, in the order of the config."""
    found = {each.cell: each for each in outcomes}
    ordered = [found[cell] for cell in config.cells() if cell in found]
    return Study(
        config,
        environment,
        metric,
        tuple(each for each in ordered if isinstance(each, CellResult)),
        tuple(each for each in ordered if isinstance(each, Failure)),
    )


def stored_study(store: Store) -> "Study":
    """Return the study kept in a store.

    Raises:
        ActcompareError: The store is empty or damaged.
    """
    config, environment, outcomes = store.config(), store.environment(), store.outcomes()
    if config is None or environment is None or not outcomes:
        raise ActcompareError(
            f"{store.path} has no results yet: name what to compare, such as --act relu, to go on"
        )
    found = report(config, environment, store.metric(), outcomes)
    if not (found.results or found.failures):
        raise ActcompareError(
            f"{store.path} is damaged: no run has its settings: choose another file"
        )
    return found


@dataclass(frozen=True)
class Study(Tabular):
    """Result of a study, complete or not."""

    config: StudyConfig
    environment: Environment
    metric: str
    """accuracy or R^2, or what a fit calls it."""
    results: tuple[CellResult, ...] = field(repr=False)
    failures: tuple[Failure, ...] = field(repr=False)

    @property
    def in_points(self) -> bool:
        """Whether the metric is a share, whose differences are in points.

        What a fit calls accuracy may be a percentage: it is shown as it is.
        """
        return self.metric == "accuracy" and self.config.fit is None

    @property
    def lr_chosen_on(self) -> str:
        """What chose the learning rates."""
        if self.config.fit is None:
            return "the validation set"
        return VALIDATION if validated(self.results) else f"{self.metric} itself"

    @property
    def missing(self) -> int:
        """Number of cells that have neither finished nor failed; none in a study of results."""
        if self.config.given_seeds is not None:
            return 0
        return self.config.total - len(self.results) - len(self.failures)

    @cached_property
    def table(self) -> Table:
        """The answer: one record per activation, depth and width."""
        return Table.of(answer(self.config, self.results, self.failures))

    def rows(self) -> list[dict[str, Any]]:
        """Return the records of the answer."""
        return self.table.records

    def cell_rows(self) -> list[dict[str, Any]]:
        """Return one record per run; a failed run has only its error."""
        if self.config.fit is not None:
            rows = [result.fit_row(self.metric) for result in self.results]
            return rows + [each.cell.named() | {"error": each.error} for each in self.failures]
        failed = [asdict(each.cell) | {"error": each.error} for each in self.failures]
        return [*(result.row() for result in self.results), *failed]

    def cells(self) -> "pd.DataFrame":
        """Return a DataFrame with one row per run."""
        import pandas as pd

        return pd.DataFrame(self.cell_rows())

    def shared_rate_rows(self) -> list[dict[str, Any]]:
        """Return one record per activation and learning rate."""
        return shared_rates(self.config, self.results)

    def shared_rates(self) -> Table:
        """Return the same as tidy columns."""
        return Table.of(self.shared_rate_rows())

    def curves(self) -> Table:
        """Return the mean validation metric after each epoch at the chosen rates.

        Of a fit, it is the metric of each report, counted from 1.
        """
        of_net, first = self.config.is_of_simple_net, int(self.config.fit is not None)
        records = [
            {
                "activation": activation,
                **({"depth": depth, "hidden": hidden} if of_net else {}),
                "epoch": first + epoch,
                "mean": each.value,
                "mean_low": each.low,
                "mean_high": each.high,
            }
            for (activation, depth, hidden), course in learning_curves(self.config, self.results)
            for epoch, each in enumerate(course)
        ]
        return Table.of(records)

    def reading(self) -> str:
        """Return the reading: which is better, how sure that is, what would settle the rest."""
        return describe_study(self.config, self.metric, self.rows(), self.results, self.failures)
