"""The command line: all commands, under one application."""

import sys
from typing import Annotated

import typer

from actcompare import __version__
from actcompare.benchmark.command import bench_command
from actcompare.cli.arguments import Command, NumbersAsArguments
from actcompare.cli.failures import ErrorLines
from actcompare.cli.manual import help_command
from actcompare.cli.options import dtype_named
from actcompare.errors import UsageError
from actcompare.evaluation.command import evaluate_command
from actcompare.inspection.command import inspect_command
from actcompare.propagation.command import depth_command
from actcompare.properties.command import list_command, table_command
from actcompare.reporting.command import report_command
from actcompare.studies.command import study_command
from actcompare.training.command import train_command

app = typer.Typer(
    name="actcompare",
    cls=ErrorLines,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "token_normalize_func": dtype_named},
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


app.command(
    "eval",
    cls=NumbersAsArguments,
    context_settings={"ignore_unknown_options": True},
    epilog="Manual: actcompare help eval",
)(evaluate_command)

for _name, _command in {
    "report": report_command,
    "table": table_command,
    "bench": bench_command,
    "train": train_command,
    "study": study_command,
    "inspect": inspect_command,
    "depth": depth_command,
    "list": list_command,
}.items():
    app.command(_name, cls=Command, epilog=f"Manual: actcompare help {_name}")(_command)

app.command("help")(help_command)
