"""Measure softplus, ReLU and any other PyTorch activation on your own inputs.

The public names load on first use: importing the package imports neither torch nor pandas.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actcompare.activations import CATALOGUE as CATALOGUE
    from actcompare.activations import Activation as Activation
    from actcompare.activations import parse as parse
    from actcompare.benchmark import bench as bench
    from actcompare.costs import Benchmark as Benchmark
    from actcompare.errors import ActcompareError as ActcompareError
    from actcompare.errors import UsageError as UsageError
    from actcompare.evaluation import Evaluation as Evaluation
    from actcompare.evaluation import evaluate as evaluate
    from actcompare.inspection import Inspection as Inspection
    from actcompare.inspection import inspect_model as inspect_model
    from actcompare.nets import SimpleNet as SimpleNet
    from actcompare.neurons import UnitAccumulator as UnitAccumulator
    from actcompare.properties import Comparison as Comparison
    from actcompare.properties import compare as compare
    from actcompare.runs import Training as Training
    from actcompare.studies import Study as Study
    from actcompare.studies import study as study
    from actcompare.swapping import swap_activations as swap_activations
    from actcompare.timing import Timings as Timings
    from actcompare.timing import time_paired as time_paired
    from actcompare.training import resume as resume
    from actcompare.training import train as train
    from actcompare.watching import Watch as Watch
    from actcompare.watching import watch as watch

__version__ = "0.1.0"

_HOME = {
    "CATALOGUE": "activations",
    "Activation": "activations",
    "parse": "activations",
    "Benchmark": "costs",
    "bench": "benchmark",
    "ActcompareError": "errors",
    "UsageError": "errors",
    "Evaluation": "evaluation",
    "evaluate": "evaluation",
    "Comparison": "properties",
    "compare": "properties",
    "Inspection": "inspection",
    "inspect_model": "inspection",
    "SimpleNet": "nets",
    "Timings": "timing",
    "time_paired": "timing",
    "Training": "runs",
    "UnitAccumulator": "neurons",
    "resume": "training",
    "Study": "studies",
    "study": "studies",
    "swap_activations": "swapping",
    "train": "training",
    "Watch": "watching",
    "watch": "watching",
}
__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'actcompare' has no attribute {name!r}")
    return getattr(import_module(f"actcompare.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
