"""Options that commands share: one name, one meaning."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from actcompare.output.formats import Destination, Format
from actcompare.output.plotting import Drawing
from actcompare.output.styles import Theme

RESULT, DATA, TRAINING, MACHINE_PANEL = "Result", "Data", "Training", "Machine"
"""The panels that options stand in under --help."""


NumberFormat = StrEnum("NumberFormat", ["float32", "float64", "bfloat16", "float16"])
Task = StrEnum("Task", ["classification", "regression"])
Scale = StrEnum("Scale", ["standard", "unit", "none"])
Optimizer = StrEnum("Optimizer", ["sgd", "adam", "adamw"])
Init = StrEnum("Init", ["default", "kaiming", "xavier"])


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
        help="Activation: a SPEC such as relu or softplus:beta=2, your own as module:Name or"
        " file.py:Name (importing it runs its code), or all. Repeatable; the first is the"
        " baseline.",
    ),
]

DTYPES = f"Number format: {', '.join(NumberFormat)}."

Dtype = Annotated[
    NumberFormat, typer.Option(metavar="DTYPE", help=DTYPES, rich_help_panel=MACHINE_PANEL)
]

Device = Annotated[
    str,
    typer.Option(
        metavar="cpu|cuda|cuda:N|mps", help="Device to compute on.", rich_help_panel=MACHINE_PANEL
    ),
]


@dataclass(frozen=True)
class Written:
    """Options for where the result goes, and in which format."""

    output_format: Annotated[
        Format | None,
        typer.Option(
            "--format",
            "-f",
            metavar="FORMAT",
            help=f"Format of the result: {', '.join(Format)}.",
            show_default="table, or by FILE's ending",
            rich_help_panel=RESULT,
        ),
    ] = None
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write to FILE, whole or not at all, instead of stdout.",
            rich_help_panel=RESULT,
        ),
    ] = None

    def destination(self) -> Destination:
        """Return what is asked for; raises as `Destination.asked`."""
        return Destination.asked(self.output_format, self.output)


@dataclass(frozen=True)
class Reported(Written):
    """Options of a result that takes a while."""

    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet", "-q", help="No progress and no warnings on stderr.", rich_help_panel=RESULT
        ),
    ] = False


@dataclass(frozen=True)
class Drawn(Reported):
    """Options of a result that can be drawn."""

    plot: Annotated[
        bool,
        typer.Option("--plot", help="Draw the result in the terminal.", rich_help_panel=RESULT),
    ] = False
    plot_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Draw the result to a .svg, .png or .pdf file.",
            rich_help_panel=RESULT,
        ),
    ] = None
    plot_theme: Annotated[
        Theme, typer.Option(help="Colours of --plot-file.", rich_help_panel=RESULT)
    ] = Theme.light

    def drawing(self, destination: Destination) -> Drawing:
        """Return what is asked for; raises as `Drawing.asked`."""
        return Drawing.asked(self.plot, self.plot_file, self.plot_theme, destination)


def gate_option(example: str) -> Any:
    """Return the declaration of --fail-on, with an example of the command's own."""
    return typer.Option(
        metavar="CONDITION",
        help=f"Exit with code 3 if a row meets COLUMN OP NUMBER, such as '{example}'. Repeatable.",
        rich_help_panel=RESULT,
    )


@dataclass(frozen=True)
class Learning:
    """What `train` and `study` learn, and how: options, and settings of the library by name."""

    data: Annotated[
        str,
        typer.Option(
            metavar="SOURCE",
            rich_help_panel=DATA,
            help="Data set: digits, random, sklearn:NAME, a .csv, .tsv or .parquet file with"
            " --target, or an .npz file with X and y.",
        ),
    ] = "digits"
    target: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", rich_help_panel=DATA, help="Column of a table to predict."),
    ] = None
    task: Annotated[
        Task | None,
        typer.Option(
            rich_help_panel=DATA, help="Kind of target.", show_default="inferred from the target"
        ),
    ] = None
    scale: Annotated[
        Scale | None,
        typer.Option(
            rich_help_panel=DATA,
            help="Scaling of the inputs: each to mean 0 and deviation 1, all by the largest, or"
            " none.",
            show_default="standard; unit for pixels",
        ),
    ] = None
    input_size: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            rich_help_panel=DATA,
            help="Number of inputs of --data random.",
            show_default="4",
        ),
    ] = None
    output_size: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            rich_help_panel=DATA,
            help="Number of outputs of --data random.",
            show_default="1",
        ),
    ] = None
    output_activation: Annotated[
        str | None,
        typer.Option(
            "--output-act",
            metavar="SPEC",
            autocompletion=complete_spec,
            rich_help_panel=TRAINING,
            help="Activation of the outputs, such as softplus for a positive target.",
        ),
    ] = None
    epochs: Annotated[
        int,
        typer.Option(metavar="N", rich_help_panel=TRAINING, help="Passes over the training part."),
    ] = 30
    batch_size: Annotated[
        int, typer.Option(metavar="N", rich_help_panel=TRAINING, help="Samples per step.")
    ] = 32
    optimizer: Annotated[Optimizer, typer.Option(rich_help_panel=TRAINING, help="Optimizer.")] = (
        Optimizer.sgd
    )
    momentum: Annotated[
        float | None,
        typer.Option(rich_help_panel=TRAINING, help="Momentum (sgd only).", show_default="0.9"),
    ] = None
    weight_decay: Annotated[
        float | None,
        typer.Option(
            rich_help_panel=TRAINING,
            help="Weight decay, as in torch.optim.",
            show_default="0; 0.01 with adamw",
        ),
    ] = None
    init: Annotated[
        Init, typer.Option(rich_help_panel=TRAINING, help="Initialisation of the weights.")
    ] = Init.default


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command take its options in dataclasses: each field becomes one option."""
    parameters, groups = list[inspect.Parameter](), dict[str, type]()
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        group = parameter.annotation
        if not is_dataclass(group):
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        assert isinstance(group, type)
        groups[parameter.name] = group
        hints = get_type_hints(group, include_extras=True)
        for field in fields(group):
            default = field.default if field.default_factory is MISSING else field.default_factory()
            parameters.append(
                inspect.Parameter(
                    field.name,
                    inspect.Parameter.KEYWORD_ONLY,
                    default=default,
                    annotation=hints[field.name],
                )
            )

    @functools.wraps(command)
    def run(**given: Any) -> None:
        made = {
            name: group(**{field.name: given.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        command(**given, **made)

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return run


def settings_of(group: Any) -> dict[str, Any]:
    """The fields of a group as plain settings of the library, by name."""
    return {field.name: _plain(getattr(group, field.name)) for field in fields(group)}


def _plain(value: Any) -> Any:
    if isinstance(value, StrEnum):
        return value.value
    return [_plain(each) for each in value] if isinstance(value, list) else value


BOTH = ["relu", "softplus"]
"""The default of --act."""

Threads = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Threads torch computes with.",
        show_default="torch's own",
        rich_help_panel=MACHINE_PANEL,
    ),
]
GATE_TRIPPED = 3
"""The exit code where a --fail-on condition was met."""


def given_on_command_line(context: typer.Context) -> set[str]:
    """The names of the options that were given."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name for name, source in sources.items() if source and source.name == "COMMANDLINE"}
