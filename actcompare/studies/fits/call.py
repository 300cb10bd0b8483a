"""Call a user's fit, and read what it returns."""

import ast
import contextlib
import gc
import math
import os
import random
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from actcompare.activations.user_code import describe
from actcompare.errors import ActcompareError, Terminated
from actcompare.machine.generators import kept_generators
from actcompare.machine.memory import is_shortage
from actcompare.machine.processors import torch_threads
from actcompare.studies.fits.load import Fit, MakeActivation
from actcompare.studies.fits.plan import FitPlan
from actcompare.studies.records import Cell, CellResult, Failure, Outcome
from actcompare.text import listed

Clock = Callable[[], float]


def run_fit(
    plan: FitPlan, cells: Sequence[Cell], clock: Clock = time.perf_counter
) -> list[Outcome]:
    """Call the fit for each cell; whatever it raises or wrongly returns is a failure.

    Before each call, the generators of Python, numpy and torch get the cell's seed.
    """
    return [_run(plan, cell, clock) for cell in cells]


def _run(plan: FitPlan, cell: Cell, clock: Clock) -> Outcome:
    config, own = plan.fit_config, os.getpid()
    by_label = {activation.label: activation for activation in plan.activations}
    try:
        function = plan.fit.loaded().function
        assert function is not None
        given: dict[str, Any] = {
            "activation": MakeActivation(by_label[cell.activation]),
            "seed": cell.seed,
        }
        given |= {"lr": cell.lr} if cell.lr else {}
        given |= {name: ast.literal_eval(text) for name, text in config.settings.items()}
        with _seeded(cell.seed), torch_threads(config.threads):
            start = clock()
            curve, numbers = read_returned(function(**given), config.metric)
            return CellResult.of_fit(cell, curve, numbers, clock() - start)
    except ActcompareError as error:
        return Failure(cell, str(error))
    except (KeyboardInterrupt, Terminated):
        raise
    except BaseException as error:  # a user's code, which may raise anything
        if is_shortage(error):
            error.__traceback__ = None  # lets go of the tensors of the call
            gc.collect()
            if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
                torch.cuda.empty_cache()
            return Failure(cell, f"not enough memory ({describe(error)})")
        return Failure(cell, f"{describe(error)}{_where(error, plan.fit)}")
    finally:
        if os.getpid() != own:  # the fit has forked, and this is the child
            os._exit(0)


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed all generators that are commonly used, and restore them afterwards."""
    of_python, of_numpy = random.getstate(), np.random.get_state()
    with kept_generators(torch.device("cpu")):
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(of_python)
            np.random.set_state(of_numpy)


def _where(error: BaseException, fit: Fit) -> str:
    """Return the last line of the fit's own file that an error passed through."""
    code = getattr(fit.loaded().function, "__code__", None)
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if code and frame.filename == code.co_filename]
    return f" (line {lines[-1]})" if lines else ""


def read_returned(returned: object, metric: str) -> tuple[list[float], dict[str, float]]:
    """Return the metric of each report, and the numbers of the last one.

    Args:
        returned: What a fit returned: a number, a dict of numbers, or an iterator of either.
        metric: Key of the metric in a dict.

    Raises:
        ActcompareError: It is something else; the message is about the fit.
    """
    if not isinstance(returned, Iterator):
        value, numbers = _read(returned, metric, "returned")
        return [value], numbers
    curve, numbers = [], dict[str, float]()
    for report in returned:
        value, numbers = _read(report, metric, "reported")
        curve.append(value)
    if not curve:
        raise ActcompareError("it reported nothing: yield the metric after each epoch")
    return curve, numbers


def _read(returned: object, metric: str, verb: str) -> tuple[float, dict[str, float]]:
    if not isinstance(returned, Mapping):
        return _number(returned, f"it {verb}", f"{verb[:-2]} the metric"), {}
    numbers = {
        str(key): _number(value, f"it {verb} {str(key)!r}:", "leave it out")
        for key, value in returned.items()
    }
    if metric not in numbers:
        has = f"but {listed([*numbers])}" if numbers else "for its dict is empty"
        cure = "--metric NAME says which is compared" if numbers else f"put {metric!r} in it"
        raise ActcompareError(f"it {verb} no {metric!r}, {has}: {cure}")
    return numbers[metric], numbers


def _number(value: object, what: str, cure: str) -> float:
    """Return a number of Python's, or of one that a tensor or array holds.

    Raises:
        ActcompareError: It is something else.
    """
    plain = value
    if hasattr(value, "item") and not isinstance(value, np.generic | float):
        with contextlib.suppress(ValueError, RuntimeError):  # it holds several
            plain = value.item()
    elif isinstance(value, np.generic):
        plain = value.item()
    if isinstance(plain, bool) or not isinstance(plain, int | float):
        shown = "None" if plain is None else f"{type(value).__name__}, which is not a number"
        raise ActcompareError(f"{what} {shown}: {cure}")
    try:
        return float(plain)
    except OverflowError:
        return math.inf if plain > 0 else -math.inf
