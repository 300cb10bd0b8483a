"""Measure softplus, ReLU and any other PyTorch activation on your own inputs.

The public names load on first use: importing the package imports neither torch nor pandas.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actcompare.activations.catalogue import CATALOGUE as CATALOGUE
    from actcompare.activations.spec import Activation as Activation
    from actcompare.activations.spec import parse as parse
    from actcompare.benchmark.bench import Benchmark as Benchmark
    from actcompare.benchmark.bench import bench as bench
    from actcompare.benchmark.nets.bench import bench_model as bench_model
    from actcompare.errors import ActcompareError as ActcompareError
    from actcompare.errors import UsageError as UsageError
    from actcompare.evaluation.evaluate import Evaluation as Evaluation
    from actcompare.evaluation.evaluate import evaluate as evaluate
    from actcompare.inspection.inspect import Inspection as Inspection
    from actcompare.inspection.inspect import inspect_model as inspect_model
    from actcompare.machine.timing import Timings as Timings
    from actcompare.machine.timing import time_paired as time_paired
    from actcompare.models.critical import initialise_critical_ as initialise_critical_
    from actcompare.models.loops.callbacks import lightning_callback as lightning_callback
    from actcompare.models.loops.callbacks import transformers_callback as transformers_callback
    from actcompare.models.simple_net import SimpleNet as SimpleNet
    from actcompare.models.swap import swap_activations as swap_activations
    from actcompare.models.watching.watch import Watch as Watch
    from actcompare.models.watching.watch import watch as watch
    from actcompare.propagation.signal import Propagation as Propagation
    from actcompare.propagation.signal import signal_depth as signal_depth
    from actcompare.propagation.theory.edge import edge_of_chaos as edge_of_chaos
    from actcompare.propagation.theory.gains import gain as gain
    from actcompare.properties.compare import Comparison as Comparison
    from actcompare.properties.compare import compare as compare
    from actcompare.reporting.report import Report as Report
    from actcompare.reporting.report import report as report
    from actcompare.studies.fits.results import study_results as study_results
    from actcompare.studies.study import Study as Study
    from actcompare.studies.study import study as study
    from actcompare.training.run import Training as Training
    from actcompare.training.train import resume as resume
    from actcompare.training.train import train as train
    from actcompare.units.statistics import UnitAccumulator as UnitAccumulator

__version__ = "0.1.0"

_HOME = {
    "CATALOGUE": "activations.catalogue",
    "Activation": "activations.spec",
    "parse": "activations.spec",
    "Benchmark": "benchmark.bench",
    "bench": "benchmark.bench",
    "bench_model": "benchmark.nets.bench",
    "ActcompareError": "errors",
    "UsageError": "errors",
    "Evaluation": "evaluation.evaluate",
    "evaluate": "evaluation.evaluate",
    "Comparison": "properties.compare",
    "compare": "properties.compare",
    "Inspection": "inspection.inspect",
    "inspect_model": "inspection.inspect",
    "Propagation": "propagation.signal",
    "edge_of_chaos": "propagation.theory.edge",
    "gain": "propagation.theory.gains",
    "lightning_callback": "models.loops.callbacks",
    "transformers_callback": "models.loops.callbacks",
    "initialise_critical_": "models.critical",
    "signal_depth": "propagation.signal",
    "Report": "reporting.report",
    "report": "reporting.report",
    "SimpleNet": "models.simple_net",
    "Timings": "machine.timing",
    "time_paired": "machine.timing",
    "Training": "training.run",
    "UnitAccumulator": "units.statistics",
    "resume": "training.train",
    "Study": "studies.study",
    "study": "studies.study",
    "study_results": "studies.fits.results",
    "swap_activations": "models.swap",
    "train": "training.train",
    "Watch": "models.watching.watch",
    "watch": "models.watching.watch",
}
__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'actcompare' has no attribute {name!r}")
    return getattr(import_module(f"actcompare.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
