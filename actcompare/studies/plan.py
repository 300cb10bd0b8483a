"""The plan of a study: its cells, and the groups in which they are trained."""

import hashlib
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from actcompare.activations.spec import Activation, Specs, parse_all
from actcompare.data.datasets import Dataset, Source
from actcompare.data.sources import load_data
from actcompare.data.splits import split
from actcompare.errors import UsageError
from actcompare.machine.devices import resolve_device, resolve_dtype
from actcompare.machine.processors import check_threads
from actcompare.models.uses import AS_IS
from actcompare.studies.records import MOST_CELLS, Cell, StudyConfig
from actcompare.training.learning.learners import make_twin
from actcompare.training.learning.module import Model, make_model
from actcompare.training.learning.stacked import why_alone
from actcompare.training.settings import LEARNING_RATES, Recipe, Settings, make_recipe

GRID = (0.1, 0.3, 1.0, 3.0, 10.0)
"""Default learning rates, as multiples of the default of `train`."""

SEEDS, MARGIN = 20, 0.01

_ACTIVATIONS = {"cpu": 2**18, "mps": 2**24, "cuda": 2**27}
"""Activations of one layer computed at once by a group: few enough for a core's cache, or enough
to fill a GPU."""

_MEMBERS = {"cpu": 32, "mps": 256, "cuda": 1024}

MOST_STACKED = 16
"""Runs of a user's model that are trained together."""

_DATA = 2**28
"""Most bytes of training data, over all seeds of a group."""


@dataclass(frozen=True)
class Plan:
    """Everything a study starts from."""

    config: StudyConfig
    dataset: Dataset
    activations: tuple[Activation, ...]
    output_activation: Activation | None
    model: Model | None = None
    """A user's model; None for SimpleNet."""

    def users_own(self) -> list[Activation]:
        """Return the activations that are not in the catalogue."""
        everyone = (*self.activations, self.output_activation)
        return [a for a in everyone if a is not None and a.entry is None and a.label != AS_IS]

    def loaded(self) -> "Plan":
        """Return the plan with users' functions imported, for machines that cannot import them."""
        outer = self.output_activation
        return replace(
            self,
            activations=tuple(a if a.label == AS_IS else a.loaded() for a in self.activations),
            output_activation=outer and outer.loaded(),
        )

    def recipe(self, cell: Cell) -> Recipe:
        """Return everything needed to train this cell alone."""
        config = self.config.run(cell)
        dataset = self.dataset
        if config.data == "random":  # drawn from the seed, as in `train`
            dataset = load_data(
                "random",
                task=config.task,
                input_size=config.input_size,
                output_size=config.output_size,
                seed=config.seed,
            )
        by_label = {activation.label: activation for activation in self.activations}
        activation = by_label[cell.activation]
        return Recipe(config, dataset, activation, self.output_activation, self.model)

    def groups(self) -> list[tuple[Cell, ...]]:
        """Return the cells that are trained together: all learning rates of some seeds.

        Groups depend only on the config, so that results depend neither on the machine nor on the
        order of groups nor on the number of workers. They begin at fixed seeds, so that more seeds
        change at most the last group. They are in the order of seeds, so that a part of a study is
        a study with fewer seeds.
        """
        config, found = self.config, []
        for activation, depth, hidden in itertools.product(
            config.activations, config.depths, config.hiddens
        ):
            most = 1 if config.alone else self._members(hidden)
            lrs_at_once = min(len(config.lrs), most)
            seeds_at_once = max(1, most // lrs_at_once)
            for seeds in _in_pieces(config.all_seeds, seeds_at_once):
                for lrs in _in_pieces(config.lrs, lrs_at_once):
                    pairs = itertools.product(seeds, lrs)
                    found.append(
                        tuple(Cell(activation, depth, hidden, lr, seed) for seed, lr in pairs)
                    )
        return sorted(found, key=lambda group: group[0].seed)

    def _members(self, hidden: int) -> int:
        """Return the number of cells of this width that are trained together."""
        training = self.config.net
        kind = training.device.partition(":")[0]
        itemsize = resolve_dtype(training.dtype)[1].itemsize
        by_layer = _ACTIVATIONS[kind] // (hidden * training.batch_size)
        by_data = _DATA // (self.dataset.X.size * itemsize)
        if self.model is not None:
            return max(1, min(MOST_STACKED, by_data))
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
    margin: float | None = None,
    **settings: Any,
) -> Plan:
    """Check all settings, load the data, and parse the activations.

    Args:
        activations: One or more activations; the first is the baseline.
        data: Data, as for `train`.
        seeds: Number of paired seeds, starting at `seed`.
        lr: Learning rates to choose from; by default GRID times the default of `train`.
        depth: Hidden layers; one or more numbers.
        hidden: Units per hidden layer; one or more numbers.
        margin: Differences of the test metric within this margin do not matter; by default MARGIN.
        settings: The other fields of `actcompare.training.settings.Settings`; `threads` (per
            group) defaults to 1.

    Raises:
        UsageError: A setting is invalid.
        ActcompareError: The data cannot be used.
    """
    margin = MARGIN if margin is None else margin
    chosen = _parsed(activations, settings.get("model") is not None)
    if settings.get("model") is not None:  # the first activation is the one that the others replace
        settings["replace"] = chosen[0].label
    if not 0 <= margin < float("inf"):
        raise UsageError(f"margin must be 0 or more, and finite, not {margin}")
    axes = {"depth": several(depth, "depth"), "hidden": several(hidden, "hidden")}
    if lr is not None:
        axes["lr"] = several(lr, "lr")
    labels = tuple(activation.label for activation in chosen)
    unlike(labels, "act")
    check_size(seeds, math.prod(map(len, ({"lr": GRID} | axes).values())) * len(labels))
    first_of_each = {name: values[0] for name, values in axes.items()}
    settings = {"threads": None} | settings | first_of_each
    check_threads(settings["threads"])
    settings["threads"] = settings["threads"] or 1
    for name, values in axes.items():
        for value in values:
            Settings(**settings | {name: value})
    first = make_recipe(AS_IS if chosen[0].label == AS_IS else chosen[0], data, **settings)
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
    plan = Plan(config, first.dataset, tuple(chosen), first.output_activation, first.model)
    if first.model is None:
        return plan
    config = replace(config, fingerprint=f"{config.fingerprint} {_fingerprint(plan)}")
    reasons = (_why_alone(plan, activation) for activation in plan.config.activations)
    return replace(plan, config=replace(config, alone=next(filter(None, reasons), "")))


def _fingerprint(plan: Plan) -> str:
    """Return a hash of a user's model: its modules, and its first weights."""
    config = plan.config.net
    assert plan.model is not None
    model = make_model(plan.model, config.checkpoint, config.seed, torch.device("cpu"))
    digest = hashlib.sha256(repr(model).encode())
    for name, value in model.state_dict().items():
        digest.update(name.encode())
        if isinstance(value, torch.Tensor):
            numbers = value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
            digest.update(numbers.tobytes())
    return digest.hexdigest()[:16]


def _why_alone(plan: Plan, activation: str) -> str:
    """Return why the runs of a user's model with an activation cannot be trained together."""
    device = resolve_device(plan.config.net.device)
    dtype = resolve_dtype(plan.config.net.dtype)[1]
    cell = next(cell for cell in plan.config.cells() if cell.activation == activation)
    recipe = plan.recipe(cell)
    config = replace(recipe.config, track_on=None)
    parts = split(plan.dataset, config.seed, dtype, device, scale=config.scale)

    def make(seed: int) -> nn.Module:
        again = replace(recipe, config=replace(config, seed=seed))
        return make_twin(again, parts.train, dtype, device)[0]

    return why_alone(make, config, parts.train)


def _parsed(activations: Specs, of_model: bool) -> list[Activation]:
    """Return the activations; `as-is` stands for the one that a model has."""
    given = [activations] if isinstance(activations, str) else activations
    found: list[Activation] = []
    for each in given if isinstance(given, Sequence) else [given]:
        found += [Activation(AS_IS, {})] if of_model and each == AS_IS else parse_all(each)
    return found


def check_size(seeds: int, settings: int) -> None:
    """Check the number of seeds, and of the runs of so many settings.

    Raises:
        UsageError: There are none, or too many.
    """
    if seeds < 1:
        raise UsageError(f"seeds must be at least 1, not {seeds}")
    if (runs := seeds * settings) > MOST_CELLS:
        raise UsageError(
            f"seeds {seeds:,} makes {runs:,} runs, but a study has at most {MOST_CELLS:,}: choose"
            " fewer seeds or settings"
        )


def several(values: Any, name: str) -> tuple[Any, ...]:
    """Return one or several values as a tuple.

    Raises:
        UsageError: There are none, or one is given twice.
    """
    found = tuple(values) if isinstance(values, Sequence) else (values,)
    if not found:
        raise UsageError(f"no {name} given")
    unlike(found, name)
    return found


def unlike(values: Sequence[Any], name: str) -> None:
    """Check that no value is given twice.

    Raises:
        UsageError: One is.
    """
    twins = [value for i, value in enumerate(values) if value in values[:i]]
    if twins:
        raise UsageError(f"{name} {twins[0]} is given twice")
