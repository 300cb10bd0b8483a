"""`actcompare bench`."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from actcompare.cli.options import (
    BOTH,
    DTYPES,
    GATE_TRIPPED,
    MACHINE_PANEL,
    MODEL,
    Acts,
    Drawn,
    Fed,
    NumberFormat,
    Optimizer,
    Threads,
    gate_option,
    given_on_command_line,
    grouped,
    option,
    settings_of,
)
from actcompare.cli.streams import prints_aside
from actcompare.errors import ActcompareError, Terminated, UsageError
from actcompare.files.writing import check_writable, open_output
from actcompare.output.formats import Destination
from actcompare.output.messages import say
from actcompare.output.results import heading, write
from actcompare.table import Columns
from actcompare.text import read_shape

if TYPE_CHECKING:
    from actcompare.benchmark.bench import Benchmark
    from actcompare.benchmark.changes import Changes
    from actcompare.benchmark.measure import Progress
    from actcompare.benchmark.records import Case
    from actcompare.output.gates import Gate
    from actcompare.stats import Estimate

    Run = Callable[..., Benchmark]

_SHOWING = {"load", "compare", "fail_on"} | {field.name for field in fields(Drawn)}
"""Parameters that may accompany --load, since they need no measurement."""


Pass = StrEnum("Pass", ["forward", "backward", "both", "step"])
Mode = StrEnum("Mode", ["eager", "compiled"])
Cache = StrEnum("Cache", ["hot", "cold"])
Memory = StrEnum("Memory", ["warm", "fresh"])
Layout = StrEnum("Layout", ["contiguous", "strided"])
Input = StrEnum("Input", ["normal", "uniform", "tail"])


@dataclass(frozen=True)
class ModelOptions(Fed):
    """Options of a benchmark of a user's model."""

    model: Annotated[
        str | None,
        option(
            "A model of yours instead: what other activations cost in it. module:attr,"
            " file.py:attr, timm:NAME, torchvision:NAME or hf:NAME.",
            "TARGET",
            panel=MODEL,
        ),
    ] = None
    batch_size: Annotated[int, option("Samples per batch of --model.", "N", panel=MODEL)] = 8
    optimizer: Annotated[Optimizer, option("Optimizer of --model in --pass step.", panel=MODEL)] = (
        Optimizer.sgd
    )


@dataclass(frozen=True)
class BenchOptions:
    """Settings of `actcompare.bench` on the command line."""

    activations: Acts = field(default_factory=lambda: [*BOTH])
    device: Annotated[
        list[str],
        option("Device to compute on. Repeatable.", "cpu|cuda|cuda:N|mps", panel=MACHINE_PANEL),
    ] = field(default_factory=lambda: ["cpu"])
    dtype: Annotated[
        list[NumberFormat], option(f"{DTYPES} Repeatable.", "DTYPE", panel=MACHINE_PANEL)
    ] = field(default_factory=lambda: [NumberFormat.float32])
    size: Annotated[
        list[int] | None, option("Elements: 4096, 1e6, 2^20. Repeatable.", "N", default="three")
    ] = None
    shape: Annotated[
        list[str] | None, option("Shape of the input: 128x4096. Repeatable.", "SHAPE")
    ] = None
    passes: Annotated[
        list[Pass] | None,
        option(
            "Pass to time: forward, backward, both, or step (a training step of SimpleNet)."
            " Repeatable.",
            "PASS",
            names=("--pass",),
            default="forward, both, and step without --size or --shape",
        ),
    ] = None
    hidden: Annotated[
        list[int] | None,
        option("Width of SimpleNet for --pass step. Repeatable.", "N", default="64, 1024"),
    ] = None
    mode: Annotated[
        list[Mode], option("Mode: eager, or compiled (torch.compile). Repeatable.", "MODE")
    ] = field(default_factory=lambda: [Mode.eager])
    cache: Annotated[
        list[Cache],
        option(
            "Cache: hot (one buffer), or cold (a cycle of buffers larger than it). Repeatable.",
            "CACHE",
        ),
    ] = field(default_factory=lambda: [Cache.hot])
    memory: Annotated[
        list[Memory],
        option(
            "Memory: warm (freed memory is reused), or fresh (as glibc allocates). Repeatable.",
            "MEMORY",
        ),
    ] = field(default_factory=lambda: [Memory.warm])
    layout: Annotated[
        list[Layout],
        option("Layout: contiguous, or strided (every second element). Repeatable.", "LAYOUT"),
    ] = field(default_factory=lambda: [Layout.contiguous])
    input: Annotated[
        list[Input],
        option(
            "Input: normal (N(0,1)), uniform (U(-1,1)), or tail (softplus is subnormal)."
            " Repeatable.",
            "INPUT",
        ),
    ] = field(default_factory=lambda: [Input.normal])
    threads: Threads = None
    seed: Annotated[int, option("Seed of the inputs and of the order within rounds.")] = 0
    time_limit: Annotated[
        float | None, option("Seconds per case.", default="1.5; 10 with --model")
    ] = None
    precision: Annotated[
        float, option("Stop a case once its ratios are known to within this share.")
    ] = 0.005
    margin: Annotated[float, option("Ratios within this share of 1 count as the same.")] = 0.01


@grouped
def bench_command(
    context: typer.Context,
    *,
    options: BenchOptions,
    net: ModelOptions,
    save: Annotated[Path | None, option("Save every round to FILE, case by case.", "FILE")] = None,
    load: Annotated[
        Path | None, option("Show the run saved in FILE without measuring.", "FILE")
    ] = None,
    compare: Annotated[Path | None, option("Compare with the run saved in FILE.", "FILE")] = None,
    fail_on: Annotated[list[str] | None, gate_option("slower>3%")] = None,
    drawn: Drawn,
) -> None:
    """What activations cost on this machine: paired timings, each against the first.

    Example: actcompare bench --device cuda, or actcompare bench --model timm:resnet18 --act silu
    """
    destination = drawn.destination()
    drawing = drawn.drawing(destination)
    from actcompare.benchmark.records import NUMBERS, OF_MODELS, VERDICTS
    from actcompare.benchmark.saved import load as load_saved
    from actcompare.output.gates import parse_gates

    old = load_saved(compare) if compare else None
    stopped: BaseException | None = None
    saved = None
    if load is not None:
        _refuse_to_measure(context)
        saved = load_saved(load)
    of_model = bool(net.model or (saved and saved.config.model))
    gates = parse_gates(fail_on, (*NUMBERS, *(OF_MODELS if of_model else ())), VERDICTS)
    if saved is not None:
        benchmark = saved
    else:
        asked = given_on_command_line(context)
        run = _of_model(options, net, asked) if net.model else _of_calls(options, asked)
        benchmark, stopped = _measure(run, save, old, drawn.quiet)
    columns = _show(benchmark, old, destination)
    if columns and drawing:
        from actcompare.benchmark.plots import cost_picture

        drawing.show(cost_picture(columns, benchmark.environment.as_dict()))
    for reason in benchmark.failures():
        say(f"error: {reason}")
    if stopped is not None:
        raise stopped
    if _trips(gates, columns):
        raise typer.Exit(GATE_TRIPPED)
    if benchmark.failures():
        raise typer.Exit(1)


def _of_calls(options: BenchOptions, asked: set[str]) -> "Run":
    """Return what measures activations by themselves."""
    from actcompare.benchmark.bench import bench

    for name in {each.name for each in fields(ModelOptions)} & asked:
        raise UsageError(f"--{name.replace('_', '-')} needs --model")
    settings = settings_of(options)
    settings["size"] = options.size or ()
    settings["shape"] = [_read_shape(text) for text in options.shape or []]
    settings["hidden"] = options.hidden or ()
    settings["time_limit"] = 1.5 if options.time_limit is None else options.time_limit
    return partial(bench, **settings)


def _of_model(options: BenchOptions, net: ModelOptions, asked: set[str]) -> "Run":
    """Return what measures activations in a user's model."""
    from actcompare.benchmark.nets.bench import NetSettings, bench_model
    from actcompare.models.target import Source, load_target
    from actcompare.models.uses import AS_IS

    assert net.model is not None
    known = {"activations", *(each.name for each in fields(NetSettings))}
    for name in {each.name for each in fields(BenchOptions)} & asked - known:
        raise UsageError(f"--{name} is of activations by themselves: omit it with --model")
    if net.batch_size < 1:
        raise UsageError(f"the batch size must be at least 1, not {net.batch_size}")
    source = Source(net.data, net.random, net.random_tokens, options.seed)
    source.check(net.model)
    settings = settings_of(options)
    settings = {name: settings[name] for name in settings if name in NetSettings.__annotations__}
    if options.time_limit is None:
        del settings["time_limit"]
    settings |= {"optimizer": net.optimizer.value, "name": net.model}
    acts = options.activations if "activations" in asked else [AS_IS, *BOTH]
    with prints_aside():
        model, takes, loaded = load_target(net.model, net.checkpoint)
        if loaded:
            say(loaded)
        size = source.tokens[0] if source.tokens else net.batch_size
        batch = next(iter(source.batches(model, takes, size, size)), None)
    if batch is None:
        raise ActcompareError(f"{source} holds no samples")
    return partial(bench_model, model, batch, acts, **settings)


def _refuse_to_measure(context: typer.Context) -> None:
    """Refuse options that --load would ignore because nothing is measured."""
    ignored = given_on_command_line(context) - set(_SHOWING)
    for parameter in context.command.params:
        if parameter.name in ignored:
            raise UsageError(f"--load shows a saved run: omit {parameter.opts[0]}")


def _read_shape(text: str) -> list[int]:
    try:
        return read_shape(text)
    except ValueError:
        raise UsageError(f"--shape {text!r} is not a shape such as 128x4096") from None


def _measure(
    run: "Run", save: Path | None, old: "Benchmark | None", quiet: bool
) -> "tuple[Benchmark, BaseException | None]":
    """Measure and save case by case; return what was measured, and any interrupt or error."""
    from actcompare.benchmark.changes import refuse_nothing_in_common
    from actcompare.benchmark.saved import dumps
    from actcompare.machine.processors import load_cautions

    done: list[Benchmark] = []
    if save is not None:
        check_writable(save, regular=True)
    with _bar(quiet) as (tell, show):

        def keep(benchmark: "Benchmark") -> None:
            if not done and old is not None:
                refuse_nothing_in_common(benchmark.config, old)
            for caution in load_cautions(benchmark.config.threads) if not (done or quiet) else []:
                say(f"warning: {caution}")
            done.append(benchmark)
            show(benchmark)
            if benchmark.measurements and save is not None:
                with open_output(save) as out:
                    out.write(dumps(benchmark))

        try:
            with prints_aside():
                run(progress=tell, keep=keep)
        except (KeyboardInterrupt, Terminated, ActcompareError) as error:
            if not (done and done[-1].measurements):
                raise
            return done[-1], error
    return done[-1], None


@contextlib.contextmanager
def _bar(quiet: bool) -> "Iterator[tuple[Progress | None, Callable[[Benchmark], None]]]":
    """Show a progress line: the cases done, and the interval of the current ratio."""
    from actcompare.benchmark.explain import name_case
    from actcompare.cli.progress import progress_line

    counted = ""
    with progress_line(quiet, own_refresh=True) as update:
        if update is None:
            yield None, lambda _: None
            return

        def tell(case: "Case", ratio: "Estimate") -> None:
            interval = f"{ratio.value:.3f} ({ratio.low:.3f} to {ratio.high:.3f})"
            name = name_case(case, ["pass_", "shape"])
            update(description=f"{counted} {name}: ratio {interval}")

        def show(benchmark: "Benchmark") -> None:
            nonlocal counted
            done, total = len(benchmark.measurements), len(benchmark.config.cases)
            counted = f"{done}/{total}"
            update(completed=done, total=total, description=counted)

        yield tell, show


def _show(benchmark: "Benchmark", old: "Benchmark | None", destination: Destination) -> Columns:
    """Write the result, and return its columns."""
    from actcompare.benchmark.changes import compare_runs
    from actcompare.benchmark.tables import cost_grid

    result: Benchmark | Changes = benchmark if old is None else compare_runs(benchmark, old)
    columns, environment = result.columns(), benchmark.environment.as_dict()
    if not columns:
        return columns
    write(
        destination,
        heading("bench", asdict(benchmark.config), environment),
        columns,
        [cost_grid(columns, environment)],
        result.reading(),
    )
    return columns


def _trips(gates: "list[Gate]", columns: Columns) -> bool:
    """Return whether a gate trips; report every row that trips one on stderr."""
    from actcompare.benchmark.tables import row_name
    from actcompare.output.gates import SLOWER, report_tripped

    found = report_tripped(gates, columns, lambda _, i: row_name(columns, i))
    unclear = sum(each.startswith("unclear") for each in columns.get("verdict", ()))
    if any(gate.column == SLOWER for gate in gates) and unclear and not found:
        total = len(columns["verdict"])
        say(f"inconclusive: {unclear} of {total} rows are unclear and none is slower")
    return found
