"""The runs of a study: a group of cells trained as one batched net."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from actcompare.activations.user_code import describe
from actcompare.data.datasets import CLASSIFICATION
from actcompare.data.splits import Part, split, split_rows
from actcompare.errors import ActcompareError
from actcompare.machine.allocator import allocator
from actcompare.machine.devices import resolve_device, resolve_dtype
from actcompare.machine.memory import fits, is_shortage
from actcompare.machine.processors import torch_threads
from actcompare.machine.waiting import waiting_time
from actcompare.studies.plan import Plan
from actcompare.studies.records import Cell, CellResult, Failure, Outcome, SampleOutcomes
from actcompare.training.learning.ensemble import Ensemble
from actcompare.training.learning.learners import make_twin
from actcompare.training.learning.nets import make_net, memory_needed
from actcompare.training.learning.stacked import Stacked
from actcompare.training.records import Score
from actcompare.training.run import Run
from actcompare.training.settings import Recipe
from actcompare.units.statistics import VERDICTS, UnitStatistics

Clock = Callable[[], float]


def run_group(plan: Plan, cells: Sequence[Cell], clock: Clock = time.perf_counter) -> list[Outcome]:
    """Train cells that differ only in seed and learning rate as one batched net.

    A model of the user's that cannot be batched is trained as by `train`. If memory does not
    suffice, the group is split in halves, and so on. An error, such as one in a user's activation,
    turns the cells into failures.
    """
    try:
        if plan.model is not None and plan.config.alone:
            with torch_threads(plan.config.training.threads):
                return [_train_model(plan, cell, clock) for cell in cells]
        if plan.model is None:
            _check_memory(plan, cells)
        # Each step reuses the memory of the one before: fresh pages would double its time.
        with allocator("warm"), torch_threads(plan.config.training.threads):
            return list(_train(plan, cells, clock))
    except ActcompareError as error:
        return [Failure(cell, str(error)) for cell in cells]
    except (Exception, SystemExit) as error:  # a user's activation, or memory
        short = is_shortage(error)
        if short and len(cells) > 1:
            half = len(cells) // 2
            return [*run_group(plan, cells[:half], clock), *run_group(plan, cells[half:], clock)]
        smaller = "--batch-size" if plan.model is not None else "--hidden or --depth"
        what = f"not enough memory: choose a smaller {smaller}"
        return [Failure(cell, what if short else describe(error)) for cell in cells]


def _check_memory(plan: Plan, cells: Sequence[Cell]) -> None:
    config = plan.config.run(cells[0])
    if not fits(len(cells) * memory_needed(config), resolve_device(config.device)):
        raise MemoryError


def _train(plan: Plan, cells: Sequence[Cell], clock: Clock) -> Iterator[Outcome]:
    recipes = {cell.seed: plan.recipe(cell) for cell in cells}
    ensemble, (train, validation, test) = _prepare(plan, cells, recipes)
    epochs = plan.config.net.epochs
    losses, metrics, _ = ensemble.score(validation, watch=False)
    curves = [[metric] for metric in metrics]
    failed = [not math.isfinite(loss) for loss in losses]
    diverged: list[int | None] = [None] * len(cells)
    good, spent, steps = ensemble.weights(), 0.0, 0
    waited, delay = waiting_time(), 0.0
    for epoch in range(1, epochs + 1):
        before, start = waited and waited(), clock()
        seen = ensemble.learn(train, epoch).cpu()
        spent, steps = spent + clock() - start, steps + seen.shape[1]
        delay += waited() - before if waited and before is not None else 0.0
        losses, metrics, _ = ensemble.score(validation, watch=False)
        last = ensemble.score(train, watch=False)[0] if epoch == epochs else losses
        ends = torch.tensor([losses, last]).T
        fine = torch.cat([seen.double(), ends.double()], 1).isfinite().all(1).tolist()
        for m in range(len(cells)):
            if diverged[m] is None and not fine[m]:
                diverged[m] = epoch
            elif diverged[m] is None:
                curves[m].append(metrics[m])
        alive = [at is None for at in diverged]
        kept = torch.tensor(alive, device=good.device)[:, None]
        good = torch.where(kept, ensemble.weights(), good)
        if not any(alive):
            break
    ensemble.restore(good)
    parts = [ensemble.score(part, watch=part is train) for part in (train, validation, test)]
    outcomes = _outcomes(recipes, ensemble, cells, train, test)
    for m, cell in enumerate(cells):
        if failed[m]:
            what = f"the loss of the net with {cell.activation} is not finite at initialisation"
            yield Failure(cell, what)
            continue
        scored = (Score(losses[m], metrics[m]) for losses, metrics, _ in parts)
        units, verdicts = _count(parts[0][2][m])
        step_s = spent / steps / len(cells) if steps else None
        yield CellResult(
            cell,
            next(scored),
            next(scored),
            next(scored),
            diverged[m],
            units,
            verdicts,
            step_s,
            tuple(curves[m]),
            outcomes[m],
            waited_share=delay / spent if waited and spent else None,
        )


def _train_model(plan: Plan, cell: Cell, clock: Clock) -> CellResult:
    """Train a user's model; its units are watched at the end alone."""
    recipe = plan.recipe(cell)
    recipe = replace(recipe, config=replace(recipe.config, track_on=None))
    run = Run(recipe, clock=clock)
    for _ in run.epochs():
        pass
    found = run.report()
    last, train = found.history[-1], found.data.samples[0]
    units, verdicts = _count(run.units())
    steps = len(found.history[1:]) * -(-train // found.config.batch_size)
    spent = sum(epoch.seconds for epoch in found.history)
    dataset, parts = recipe.dataset, run.parts
    classes, guess = None, 0.0
    if dataset.task == CLASSIFICATION:
        classes = dataset.y
        guess = float((parts.test.y == parts.train.y.bincount().argmax()).double().mean())
    rows = split_rows(classes, len(dataset.X), cell.seed)[2]
    return CellResult(
        cell,
        last.train,
        last.validation,
        found.test,
        None if found.diverged is None else found.diverged.epoch,
        units,
        verdicts,
        spent / steps if steps else None,
        tuple(epoch.validation.metric for epoch in found.history),
        SampleOutcomes.of(rows, len(dataset.X), run.sample_scores().numpy(), guess),
        waited_share=found.waited_share,
    )


def _outcomes(
    recipes: Mapping[int, Recipe],
    ensemble: Ensemble | Stacked,
    cells: Sequence[Cell],
    train: Part,
    test: Part,
) -> list[SampleOutcomes]:
    """Return what each net makes of each test sample."""
    scores, found = ensemble.sample_scores(test).numpy(), []
    by_seed = {}
    for k, seed in enumerate(ensemble.seeds):
        dataset = recipes[seed].dataset
        classes, guess = None, 0.0
        if dataset.task == CLASSIFICATION:
            classes = dataset.y
            largest = train.y[k].bincount().argmax()
            guess = float((test.y[k] == largest).double().mean())
        by_seed[seed] = split_rows(classes, len(dataset.X), seed)[2], len(dataset.X), guess
    for cell, mine in zip(cells, scores, strict=True):
        rows, total, guess = by_seed[cell.seed]
        found.append(SampleOutcomes.of(rows, total, mine, guess))
    return found


def _prepare(
    plan: Plan, cells: Sequence[Cell], recipes: Mapping[int, Recipe]
) -> tuple[Ensemble | Stacked, list[Part]]:
    """Return the initialised nets and the parts of the data, stacked over seeds."""
    device = resolve_device(plan.config.net.device)
    dtype = resolve_dtype(plan.config.net.dtype)[1]
    configs = [plan.config.run(cell) for cell in cells]
    splits = [
        split(
            recipes[seed].dataset,
            seed,
            dtype,
            device,
            scale=configs[0].scale,
            centred_targets=plan.output_activation is None,
        )
        for seed in recipes
    ]
    nets: dict[int, Any] = {}
    for (seed, recipe), each in zip(recipes.items(), splits, strict=True):
        if plan.model is None:
            nets[seed] = make_net(recipe, dtype, device)
        else:
            nets[seed], _ = make_twin(recipe, each.train, dtype, device)
    kind = Ensemble if plan.model is None else Stacked
    ensemble = kind([nets[cell.seed] for cell in cells], configs)
    parts = zip(*((each.train, each.validation, each.test) for each in splits), strict=True)
    return ensemble, [_together(part) for part in parts]


def _count(layers: Sequence[UnitStatistics]) -> tuple[int, dict[str, int]]:
    """Return the number of units of all layers, and the number with each verdict."""
    found = [layer.verdicts() for layer in layers]
    counts = {verdict: sum(int(each[verdict].sum()) for each in found) for verdict in VERDICTS}
    return sum(len(layer.mean) for layer in layers), counts


def _together(parts: Sequence[Part]) -> Part:
    return Part(torch.stack([part.X for part in parts]), torch.stack([part.y for part in parts]))
