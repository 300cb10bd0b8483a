"""`actcompare depth`."""

import contextlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from actcompare.cli.options import (
    BOTH,
    GATE_TRIPPED,
    RESULT,
    Acts,
    Device,
    Drawn,
    Sourced,
    Threads,
    gate_option,
    given_on_command_line,
    grouped,
    option,
    settings_of,
)
from actcompare.cli.streams import prints_aside
from actcompare.errors import ActcompareError, UsageError
from actcompare.output.formats import Destination
from actcompare.output.messages import say
from actcompare.output.results import heading, write

if TYPE_CHECKING:
    from actcompare.propagation.signal import Propagation
    from actcompare.propagation.training import Listener
    from actcompare.studies.study import Work

_NUMBERS = (
    *("sigma_w2", "sigma_b2", "q0", "fixed_point", "chi", "slope_q", "xi_q", "xi_c"),
    *("reach_layers", "log10_gradient_theory", "log10_gradient_corrected"),
    *("log10_gradient_measured", "log10_gradient_low", "log10_gradient_high"),
    *("one_minus_c_theory", "one_minus_c_measured", "zero_dead_theory", "zero_dead_measured"),
    *("gradient_dead", "constant", "agrees"),
)
"""Columns that a gate can test."""

_GAINS = {"gains", "activations", "output_format", "output", "quiet"}
"""Parameters that may accompany --gains."""


@dataclass(frozen=True)
class DepthOptions(Sourced):
    """Settings of `actcompare.signal_depth` on the command line."""

    activations: Acts = field(default_factory=lambda: [*BOTH])
    init: Annotated[
        list[str],
        option(
            "Initialisation: default, kaiming, xavier, critical, or two variances. Repeatable.",
            "NAME|SIGMA_W2,SIGMA_B2",
        ),
    ] = field(default_factory=lambda: ["default", "kaiming", "critical"])
    layers: Annotated[int | None, option("Hidden layers.", "N", default="50; 32 with --train")] = (
        None
    )
    width: Annotated[int, option("Units per hidden layer.", "N")] = 256
    nets: Annotated[int, option("Random nets to measure.", "N")] = 16
    theory_only: Annotated[bool, option("Measure nothing.", names=("--theory-only",))] = False
    train: Annotated[
        bool, option("Also train nets of this depth: minutes.", names=("--train",))
    ] = False
    device: Device = "cpu"
    threads: Threads = None
    seed: Annotated[int, option("Seed of the weights and of the inputs.")] = 0
    time_limit: Annotated[float, option("Seconds after which no more nets are measured.")] = 60.0


@grouped
def depth_command(
    context: typer.Context,
    *,
    options: DepthOptions,
    gains: Annotated[
        bool,
        option(
            "Only the gains of each activation, beside torch's.", names=("--gains",), panel=RESULT
        ),
    ] = False,
    fail_on: Annotated[list[str] | None, gate_option("reach_layers<50")] = None,
    drawn: Drawn,
) -> None:
    """What becomes of the signal in a deep net, and which initialisation to use.

    Example: actcompare depth --act relu --act softplus --act gelu
    """
    destination = drawn.destination()
    drawing = drawn.drawing(destination)
    if gains:
        _refuse_beside_gains(context)
        _show_gains(options.activations, destination)
        return
    from actcompare.output.gates import parse_gates, report_tripped
    from actcompare.propagation.signal import signal_depth
    from actcompare.propagation.tables import row_name

    gates = parse_gates(fail_on, _NUMBERS)
    with _bar(drawn.quiet) as listen, prints_aside():
        found = signal_depth(**settings_of(options), listen=listen)
    columns = found.columns()
    _show(found, destination)
    if drawing:
        from actcompare.propagation.plots import depth_picture

        drawing.show(depth_picture(found))
    if report_tripped(gates, columns, lambda column, i: row_name(columns, column, i)):
        raise typer.Exit(GATE_TRIPPED)


def _refuse_beside_gains(context: typer.Context) -> None:
    """Refuse options that --gains would ignore, a gate among them."""
    ignored = given_on_command_line(context) - _GAINS
    for parameter in context.command.params:
        if parameter.name in ignored:
            raise UsageError(f"--gains shows gains alone: omit {parameter.opts[0]}")


@contextlib.contextmanager
def _bar(quiet: bool) -> "Iterator[Listener | None]":
    """Show a progress line: the runs of each initialisation."""
    from actcompare.cli.progress import progress_line

    with progress_line(quiet, description="theory and nets") as update:
        if update is None:
            yield None
            return

        def tell(init: str, work: "Work") -> None:
            said = f"training, {init}: {work.done:,} of {work.total:,} runs"
            update(completed=work.done, total=work.total, description=said)

        yield tell


def _show(found: "Propagation", destination: Destination) -> None:
    from actcompare.propagation.tables import (
        gradient_grid,
        samples_grid,
        theory_grid,
        training_grid,
    )

    columns, layers, trained = found.columns(), found.config.layers, found.training()
    grids = [theory_grid(columns), gradient_grid(columns, layers), samples_grid(columns)]
    grids += [training_grid(trained, found.metric)] if trained else []
    write(
        destination,
        heading("depth", asdict(found.config), found.environment.as_dict()),
        columns,
        grids,
        found.reading(),
        more={
            "layers": found.layers(),
            "gains": [asdict(each) for each in found.gains],
            "edge": [_edge(edge) for edge in found.edges],
            "training": trained,
        },
    )


def _edge(edge: Any) -> dict[str, Any]:
    """Return an edge of chaos as plain data."""
    points = [asdict(point) | {"stability": point.stability} for point in edge.points]
    return {"activation": edge.activation, "points": points}


def _show_gains(specs: list[str], destination: Destination) -> None:
    """Show the gains of each activation, and nothing else."""
    import torch

    from actcompare.activations.spec import parse_all
    from actcompare.machine.environment import describe_environment
    from actcompare.propagation.tables import gains_grid
    from actcompare.propagation.theory.gains import gain
    from actcompare.table import Table

    found, asked = [], parse_all(specs)
    with prints_aside():
        for activation in asked:
            try:
                found.append(gain(activation))
            except ActcompareError as error:  # the others are still shown
                say(f"error: {error}")
    if not found:
        raise typer.Exit(1)
    environment = describe_environment(torch.device("cpu")).as_dict()
    columns = Table.of([asdict(each) for each in found])
    head = heading("depth", {"activations": [each.activation for each in found]}, environment)
    write(destination, head, columns, [gains_grid(found)], "")
    if len(found) < len(asked):
        raise typer.Exit(1)
