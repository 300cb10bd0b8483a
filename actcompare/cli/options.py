"""Options that commands share: one name, one meaning."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from actcompare.output.formats import Format


def complete_spec(incomplete: str) -> list[str]:
    """SPECs of the catalogue that begin so."""
    from actcompare.activations.catalogue import CATALOGUE

    return [entry.spec for entry in CATALOGUE if entry.spec.startswith(incomplete)]


Acts = Annotated[
    list[str],
    typer.Option(
        "--act",
        metavar="SPEC",
        autocompletion=complete_spec,
        help="An activation: relu, softplus:beta=2, your own as module:Name or file.py:Name"
        " (importing it runs its code), or all. Repeatable; the first is the baseline.",
    ),
]

Dtype = Annotated[
    str,
    typer.Option(
        metavar="float32|float64|bfloat16|float16",
        autocompletion=lambda: ["float32", "float64", "bfloat16", "float16"],
        help="Number format.",
    ),
]

Device = Annotated[str, typer.Option(metavar="cpu|cuda|cuda:N|mps", help="Where to compute.")]

OutputFormat = Annotated[
    Format | None,
    typer.Option(
        "--format", help="How to write the result.", show_default="table, or as FILE ends"
    ),
]

Output = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write to FILE, whole or not at all, instead of stdout."),
]

Quiet = Annotated[bool, typer.Option("--quiet", help="No progress and no warnings on stderr.")]

Plot = Annotated[bool, typer.Option("--plot", help="Draw the result in the terminal.")]

PlotFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Draw the result: .svg, .png or .pdf.")
]

FailOn = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CONDITION",
        help="Exit with 3 if a row meets COLUMN OP NUMBER, such as 'slower>3%'. Repeatable.",
    ),
]

# What `train` and `study` learn, and how.
Data = Annotated[
    str,
    typer.Option(
        metavar="digits|FILE|sklearn:NAME|random",
        help="What to learn. FILE: .csv, .tsv or .parquet with --target, or .npz with X and y.",
    ),
]

Target = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="The column of a table to learn.")
]

Task = Annotated[
    str | None,
    typer.Option(
        metavar="classification|regression",
        help="What the target is.",
        show_default="as the target looks",
    ),
]

Scale = Annotated[
    str | None,
    typer.Option(
        metavar="standard|unit|none",
        help="Inputs with mean 0 and deviation 1 each, or all over the largest, or as they are.",
        show_default="standard; unit for pixels",
    ),
]

InputSize = Annotated[
    int | None, typer.Option(metavar="N", help="Inputs of --data random.", show_default="4")
]

OutputSize = Annotated[
    int | None, typer.Option(metavar="N", help="Outputs of --data random.", show_default="1")
]

OutputAct = Annotated[
    str | None,
    typer.Option(
        metavar="SPEC",
        autocompletion=complete_spec,
        help="On the outputs, such as softplus where the target is positive.",
    ),
]

Epochs = Annotated[int, typer.Option(metavar="N", help="Passes over the training part.")]

BatchSize = Annotated[int, typer.Option(metavar="N", help="Samples in a step.")]

OptimizerName = Annotated[
    str,
    typer.Option(
        metavar="sgd|adam|adamw", autocompletion=lambda: ["sgd", "adam", "adamw"], help="How."
    ),
]

Momentum = Annotated[float | None, typer.Option(help="Of sgd.", show_default="0.9")]

WeightDecay = Annotated[
    float | None, typer.Option(help="As torch.optim's.", show_default="0; 0.01 with adamw")
]

Init = Annotated[str, typer.Option(metavar="default|kaiming|xavier", help="How weights start.")]

BOTH = ["relu", "softplus"]

GATE_TRIPPED = 3
"""The exit code where a --fail-on condition was met."""


def given_on_command_line(context: typer.Context, renamed: Mapping[str, str]) -> set[str]:
    """The options that were, by their names in the configuration."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    given = [name for name, source in sources.items() if source and source.name == "COMMANDLINE"]
    return {renamed.get(name, name) for name in given}
