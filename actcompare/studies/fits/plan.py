"""The plan of a study of a user's own training."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from actcompare.activations.spec import Activation, Specs, parse_all
from actcompare.errors import UsageError
from actcompare.machine.processors import check_threads
from actcompare.studies.fits.load import Fit, MakeActivation, as_literals
from actcompare.studies.fits.records import METRIC, VALIDATION, FitConfig
from actcompare.studies.plan import SEEDS, check_size, several, unlike
from actcompare.studies.records import Cell, StudyConfig


@dataclass(frozen=True)
class FitPlan:
    """Everything that a study of a user's own training starts from."""

    config: StudyConfig
    activations: tuple[Activation, ...]
    fit: Fit
    time_limit_s: float | None = None
    """Seconds that a run may take; None for any time."""

    @property
    def fit_config(self) -> FitConfig:
        """The config of the fit."""
        assert self.config.fit is not None
        return self.config.fit

    def users_own(self) -> list[Activation | Fit]:
        """Return the fit, and the activations that are not in the catalogue."""
        return [self.fit, *(each for each in self.activations if each.entry is None)]

    def loaded(self) -> "FitPlan":
        """Return the plan with users' functions imported, for machines that cannot import them."""
        activations = tuple(activation.loaded() for activation in self.activations)
        return replace(self, activations=activations, fit=self.fit.loaded())

    def groups(self) -> list[tuple[Cell, ...]]:
        """Return every cell by itself, in the order of seeds: a part of it is a smaller study."""
        config = self.config
        axes = (config.all_seeds, config.lrs, config.activations)
        return [(Cell(act, 0, 0, lr, seed),) for seed, lr, act in itertools.product(*axes)]

    def environment(self) -> dict[str, str]:
        """Return the variables of the environment of a process that runs the fit."""
        return {"OMP_NUM_THREADS": str(self.config.training.threads)}

    def check(self) -> None:
        """Check that every activation can be made.

        Raises:
            ActcompareError: One cannot.
        """
        for activation in self.activations:
            MakeActivation(activation)()


def make_fit_plan(
    activations: Specs,
    fit: str | Callable[..., Any],
    *,
    seeds: int = SEEDS,
    lr: float | Sequence[float] | None = None,
    margin: float | None = None,
    settings: Mapping[str, Any] | None = None,
    metric: str = METRIC,
    higher_is_better: bool = True,
    cell_time_limit: float | None = None,
    seed: int = 0,
    threads: int | None = None,
) -> FitPlan:
    """Check everything, and import the fit and the activations.

    Args:
        activations: One or more activations; the first is the baseline.
        fit: `fit(activation, seed, lr, **settings)`, as a function, `module:Name` or
            `file.py:Name`.
        seeds: Number of paired seeds, starting at `seed`.
        lr: Learning rates to choose from; without any the fit is given none.
        margin: Differences of the metric within this margin do not matter; by default 0.
        settings: What else the fit is given: Python literals.
        metric: Key of the metric in the dict that the fit returns.
        higher_is_better: Whether more of the metric is better.
        cell_time_limit: Seconds after which a run is stopped and counts as failed.
        seed: First seed.
        threads: Threads of torch in each worker; by default 1.

    Raises:
        UsageError: A setting is invalid, or the fit does not take what it is to be given.
        ActcompareError: The fit or an activation cannot be imported.
    """
    chosen, named = tuple(parse_all(activations)), Fit.of(fit)
    labels = tuple(activation.label for activation in chosen)
    unlike(labels, "act")
    lrs = () if lr is None else several(lr, "lr")
    if not all(0 < rate < math.inf for rate in lrs):
        raise UsageError(f"lr must be above 0, and finite, not {listed_numbers(lrs)}")
    if margin is not None and not 0 <= margin < math.inf:
        raise UsageError(f"margin must be 0 or more, and finite, not {margin}")
    if not metric or metric == VALIDATION:
        raise UsageError(f"metric {metric!r} cannot be the metric that is compared")
    if cell_time_limit is not None and not 0 < cell_time_limit < math.inf:
        raise UsageError(f"cell-time-limit must be above 0, and finite, not {cell_time_limit}")
    if not 0 <= seed < 2**63:
        raise UsageError(f"seed must be 0 or more, not {seed}")
    check_threads(threads)
    check_size(seeds, len(labels) * max(1, len(lrs)))
    named.check(settings or {}, with_lr=bool(lrs))
    config = StudyConfig(
        activations=labels,
        seeds=seeds,
        lrs=tuple(map(float, lrs)) or (0.0,),
        depths=(0,),
        hiddens=(0,),
        margin=margin or 0.0,
        training=FitConfig(
            function=named.label,
            settings=as_literals(settings or {}),
            metric=metric,
            higher_is_better=higher_is_better,
            seed=seed,
            threads=threads or 1,
        ),
        fingerprint=named.fingerprint(),
    )
    return FitPlan(config, chosen, named, cell_time_limit)


def listed_numbers(numbers: Sequence[float]) -> str:
    """Return numbers as they are written."""
    return ", ".join(f"{number:g}" for number in numbers)
