"""Options are declared once; their defaults and choices are those of the library."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from actcompare.benchmark import plan as bench_plan
from actcompare.benchmark import records as bench_records
from actcompare.benchmark.bench import bench
from actcompare.benchmark.command import BenchOptions
from actcompare.cli import options
from actcompare.cli.options import settings_of
from actcompare.data.datasets import TASKS
from actcompare.data.splits import SCALES
from actcompare.machine.devices import DTYPES
from actcompare.models.simple_net import INITS
from actcompare.studies.command import StudyOptions
from actcompare.studies.plan import make_plan
from actcompare.training.command import TrainOptions
from actcompare.training.learning.optimizers import OPTIMIZERS
from actcompare.training.settings import Settings, make_recipe


def defaults(*functions: Callable[..., Any]) -> dict[str, Any]:
    """The parameters of functions that have defaults; those of the first win."""
    found: dict[str, Any] = {}
    for function in reversed(functions):
        for name, parameter in inspect.signature(function).parameters.items():
            if parameter.default is not parameter.empty:
                found[name] = parameter.default
    return found


def plain(value: Any) -> Any:
    """One value and a list of it mean the same to the library, and so do nothing and None."""
    return [value] if isinstance(value, str | int | float) else list(value or ())


@pytest.mark.parametrize(
    ("group", "functions", "own"),
    [
        (TrainOptions, (Settings, make_recipe), {}),
        (StudyOptions, (make_plan, Settings), {"threads": 1}),
        (BenchOptions, (bench_plan.Settings, bench), {"time_limit": None}),  # 1.5, or 10
    ],
)
def test_defaults_are_those_of_the_library(
    group: Any, functions: tuple[Callable[..., Any], ...], own: dict[str, Any]
) -> None:
    library = defaults(*functions) | own
    for name, value in settings_of(group()).items():
        assert name in library, name
        assert plain(value) == plain(library[name]), name


@pytest.mark.parametrize(
    ("choices", "library"),
    [
        (options.NumberFormat, DTYPES),
        (options.Task, TASKS),
        (options.Scale, SCALES),
        (options.Optimizer, OPTIMIZERS),
        (options.Init, INITS),
    ],
)
def test_choices_are_those_of_the_library(choices: Any, library: Any) -> None:
    assert [each.value for each in choices] == list(library)


def test_the_axes_of_bench_are_those_of_the_library() -> None:
    import actcompare.benchmark.command as command

    for axis, values in bench_records.CHOICES.items():
        choices = getattr(command, axis.capitalize())
        assert [each.value for each in choices] == list(values)
