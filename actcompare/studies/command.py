"""`actcompare study`."""

import contextlib
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from actcompare.cli.options import (
    BOTH,
    GATE_TRIPPED,
    MACHINE_PANEL,
    Acts,
    Device,
    Drawn,
    Dtype,
    Modelled,
    NumberFormat,
    flag_of,
    gate_option,
    given_on_command_line,
    grouped,
    option,
    settings_of,
    shape_of,
)
from actcompare.cli.streams import prints_aside
from actcompare.errors import ActcompareError, Terminated, UsageError
from actcompare.output.formats import Destination
from actcompare.output.messages import say
from actcompare.output.results import heading, write
from actcompare.studies.fits.records import METRIC

if TYPE_CHECKING:
    from actcompare.output.gates import Gate
    from actcompare.studies.engines.workers import Engine
    from actcompare.studies.forecast import Forecast
    from actcompare.studies.store import Store
    from actcompare.studies.study import Study, Work

FIT = "Your own training or results"
"""Panel of options in --help."""

EngineName = StrEnum("EngineName", ["local", "ray"])


@dataclass(frozen=True)
class StudyOptions(Modelled):
    """Settings of `actcompare.study` on the command line."""

    activations: Acts = field(default_factory=lambda: [*BOTH])
    seeds: Annotated[int, option("Paired seeds per activation.", "N")] = 20
    lr: Annotated[
        list[float] | None,
        option(
            "Candidate learning rates; the validation set decides. Repeatable.",
            default="0.1, 0.3, 1, 3 and 10 times train's default",
        ),
    ] = None
    depth: Annotated[list[int], option("Hidden layers. Repeatable.", "N")] = field(
        default_factory=lambda: [1]
    )
    hidden: Annotated[list[int], option("Units per hidden layer. Repeatable.", "N")] = field(
        default_factory=lambda: [64]
    )
    margin: Annotated[
        float | None,
        option(
            "Differences of the test metric within this margin do not matter.",
            default="0.01; 0 with --train",
        ),
    ] = None
    seed: Annotated[int, option("First seed.")] = 0
    device: Device = "cpu"
    dtype: Dtype = NumberFormat.float32
    threads: Annotated[int, option("Torch threads per worker.", "N", panel=MACHINE_PANEL)] = 1


@dataclass(frozen=True)
class FitOptions:
    """Options for a training of the user's own, and for results that are there already."""

    train: Annotated[
        str | None,
        option(
            "Train with your own fit(activation, seed, lr, ...), which returns the metric:"
            " file.py:fit or module:fit.",
            "FILE.py:FIT",
            panel=FIT,
        ),
    ] = None
    setting: Annotated[
        list[str] | None,
        option(
            "A setting for the fit: a Python literal, else text. Repeatable.",
            "KEY=VALUE",
            names=("--set",),
            panel=FIT,
        ),
    ] = None
    metric: Annotated[
        str,
        option(
            "Key of the metric in what the fit returns, or its column in --results.",
            "NAME",
            panel=FIT,
        ),
    ] = METRIC
    higher_is_better: Annotated[
        bool,
        option(
            "Which end of the metric is the better one.",
            names=("--higher-is-better/--lower-is-better",),
            panel=FIT,
        ),
    ] = True
    cell_time_limit: Annotated[
        float | None,
        option(
            "Stop a run after so many seconds, and count it as failed.",
            "SECONDS",
            default="none",
            panel=FIT,
        ),
    ] = None
    results: Annotated[
        Path | None,
        option(
            "Only compare results that are there already: columns activation, seed and metric.",
            "FILE.csv|.parquet|.json",
            panel=FIT,
        ),
    ] = None


@grouped
def study_command(
    context: typer.Context,
    *,
    options: StudyOptions,
    own: FitOptions,
    store: Annotated[
        Path | None,
        option(
            "Keep the study in FILE (SQLite) and resume it. Without other settings: show it.",
            "FILE",
        ),
    ] = None,
    engine: Annotated[
        EngineName, option("Local worker processes, or a Ray cluster.")
    ] = EngineName.local,
    workers: Annotated[
        int | None, option("Worker processes.", "N", default="one per core; one on a GPU")
    ] = None,
    address: Annotated[
        str | None,
        option(
            "Address of a running Ray cluster.",
            "HOST:PORT|auto",
            default="start Ray on this machine",
        ),
    ] = None,
    gpus_per_task: Annotated[
        float | None,
        option(
            "GPUs per Ray task; with --train also per worker here, such as 0.5.",
            default="1 with --device cuda, or where --train finds any",
        ),
    ] = None,
    dry_run: Annotated[
        bool, option("Only estimate the number of runs and their time.", names=("--dry-run",))
    ] = False,
    fail_on: Annotated[list[str] | None, gate_option("difference_high<0")] = None,
    drawn: Drawn,
) -> None:
    """Train many paired seeds of each activation; report which does better, and how surely.

    Example: actcompare study --act relu --act softplus
    """
    destination = drawn.destination()
    drawing = drawn.drawing(destination)
    from actcompare.output.gates import parse_gates
    from actcompare.studies.comparison import NUMBERS, VERDICTS

    settings = settings_of(options)
    given = given_on_command_line(context)
    asked = given & {*settings, "train"}
    of_fit = own.train is not None or own.results is not None
    kinds = ("fit",) if of_fit else ("SimpleNet",) if asked or store is None else (*NUMBERS,)
    numbers = dict.fromkeys(name for kind in kinds for name in NUMBERS[kind])
    gates = parse_gates(fail_on, [*numbers], VERDICTS)
    settings["lr"] = settings["lr"] or None
    settings["input_shape"] = shape_of("--input-shape", options.input_shape)
    _check_kind(own, given, settings.keys())
    if own.train is not None:
        if dry_run:
            raise UsageError("--dry-run cannot tell how long --train takes: try --seeds 1")
        settings = _of_fit(own, settings)
    with contextlib.ExitStack() as kept:
        if own.results is not None:
            study, stopped = _given(own, settings, asked), None
        elif store is not None and not asked and not dry_run:
            study, stopped = _stored(kept, store), None
        else:
            from actcompare.studies.store import Store
            from actcompare.studies.study import choose_engine

            fit = own.train is not None
            chosen = choose_engine(engine.value, workers, address, gpus_per_task, fit=fit)
            opened = None
            if store is not None and not (dry_run and not store.exists()):
                opened = kept.enter_context(Store(store, only_shown=dry_run))
            work = _prepare(settings, opened, address is not None, drawn.quiet)
            if dry_run:
                _say_what_it_takes(work, workers, destination)
                return
            study, stopped = _carry_out(work, chosen, store, drawn.quiet)
    _show(study, destination)
    if drawing and study.results:
        from actcompare.studies.plots import study_picture

        drawing.show(study_picture(study))
    if not drawn.quiet:
        _say_if_busy(study)
    if stopped is not None:
        raise stopped
    if not study.results:
        first = study.failures[0]
        raise ActcompareError(
            f"every run failed. First error ({first.cell.activation}, seed {first.cell.seed}):"
            f" {first.error}"
        )
    if _trips(gates, study):
        raise typer.Exit(GATE_TRIPPED)


_SHARED = {"activations", "seeds", "lr", "margin", "seed", "threads"}
"""Settings of a study that also concern a fit."""

_OF_RESULTS = {"activations", "margin"}
"""Settings of a study that also concern results that are there already."""

_RUNNING = ("store", "engine", "workers", "address", "gpus_per_task", "dry_run")


def _check_kind(own: FitOptions, given: set[str], settings: Collection[str]) -> None:
    """Check that only options of one kind of study are given.

    Raises:
        UsageError: An option belongs to another kind; names it.
    """
    of_fit = {each.name for each in fields(FitOptions)}
    if own.train is not None and own.results is not None:
        raise UsageError("--train makes results, and --results has them: give one of them")
    if own.train is not None:
        wrong = given & (set(settings) - _SHARED)
        why = "of SimpleNet, not of --train: give the fit its settings with --set"
    elif own.results is not None:
        wrong = given & ({*settings, *_RUNNING, "setting", "cell_time_limit"} - _OF_RESULTS)
        why = "for runs, and --results makes none"
    else:
        wrong, why = given & of_fit, "only with --train or --results"
    if wrong:
        names = {"activations": "--act", "output_activation": "--output-act", "setting": "--set"}
        if "higher_is_better" in wrong and not own.higher_is_better:
            names["higher_is_better"] = "--lower-is-better"
        said = sorted(names.get(name) or flag_of(name) for name in wrong)
        raise UsageError(f"{', '.join(said)}: {why}")


def _of_fit(own: FitOptions, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a study of a fit."""
    from actcompare.studies.fits.load import read_settings

    return {name: settings[name] for name in _SHARED} | {
        "train": own.train,
        "settings": read_settings(own.setting or []),
        "metric": own.metric,
        "higher_is_better": own.higher_is_better,
        "cell_time_limit": own.cell_time_limit,
    }


def _given(own: FitOptions, settings: dict[str, Any], asked: set[str]) -> "Study":
    """Return the study of results that are there already."""
    from actcompare.studies.fits.results import study_results

    assert own.results is not None
    return study_results(
        own.results,
        activations=settings["activations"] if "activations" in asked else None,
        metric=own.metric,
        higher_is_better=own.higher_is_better,
        margin=settings["margin"],
    )


def _say_if_busy(study: "Study") -> None:
    from statistics import median

    from actcompare.machine.waiting import waiting_caution

    known = [each.waited_share for each in study.results if each.waited_share is not None]
    caution = waiting_caution(median(known) if known else None, "training steps (step_s)")
    if caution:
        say(f"warning: {caution}")


def _stored(kept: contextlib.ExitStack, path: Path) -> "Study":
    """Return the study in a store; never create the file."""
    from actcompare.studies.store import Store
    from actcompare.studies.study import stored_study

    if not path.exists():
        raise UsageError(f"there is no study in {path}: name what to compare, such as --act relu")
    return stored_study(kept.enter_context(Store(path, only_shown=True)))


def _prepare(settings: dict[str, Any], store: "Store | None", remote: bool, quiet: bool) -> "Work":
    from actcompare.machine.environment import what_differs
    from actcompare.studies.fits.plan import FitPlan
    from actcompare.studies.plan import Plan
    from actcompare.studies.study import Work, make_any_plan

    acts, train = settings.pop("activations"), settings.pop("train", None)
    with prints_aside():
        plan = make_any_plan(acts, settings.pop("data", "digits"), train, settings)
        work = Work(plan, store, remote=remote)
    if not quiet:
        for note in plan.dataset.notes if isinstance(plan, Plan) else ():
            say(f"warning: {note}")
        if work.code_changed and isinstance(plan, FitPlan):
            say(
                f"warning: the file of {plan.fit.label} has changed since the first runs in the"
                " store: they may not be comparable"
            )
        before = work.kept_from
        changed = what_differs(before, work.environment) if before is not None else ""
        if changed and work.groups_left():
            say(f"warning: results may differ in the last bits, since {changed}")
    return work


def _carry_out(
    work: "Work", engine: "Engine", store: Path | None, quiet: bool
) -> "tuple[Study, BaseException | None]":
    """Run what is left; if interrupted, return the results so far and the interruption."""
    with _bar(work, quiet) as listen:
        try:
            with prints_aside():
                return work.carry_on(engine, listen), None
        except (KeyboardInterrupt, Terminated, ActcompareError) as error:
            if not work.done:
                raise
            stopped: BaseException = error
    if not isinstance(stopped, ActcompareError):
        how = "the same command resumes here" if store else "--store FILE would keep them"
        say(f"{work.done:,} of {work.total:,} runs are done: {how}")
    return work.report(), stopped


@contextlib.contextmanager
def _bar(work: "Work", quiet: bool) -> "Iterator[Callable[[Work], None]]":
    """Show a progress line: runs done, runs per second, time left."""
    from actcompare.cli.progress import progress_line

    total, start, before = work.total, time.perf_counter(), work.done
    with progress_line(
        quiet,
        total=total,
        completed=before,
        description=f"{before:,} of {total:,} runs",
        time_left=True,
    ) as update:

        def tell(work: "Work") -> None:
            if update is None:
                return
            rate = (work.done - before) / (time.perf_counter() - start)
            said = f"{work.done:,} of {total:,} runs, {rate:,.1f}/s"
            failed = len(work.outcomes) - work.done
            said += f", {failed:,} failed" if failed else ""
            update(completed=len(work.outcomes), description=said)

        yield tell


def _say_what_it_takes(work: "Work", workers: int | None, destination: Destination) -> None:
    from actcompare.machine.cores import usable_cores
    from actcompare.studies.forecast import forecast, sensible_workers
    from actcompare.studies.plan import Plan
    from actcompare.studies.tables import forecast_grid
    from actcompare.text import duration, in_bytes

    groups = work.groups_left()
    if not groups:
        say("nothing left to do")
        return
    assert isinstance(work.plan, Plan)
    with prints_aside():
        found: Forecast = forecast(work.plan, groups, work.environment)
    counts = sensible_workers(len(groups), usable_cores())
    if workers is not None:
        counts = sorted({1, workers, *counts})
    by_workers = {count: found.seconds_on(count) for count in counts}
    held = f"each worker needs about {in_bytes(found.peak_bytes)}"
    write(
        destination,
        heading("study", work.plan.config.as_dict(), work.environment.as_dict()),
        found.columns(),
        [forecast_grid(found.columns(), by_workers, held)],
        f"About {duration(by_workers[min(counts)])} with one worker, for {found.cells:,} of"
        f" {work.total:,} runs in {len(groups):,} groups. The estimate comes from training one"
        " group of each kind on this machine.",
        more={
            "cells": found.cells,
            "groups": len(groups),
            "seconds_by_workers": {str(count): taken for count, taken in by_workers.items()},
            "peak_bytes": found.peak_bytes,
        },
    )


def _show(study: "Study", destination: Destination) -> None:
    from actcompare.studies.tables import answer_grid, rate_grid, runs_grid

    columns, shared = study.columns(), study.shared_rates()
    grids = []
    if study.results:
        on = study.lr_chosen_on
        grids = [answer_grid(columns, study.metric, study.config, chosen_on=on)]
    if study.results and study.config.given_seeds is None:
        grids.append(runs_grid(columns))
    if study.results and len(study.config.lrs) > 1:
        grids.append(rate_grid(shared, columns, study.metric))
    curves = [list(result.curve) for result in study.results] + [None] * len(study.failures)
    name = "validation_curve" if study.config.fit is None else "curve"
    cells = [row | {name: curve} for row, curve in zip(study.cell_rows(), curves, strict=True)]
    write(
        destination,
        heading("study", study.config.as_dict(), study.environment.as_dict()),
        columns,
        grids,
        study.reading(),
        more={
            "metric": study.metric,
            "complete": not study.missing and not study.failures,
            "shared_rates": study.shared_rate_rows(),
            "cells": cells,
        },
    )


def _trips(gates: "list[Gate]", study: "Study") -> bool:
    """Return whether a gate trips; report each that does, and why, on stderr."""
    from actcompare.output.gates import report_tripped

    columns = study.columns()
    for gate in gates:
        if gate.column not in columns:
            raise UsageError(f"--fail-on {gate.text!r}: this study has no column {gate.column}")

    def where(column: str, i: int) -> str:
        value = columns[column][i]
        shown = value if isinstance(value, str) else f"{value:.6g}"
        said = f"it is {shown} for {columns['activation'][i]}"
        if "depth" not in columns:
            return said
        return f"{said} (depth {columns['depth'][i]}, hidden {columns['hidden'][i]})"

    return report_tripped(gates, columns, where)
