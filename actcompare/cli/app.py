"""The command line: the commands, and the only place that exits."""

import sys
from typing import Annotated

import typer

from actcompare import __version__
from actcompare.benchmark.command import bench_command
from actcompare.cli.failures import ErrorLines, NegativeNumbers
from actcompare.errors import UsageError
from actcompare.evaluation.command import evaluate_command
from actcompare.inspection.command import inspect_command
from actcompare.properties.command import list_command, table_command
from actcompare.studies.command import study_command
from actcompare.training.command import train_command

app = typer.Typer(
    name="actcompare",
    cls=ErrorLines,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Measure softplus, ReLU and any other PyTorch activation on your own inputs.",
)


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="With --version: torch's version and devices too.")
    ] = False,
) -> None:
    if version:
        typer.echo(f"actcompare {__version__}")
        if verbose:
            import torch

            from actcompare.machine.devices import available_devices

            typer.echo(f"torch {torch.__version__}, Python {sys.version.split()[0]}")
            for device in available_devices():
                typer.echo(f"device {device}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        raise UsageError("no command: try actcompare --help")


app.command("eval", cls=NegativeNumbers, context_settings={"ignore_unknown_options": True})(
    evaluate_command
)

app.command("table")(table_command)

app.command("bench")(bench_command)

app.command("train")(train_command)

app.command("study")(study_command)

app.command("inspect")(inspect_command)

app.command("list")(list_command)
