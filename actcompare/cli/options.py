"""Options that several commands share."""

import copy
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import typer

from actcompare.errors import UsageError
from actcompare.files.paths import check_apart
from actcompare.output.formats import Destination, Format
from actcompare.output.plotting import Drawing
from actcompare.output.styles import Theme
from actcompare.text import read_finite, read_shape, read_whole

RESULT, DATA, TRAINING, MACHINE_PANEL, MODEL = (
    *("Result", "Data", "Training", "Machine"),
    "A model of yours",
)
"""Panels of options in --help."""


def option(
    help: str,  # noqa: A002
    metavar: str | None = None,
    *,
    names: tuple[str, ...] = (),
    panel: str | None = None,
    default: str | None = None,
    complete: Callable[[str], list[str]] | None = None,
) -> Any:
    """Declare an option.

    Args:
        help: Its help text.
        metavar: The name of its value in the help; by default its type.
        names: Its names, by default that of the parameter.
        panel: Its panel in the help.
        default: The default in words, if the value does not explain itself.
        complete: Completes a value for the shell.
    """
    return typer.Option(
        *names,
        metavar=metavar,
        help=help,
        rich_help_panel=panel,
        show_default=default or True,
        autocompletion=complete,
    )


NumberFormat = StrEnum("NumberFormat", ["float32", "float64", "bfloat16", "float16"])


def dtype_named(token: str) -> str:
    """Return the name of a dtype that is written as torch.float16, fp16 or half, or the token."""
    short = {"half": "float16", "fp16": "float16", "bf16": "bfloat16", "double": "float64"}
    name = token.removeprefix("torch.")
    return short.get(name, name)


Task = StrEnum("Task", ["classification", "regression"])
Scale = StrEnum("Scale", ["standard", "unit", "none"])
Optimizer = StrEnum("Optimizer", ["sgd", "adam", "adamw"])
Init = StrEnum("Init", ["default", "kaiming", "xavier", "critical"])


def complete_spec(incomplete: str) -> list[str]:
    """Return the SPECs of the catalogue that begin with a text."""
    from actcompare.activations.catalogue import CATALOGUE

    return [entry.spec for entry in CATALOGUE if entry.spec.startswith(incomplete)]


Acts = Annotated[
    list[str],
    option(
        "Activation: a SPEC such as relu or softplus:beta=2, your own as"
        " module:Name or file.py:Name (importing it runs its code), or all."
        " Repeatable; the first is the baseline.",
        "SPEC",
        names=("--act", "-a"),
        complete=complete_spec,
    ),
]

DTYPES = f"Number format: {', '.join(NumberFormat)}."

Dtype = Annotated[NumberFormat, option(DTYPES, "DTYPE", panel=MACHINE_PANEL)]

Device = Annotated[str, option("Device to compute on.", "cpu|cuda|cuda:N|mps", panel=MACHINE_PANEL)]


@dataclass(frozen=True)
class Written:
    """Options for the file and format of the result."""

    output_format: Annotated[
        Format | None,
        option(
            f"Format of the result: {', '.join(Format)} (html: report only).",
            "FORMAT",
            names=("--format", "-f"),
            default="table, or by FILE's ending",
            panel=RESULT,
        ),
    ] = None
    output: Annotated[
        Path | None,
        option(
            "Write to FILE, whole or not at all, instead of stdout.",
            "FILE",
            names=("--output", "-o"),
            panel=RESULT,
        ),
    ] = None

    def destination(self) -> Destination:
        """Return the destination; raise as `Destination.asked` does."""
        return Destination.asked(self.output_format, self.output)


@dataclass(frozen=True)
class Reported(Written):
    """Options of a command that reports progress."""

    quiet: Annotated[
        bool,
        option("No progress and no warnings on stderr.", names=("--quiet", "-q"), panel=RESULT),
    ] = False


@dataclass(frozen=True)
class Drawn(Reported):
    """Options of a command whose result can be drawn."""

    plot: Annotated[
        bool, option("Draw the result in the terminal.", names=("--plot",), panel=RESULT)
    ] = False
    plot_file: Annotated[
        Path | None, option("Draw the result to a .svg, .png or .pdf file.", "FILE", panel=RESULT)
    ] = None
    plot_theme: Annotated[Theme, option("Colours of --plot-file.", panel=RESULT)] = Theme.light

    def drawing(self, destination: Destination) -> Drawing:
        """Return the drawing; raise as `Drawing.asked` does."""
        return Drawing.asked(self.plot, self.plot_file, self.plot_theme, destination)


@dataclass(frozen=True)
class Paged(Reported):
    """Options of a command that can also write a page."""

    def destination(self) -> Destination:
        """Return the destination; raise as `Destination.asked` does."""
        return Destination.asked(self.output_format, self.output, pages=True)


def gate_option(example: str) -> Any:
    """Declare --fail-on, with an example for the command."""
    return option(
        f"Exit with code 3 if a row meets COLUMN OP NUMBER, such as '{example}'. Repeatable.",
        "CONDITION",
        panel=RESULT,
    )


@dataclass(frozen=True)
class Sourced:
    """Options for a data set; the fields are settings of the library."""

    data: Annotated[
        str,
        option(
            "Data set: digits, randhie, random, sklearn:NAME, a .csv, .tsv or .parquet file"
            " with --target, or an .npz file with X and y.",
            "SOURCE",
            panel=DATA,
        ),
    ] = "digits"
    target: Annotated[str | None, option("Column of a table to predict.", "COLUMN", panel=DATA)] = (
        None
    )
    task: Annotated[
        Task | None,
        option(
            "Task: classification or regression.",
            "TASK",
            panel=DATA,
            default="inferred from the target",
        ),
    ] = None
    scale: Annotated[
        Scale | None,
        option(
            "Scaling of the inputs: each to mean 0 and deviation 1, all by the largest, or none.",
            panel=DATA,
            default="standard; unit for pixels",
        ),
    ] = None


@dataclass(frozen=True)
class Learning(Sourced):
    """Options of `train` and `study`."""

    input_size: Annotated[
        int | None, option("Number of inputs of --data random.", "N", panel=DATA, default="4")
    ] = None
    output_size: Annotated[
        int | None, option("Number of outputs of --data random.", "N", panel=DATA, default="1")
    ] = None
    output_activation: Annotated[
        str | None,
        option(
            "Activation of the outputs, such as softplus for a positive target.",
            "SPEC",
            names=("--output-act",),
            complete=complete_spec,
            panel=TRAINING,
        ),
    ] = None
    epochs: Annotated[int, option("Passes over the training set.", "N", panel=TRAINING)] = 30
    batch_size: Annotated[int, option("Samples per step.", "N", panel=TRAINING)] = 32
    optimizer: Annotated[Optimizer, option("Optimizer.", panel=TRAINING)] = Optimizer.sgd
    momentum: Annotated[
        float | None, option("Momentum (sgd only).", panel=TRAINING, default="0.9")
    ] = None
    weight_decay: Annotated[
        float | None,
        option("Weight decay, as in torch.optim.", panel=TRAINING, default="0; 0.01 with adamw"),
    ] = None
    init: Annotated[Init, option("Initialisation of the weights.", panel=TRAINING)] = Init.default


@dataclass(frozen=True)
class Modelled(Learning):
    """Options of `train` and `study` that train a user's model."""

    model: Annotated[
        str | None,
        option(
            "A model of yours instead of SimpleNet: module:attr, file.py:attr, timm:NAME,"
            " torchvision:NAME or hf:NAME.",
            "TARGET",
            panel=MODEL,
        ),
    ] = None
    input_shape: Annotated[
        str | None,
        option(
            "Shape in which --model takes a sample of a table: 1x8x8 for digits.",
            "SHAPE",
            panel=MODEL,
        ),
    ] = None
    checkpoint: Annotated[
        Path | None,
        option("First weights of --model (.pt, .pth or .safetensors).", "FILE", panel=MODEL),
    ] = None


@dataclass(frozen=True)
class Fed:
    """Options for the weights and the input of a user's model."""

    data: Annotated[
        str | None,
        option(
            "Input: a .npz, .npy, .csv, .tsv, .parquet, .pt or .safetensors file, or"
            " batches from your code (importing it runs its code).",
            "FILE|module:attr",
            panel=DATA,
        ),
    ] = None
    random: Annotated[
        str | None,
        option(
            "Random numbers instead, as samples of a shape such as 3x224x224.", "SHAPE", panel=DATA
        ),
    ] = None
    random_tokens: Annotated[
        str | None,
        option("Random tokens instead: samples x length, such as 8x128.", "NxT", panel=DATA),
    ] = None
    checkpoint: Annotated[
        Path | None, option("Weights: a state dict (.pt, .pth or .safetensors).", "FILE")
    ] = None


_READ = {"file", "load", "compare", "checkpoint", "results"}
"""Options that name a file to read; every other one that names a file has it written."""

_READERS: dict[Any, Callable[[str], int | float]] = {int: read_whole, float: read_finite}


def _reader(kind: Any) -> Callable[[str], int | float] | None:
    """Return what reads the numbers of an option of this type, such as list[int] | None."""
    return _READERS.get(kind) or next(filter(None, map(_reader, get_args(kind))), None)


def _reading_numbers(parameter: inspect.Parameter) -> inspect.Parameter:
    """Return a parameter of a command whose numbers are read, and bounded, as everywhere."""
    kind, *declared = get_args(parameter.annotation) or (parameter.annotation,)
    read = _reader(kind)
    if read is None or not declared or declared[0].min is not None:
        return parameter
    info = copy.copy(declared[0])
    info.parser = lambda value: read(str(value))
    return parameter.replace(annotation=Annotated[kind, info])


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command take its options as dataclasses, one option per field.

    Before it runs, the files that its options name are checked to be different files.
    """
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

    folders = {
        each.name
        for each in parameters
        for declared in getattr(each.annotation, "__metadata__", ())
        if declared.metavar == "DIR"
    }

    @functools.wraps(command)
    def run(**given: Any) -> None:
        _check_files(given, folders)
        made = {
            name: group(**{field.name: given.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        command(**given, **made)

    run.__signature__ = inspect.Signature([*map(_reading_numbers, parameters)])  # type: ignore[attr-defined]
    return run


def _check_files(given: Mapping[str, Any], folders: set[str]) -> None:
    """Check that no file is written over another one that the options name."""
    paths = {
        name: path for name, path in given.items() if isinstance(path, Path) and str(path) != "-"
    }
    reads = {flag_of(name): path for name, path in paths.items() if name in _READ}
    reads |= {spec: path for value in given.values() for spec, path in _code_in(value)}
    data = given.get("data")
    if data is not None and Path(data).is_file():
        reads["--data"] = Path(data)
    writes = {flag_of(n): path for n, path in paths.items() if n not in _READ | folders}
    kept = {flag_of(name): paths[name] for name in folders - {"log_dir"} if name in paths}
    check_apart(writes, reads, kept)


def flag_of(name: str) -> str:
    """Return the option of a parameter, unless it is declared with another name."""
    return "--" + name.replace("_", "-")


def _code_in(value: Any) -> Iterator[tuple[str, Path]]:
    """Yield each text that names code of the user's, and its file.

    It is named as file.py:Name, or as module:Name, where modules are looked for in the folder.
    """
    for text in value if isinstance(value, list) else [value]:
        if not (isinstance(text, str) and ":" in text):
            continue
        from actcompare.activations.spec import split

        for part in (part for spec in split(text) for part in spec.split("=")):
            file, ending, _ = part.partition(".py:")
            module = part.partition(":")[0].replace(".", "/")
            for path in [file] if ending else [module, f"{module}/__init__"]:
                if ending or Path(f"{path}.py").is_file():
                    yield text, Path(f"{path}.py")


def settings_of(group: Any) -> dict[str, Any]:
    """Return the fields of a group of options as plain settings of the library."""
    return {field.name: _plain(getattr(group, field.name)) for field in fields(group)}


def _plain(value: Any) -> Any:
    if isinstance(value, StrEnum):
        return value.value
    return [_plain(each) for each in value] if isinstance(value, list) else value


BOTH = ["relu", "softplus"]
"""The default of --act."""

Threads = Annotated[
    int | None,
    option(
        "Threads torch computes with.", "N", default="by work and free cores", panel=MACHINE_PANEL
    ),
]
GATE_TRIPPED = 3
"""Exit code if a --fail-on condition is met."""


def shape_of(name: str, text: str | None) -> tuple[int, ...]:
    """Return the shape that an option gives; empty without one.

    Raises:
        UsageError: It is not written like 3x224x224.
    """
    try:
        return tuple(read_shape(text)) if text else ()
    except ValueError:
        raise UsageError(f"{name} {text!r}: write a shape such as 3x224x224") from None


def given_on_command_line(context: typer.Context) -> set[str]:
    """Return the names of the options given on the command line."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name for name, source in sources.items() if source and source.name == "COMMANDLINE"}
