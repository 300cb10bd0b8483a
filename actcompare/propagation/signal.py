"""`signal_depth`: what becomes of the signal in deep nets, by theory and by measurement."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from actcompare.activations.gaussian import Curve
from actcompare.activations.spec import Activation, Specs, parse_all
from actcompare.data.datasets import Source
from actcompare.data.sources import load_data
from actcompare.data.splits import STANDARD, UNIT, split
from actcompare.errors import ActcompareError, UsageError
from actcompare.machine.devices import resolve_device
from actcompare.machine.environment import Environment, describe_environment
from actcompare.machine.processors import check_threads, threads_for, torch_threads
from actcompare.propagation.explain import describe_propagation, describe_training
from actcompare.propagation.initialisation import check_names, initialisation
from actcompare.propagation.measure import Signals, Size, measure
from actcompare.propagation.records import DepthConfig, Row
from actcompare.propagation.rows import Case, row_of
from actcompare.propagation.theory.edge import Edge, find_edge
from actcompare.propagation.theory.gains import Gain, gain_of
from actcompare.propagation.training import Listener, Trained, check_inits, train_deep
from actcompare.table import Table, Tabular

LAYERS, LAYERS_TO_TRAIN = 50, 32
"""Hidden layers by default."""

SAMPLES = 64
"""Training inputs that go through every net."""

INITS = ("default", "kaiming", "critical")


@dataclass(frozen=True)
class Propagation(Tabular):
    """What becomes of the signal, for each activation and initialisation."""

    config: DepthConfig
    environment: Environment
    samples: int
    rows: tuple[Row, ...]
    gains: tuple[Gain, ...]
    edges: tuple[Edge, ...]
    trained: tuple[Trained, ...] = ()
    """Nets of this depth that were trained, per initialisation."""

    @cached_property
    def table(self) -> Table:
        """The tidy records, one per activation and initialisation."""
        return Table.of([asdict(row.prospect) for row in self.rows])

    def layers(self) -> list[dict[str, Any]]:
        """Return one record per row and layer: theory and measurement side by side."""
        found = []
        for row in self.rows:
            for layer in range(self.config.layers + 1):
                record: dict[str, Any] = {
                    "activation": row.prospect.activation,
                    "init": row.prospect.init,
                    "layer": layer + 1,
                }
                for kind, course in (("theory", row.theory), ("measured", row.measured)):
                    for name, values in vars(course).items():
                        value = None if values is None else float(values[layer])
                        record[f"{name}_{kind}"] = value
                found.append(record)
        return found

    def reading(self) -> str:
        """Describe what happens to the signal, why, and what to use."""
        text = describe_propagation(self.config, self.samples, self.rows, self.gains, self.edges)
        return "\n".join(filter(None, (text, describe_training(self.training(), self.metric))))

    def training(self) -> list[dict[str, Any]]:
        """Return one record per activation and initialisation that was trained."""
        return [row for each in self.trained for row in each.rows()]

    @property
    def metric(self) -> str:
        """The test metric of the nets that were trained."""
        return next((each.study.metric for each in self.trained if each.study), "accuracy")


def signal_depth(
    activations: Specs = ("relu", "softplus"),
    data: Source = "digits",
    *,
    init: Sequence[str] = INITS,
    layers: int | None = None,
    width: int = 256,
    nets: int = 16,
    theory_only: bool = False,
    train: bool = False,
    target: str | None = None,
    task: str | None = None,
    scale: str | None = None,
    device: str = "cpu",
    threads: int | None = None,
    seed: int = 0,
    time_limit: float = 60.0,
    listen: Listener | None = None,
) -> Propagation:
    """Say what becomes of signals and gradients in deep nets, by theory and by measurement.

    Theory is that of infinitely wide nets, corrected for the width; measurements are of random nets
    with one forward and one backward pass each.

    Args:
        activations: One or more SPECs, functions or modules.
        data: `digits`, `sklearn:NAME`, `random`, a file's path, or arrays X and y.
        init: Initialisations: default, kaiming, xavier, critical, or SIGMA_W2,SIGMA_B2.
        layers: Hidden layers; by default 50, or 32 with `train`.
        width: Units of a hidden layer.
        nets: Random nets to measure.
        theory_only: Measure nothing.
        train: Also train nets of that depth; see `actcompare.propagation.training`.
        target: Column of a table that is no input.
        task: classification or regression.
        scale: Scaling of the inputs, as in `train`.
        device: Device to measure on.
        threads: Threads that torch measures with; None chooses by the work and the free cores.
        seed: Seed of the weights and of the choice of inputs.
        time_limit: Seconds after which no more nets are measured; at least some are.
        listen: Called while nets are trained.

    Raises:
        UsageError: A setting is wrong.
        ActcompareError: The data cannot be used, an activation fails, or a net does not fit.
    """
    check_threads(threads)
    parsed = parse_all(activations)
    where = resolve_device(device)
    if where.type == "mps" and not theory_only:
        raise UsageError("device mps does not support float64: use --theory-only or another device")
    inits = check_names([init] if isinstance(init, str) else init)
    if not (nets >= 1 or theory_only):
        raise UsageError(f"nets must be at least 1, not {nets}; or use --theory-only")
    config = DepthConfig(
        activations=tuple(a.label for a in parsed),
        inits=inits,
        layers=(LAYERS_TO_TRAIN if train else LAYERS) if layers is None else layers,
        width=width,
        nets=0 if theory_only else nets,
        data=data if isinstance(data, str) else "arrays",
        device=device,
        threads=threads or _threads(width, nets),
        seed=seed,
        time_limit=time_limit,
    )
    source: dict[str, Any] = {"target": target, "task": task, "scale": scale}
    inputs = _inputs(data, seed, **source)
    X = inputs.X
    if train:
        check_inits(config.inits)
    cases = _cases(parsed, config, inputs)
    with torch_threads(config.threads):
        measured = _measured(cases, X.to(where), config)
    with torch_threads(1):  # the operations of the quadrature are small
        rows = [
            row_of(case, signals, X, config) for case, signals in zip(cases, measured, strict=True)
        ]
    smooth = {case.curve.label: case for case in cases if case.curve.has_theory}
    gains = [gain_of(case.curve, case.activation) for case in smooth.values()]
    edges = [find_edge(case.curve) for case in smooth.values()]
    environment = replace(describe_environment(where), threads=config.threads)
    trained: tuple[Trained, ...] = ()
    if train:
        settings = {**source, "device": device, "seed": seed, "threads": threads or 1}
        trained = train_deep(
            parsed,
            data,
            inits,
            layers=config.layers,
            samples=inputs.samples,
            listen=listen,
            **settings,
        )
    return Propagation(
        config, environment, len(X), tuple(rows), tuple(gains), tuple(edges), trained
    )


def _threads(width: int, nets: int) -> int:
    """Choose the number of threads for products of all nets."""
    return threads_for(2 * nets * SAMPLES * width**2, nets * SAMPLES * width)


@dataclass(frozen=True)
class _Inputs:
    X: Tensor
    """Some training inputs, shape (sample, input), float64."""
    mean_square: float
    """Of all training inputs."""
    samples: int
    """Samples of the training set."""


def _inputs(
    data: Source, seed: int, *, target: str | None, task: str | None, scale: str | None
) -> _Inputs:
    """Return training inputs, scaled as in `train`.

    Samples that are 0 in every input carry no signal, and are left out.

    Raises:
        ActcompareError: Fewer than two samples are left.
    """
    dataset = load_data(data, target=target, task=task, seed=seed)
    scaling = scale or (UNIT if dataset.same_unit else STANDARD)
    parts = split(dataset, seed, torch.float64, torch.device("cpu"), scale=scaling)
    X = parts.train.X[parts.train.X.square().mean(1) > 0]
    if len(X) < 2:
        raise ActcompareError(
            f"{dataset.name}: the inputs are constant, so that no signal is left after scaling;"
            " use other data"
        )
    some = np.linspace(0, len(X) - 1, min(SAMPLES, len(X))).round().astype(int)
    return _Inputs(X[some], float(parts.train.X.square().mean()), len(parts.train))


def _cases(parsed: Sequence[Activation], config: DepthConfig, inputs: _Inputs) -> list[Case]:
    cases = []
    for activation in parsed:
        curve = Curve.of(activation)
        for name in config.inits:
            how, why = None, ""
            try:
                how = initialisation(
                    name,
                    curve,
                    inputs=inputs.X.shape[1],
                    width=config.width,
                    mean_square=inputs.mean_square,
                )
            except UsageError:
                raise
            except ActcompareError as error:
                why = str(error)
            cases.append(Case(activation, curve, name, how, why))
    return cases


def _measured(cases: Sequence[Case], X: Tensor, config: DepthConfig) -> list[Signals | None]:
    """Measure the cases that have an initialisation."""
    nothing: list[Signals | None] = [None] * len(cases)
    known = [(i, case.curve, case.how) for i, case in enumerate(cases) if case.how is not None]
    if not (config.nets and known):
        return nothing
    end = time.monotonic() + config.time_limit
    found = measure(
        [(curve, how) for _, curve, how in known],
        X,
        Size(config.width, config.layers, config.nets),
        seed=config.seed,
        more=lambda _: time.monotonic() < end,
    )
    for (i, _, _), signals in zip(known, found, strict=True):
        nothing[i] = signals
    return nothing
