"""Options that commands share: one name, one meaning."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from actcompare.output.formats import Format

RESULT, DATA, TRAINING, MACHINE_PANEL = "Result", "Data", "Training", "Machine"
"""The panels that options stand in under --help."""


def complete_spec(incomplete: str) -> list[str]:
    """SPECs of the catalogue that begin so."""
    from actcompare.activations.catalogue import CATALOGUE

    return [entry.spec for entry in CATALOGUE if entry.spec.startswith(incomplete)]


Acts = Annotated[
    list[str],
    typer.Option(
        "--act",
        "-a",
        metavar="SPEC",
        autocompletion=complete_spec,
        help="Activation: relu, softplus:beta=2, your own as module:Name or file.py:Name"
        " (importing it runs its code), or all. Repeatable; the first is the baseline.",
    ),
]

Dtype = Annotated[
    str,
    typer.Option(
        metavar="float32|float64|bfloat16|float16",
        autocompletion=lambda: ["float32", "float64", "bfloat16", "float16"],
        help="Number format.",
        rich_help_panel=MACHINE_PANEL,
    ),
]

Device = Annotated[
    str,
    typer.Option(
        metavar="cpu|cuda|cuda:N|mps", help="Device to compute on.", rich_help_panel=MACHINE_PANEL
    ),
]

OutputFormat = Annotated[
    Format | None,
    typer.Option(
        "--format",
        "-f",
        help="Format of the result.",
        show_default="table, or by FILE's ending",
        rich_help_panel=RESULT,
    ),
]

Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write to FILE, whole or not at all, instead of stdout.",
        rich_help_panel=RESULT,
    ),
]

Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet", "-q", help="No progress and no warnings on stderr.", rich_help_panel=RESULT
    ),
]

Plot = Annotated[
    bool, typer.Option("--plot", help="Draw the result in the terminal.", rich_help_panel=RESULT)
]

PlotFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Draw the result to a .svg, .png or .pdf file.", rich_help_panel=RESULT
    ),
]

FailOn = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CONDITION",
        help="Exit with code 3 if a row meets COLUMN OP NUMBER, such as 'slower>3%'. Repeatable.",
        rich_help_panel=RESULT,
    ),
]

# What `train` and `study` learn, and how.
Data = Annotated[
    str,
    typer.Option(
        metavar="digits|FILE|sklearn:NAME|random",
        rich_help_panel=DATA,
        help="Data set. FILE: .csv, .tsv or .parquet with --target, or .npz with X and y.",
    ),
]

Target = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", rich_help_panel=DATA, help="Column of a table to predict."),
]

Task = Annotated[
    str | None,
    typer.Option(
        metavar="classification|regression",
        rich_help_panel=DATA,
        help="Kind of target.",
        show_default="as the target looks",
    ),
]

Scale = Annotated[
    str | None,
    typer.Option(
        metavar="standard|unit|none",
        rich_help_panel=DATA,
        help="Scaling of the inputs: each to mean 0 and deviation 1, all by the largest, or none.",
        show_default="standard; unit for pixels",
    ),
]

InputSize = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        rich_help_panel=DATA,
        help="Number of inputs of --data random.",
        show_default="4",
    ),
]

OutputSize = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        rich_help_panel=DATA,
        help="Number of outputs of --data random.",
        show_default="1",
    ),
]

OutputAct = Annotated[
    str | None,
    typer.Option(
        metavar="SPEC",
        autocompletion=complete_spec,
        rich_help_panel=TRAINING,
        help="Activation of the outputs, such as softplus for a positive target.",
    ),
]

Epochs = Annotated[
    int, typer.Option(metavar="N", rich_help_panel=TRAINING, help="Passes over the training part.")
]

BatchSize = Annotated[
    int, typer.Option(metavar="N", rich_help_panel=TRAINING, help="Samples per step.")
]

OptimizerName = Annotated[
    str,
    typer.Option(
        metavar="sgd|adam|adamw",
        autocompletion=lambda: ["sgd", "adam", "adamw"],
        rich_help_panel=TRAINING,
        help="Optimizer.",
    ),
]

Momentum = Annotated[
    float | None,
    typer.Option(rich_help_panel=TRAINING, help="Momentum (sgd only).", show_default="0.9"),
]

WeightDecay = Annotated[
    float | None,
    typer.Option(
        rich_help_panel=TRAINING,
        help="Weight decay, as in torch.optim.",
        show_default="0; 0.01 with adamw",
    ),
]

Init = Annotated[
    str,
    typer.Option(
        metavar="default|kaiming|xavier",
        rich_help_panel=TRAINING,
        help="Initialisation of the weights.",
    ),
]

BOTH = ["relu", "softplus"]
"""The default of --act."""

GATE_TRIPPED = 3
"""The exit code where a --fail-on condition was met."""


def given_on_command_line(context: typer.Context, renamed: Mapping[str, str]) -> set[str]:
    """The options that were, by their names in the configuration."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    given = [name for name, source in sources.items() if source and source.name == "COMMANDLINE"]
    return {renamed.get(name, name) for name in given}
