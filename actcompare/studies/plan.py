"""The plan of a study: its cells, and the groups they are trained in."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from actcompare.activations.spec import Activation, Specs, parse_all
from actcompare.data.datasets import Dataset, Source
from actcompare.data.sources import load_data
from actcompare.errors import UsageError
from actcompare.machine.devices import resolve_dtype
from actcompare.machine.processors import check_threads
from actcompare.studies.records import Cell, StudyConfig
from actcompare.training.settings import LEARNING_RATES, Recipe, Settings, make_recipe

GRID = (0.1, 0.3, 1.0, 3.0, 10.0)
"""The learning rates tried by default, as multiples of what `train` takes."""

SEEDS, MARGIN = 20, 0.01

_ACTIVATIONS = {"cpu": 2**18, "mps": 2**24, "cuda": 2**27}
"""Activations of a layer that a group computes at once: few enough for a core's cache, or many
enough to fill a GPU."""

_MEMBERS = {"cpu": 32, "mps": 256, "cuda": 1024}

_DATA = 2**28
"""Bytes of training data of all seeds of a group."""


@dataclass(frozen=True)
class Plan:
    """All that a study starts from."""

    config: StudyConfig
    dataset: Dataset
    activations: tuple[Activation, ...]
    output_activation: Activation | None

    def users_own(self) -> list[Activation]:
        """Those of the activations that are not of the catalogue."""
        everyone = (*self.activations, self.output_activation)
        return [a for a in everyone if a is not None and a.entry is None]

    def loaded(self) -> "Plan":
        """The same with users' own functions imported, for machines that cannot."""
        outer = self.output_activation
        return replace(
            self,
            activations=tuple(activation.loaded() for activation in self.activations),
            output_activation=outer and outer.loaded(),
        )

    def recipe(self, cell: Cell) -> Recipe:
        """What the cell alone is trained from."""
        config = self.config.run(cell)
        dataset = self.dataset
        if config.data == "random":  # drawn by the seed, as `train` does
            dataset = load_data(
                "random",
                task=config.task,
                input_size=config.input_size,
                output_size=config.output_size,
                seed=config.seed,
            )
        by_label = {activation.label: activation for activation in self.activations}
        return Recipe(config, dataset, by_label[cell.activation], self.output_activation)

    def groups(self) -> Iterator[tuple[Cell, ...]]:
        """Cells that are trained together: all learning rates of some seeds.

        They depend on the configuration alone, so that a study comes out the same wherever, in
        whatever order and by however many workers its groups are trained.
        """
        config = self.config
        for activation, depth, hidden in itertools.product(
            config.activations, config.depths, config.hiddens
        ):
            most = self._members(hidden)
            lrs_at_once = min(len(config.lrs), most)
            seeds_at_once = max(1, most // lrs_at_once)
            for seeds in _in_pieces(config.all_seeds, seeds_at_once):
                for lrs in _in_pieces(config.lrs, lrs_at_once):
                    pairs = itertools.product(seeds, lrs)
                    yield tuple(Cell(activation, depth, hidden, lr, seed) for seed, lr in pairs)

    def _members(self, hidden: int) -> int:
        """How many cells of this width are trained together."""
        training = self.config.training
        kind = training.device.partition(":")[0]
        itemsize = resolve_dtype(training.dtype)[1].itemsize
        by_layer = _ACTIVATIONS[kind] // (hidden * training.batch_size)
        by_data = _DATA // (self.dataset.X.size * itemsize)
        return max(1, min(_MEMBERS[kind], by_layer, by_data))


def _in_pieces(values: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (values[first : first + size] for first in range(0, len(values), size))


def make_plan(
    activations: Specs = ("relu", "softplus"),
    data: Source = "digits",
    *,
    seeds: int = SEEDS,
    lr: float | Sequence[float] | None = None,
    depth: int | Sequence[int] = 1,
    hidden: int | Sequence[int] = 64,
    margin: float = MARGIN,
    **settings: Any,
) -> Plan:
    """Check all settings, load the data, and read the activations.

    Args:
        activations: One or several; the first is the baseline.
        data: Which data, as for `train`.
        seeds: Number of paired seeds, from `seed` on.
        lr: Learning rates to choose from; by default GRID times that of `train`.
        depth: Hidden layers; one or several numbers.
        hidden: Units in a hidden layer; one or several numbers.
        margin: Differences of the test metric within it are of no consequence.
        settings: The other fields of `actcompare.training.settings.Settings`; `threads`, for each
            group, is 1 by default.

    Raises:
        UsageError: A setting is wrong.
        ActcompareError: The data cannot be used.
    """
    chosen = parse_all(activations)
    if seeds < 1:
        raise UsageError(f"seeds must be at least 1, not {seeds}")
    if not 0 <= margin < float("inf"):
        raise UsageError(f"margin must be 0 or more, and finite, not {margin}")
    axes = {"depth": _several(depth, "depth"), "hidden": _several(hidden, "hidden")}
    if lr is not None:
        axes["lr"] = _several(lr, "lr")
    labels = tuple(activation.label for activation in chosen)
    _no_twins(labels, "act")
    first_of_each = {name: values[0] for name, values in axes.items()}
    settings = {"threads": None} | settings | first_of_each
    check_threads(settings["threads"])
    settings["threads"] = settings["threads"] or 1
    for name, values in axes.items():
        for value in values:
            Settings(**settings | {name: value})
    first = make_recipe(chosen[0], data, **settings)
    if lr is None:
        usual = LEARNING_RATES[first.config.task][first.config.optimizer]
        axes["lr"] = tuple(float(f"{usual * factor:.3g}") for factor in GRID)
    config = StudyConfig(
        activations=labels,
        seeds=seeds,
        lrs=axes["lr"],
        depths=axes["depth"],
        hiddens=axes["hidden"],
        margin=margin,
        training=replace(first.config, lr=axes["lr"][0]),
        fingerprint=first.dataset.fingerprint(),
    )
    return Plan(config, first.dataset, tuple(chosen), first.output_activation)


def _several(values: Any, name: str) -> tuple[Any, ...]:
    found = tuple(values) if isinstance(values, Sequence) else (values,)
    if not found:
        raise UsageError(f"no {name} given")
    _no_twins(found, name)
    return found


def _no_twins(values: Sequence[Any], name: str) -> None:
    twins = [value for i, value in enumerate(values) if value in values[:i]]
    if twins:
        raise UsageError(f"{name} {twins[0]} is given twice")
