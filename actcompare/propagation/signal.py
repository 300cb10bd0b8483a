"""`signal_depth`: what becomes of the signal in deep nets, by theory and by measurement."""

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from actcompare.activations.gaussian import ROUNDING, Array, Curve
from actcompare.activations.spec import Activation, Specs, parse_all
from actcompare.data.datasets import Source
from actcompare.data.sources import load_data
from actcompare.data.splits import STANDARD, UNIT, split
from actcompare.errors import ActcompareError, UsageError
from actcompare.machine.devices import resolve_device
from actcompare.machine.environment import Environment, describe_environment
from actcompare.machine.processors import check_threads, threads_for, torch_threads
from actcompare.propagation.explain import describe_propagation, describe_training
from actcompare.propagation.initialisation import Initialisation, check_names, initialisation
from actcompare.propagation.measure import Signals, Size, measure
from actcompare.propagation.records import MOST_LAYERS, Course, DepthConfig, Prospect, Row
from actcompare.propagation.theory.dead import mean_zero_dead
from actcompare.propagation.theory.edge import Edge, find_edge
from actcompare.propagation.theory.gains import Gain, gain_of
from actcompare.propagation.theory.maps import (
    REACH,
    FixedPoint,
    Law,
    Step,
    distances,
    fixed_point,
    propagate,
    settled,
)
from actcompare.propagation.theory.width import Correction, correct
from actcompare.propagation.training import Listener, Trained, check_inits, train_deep
from actcompare.stats import t_interval
from actcompare.table import Table, Tabular

LAYERS, LAYERS_TO_TRAIN = 50, 32
"""Hidden layers by default."""

SAMPLES = 64
"""Training inputs that go through every net."""

INITS = ("default", "kaiming", "critical")

_RANGE = 600.0
"""Natural logarithms of variances that float64 holds, with their squares, are smaller."""


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
            _row(case, signals, X, config) for case, signals in zip(cases, measured, strict=True)
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
class _Case:
    activation: Activation
    curve: Curve
    init: str
    how: Initialisation | None
    why: str
    """Why there is no such initialisation."""


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


def _cases(parsed: Sequence[Activation], config: DepthConfig, inputs: _Inputs) -> list[_Case]:
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
            cases.append(_Case(activation, curve, name, how, why))
    return cases


def _measured(cases: Sequence[_Case], X: Tensor, config: DepthConfig) -> list[Signals | None]:
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


# --- one row -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Theory:
    steps: list[Step]
    """Of every sample."""
    fixed: FixedPoint
    correction: Correction
    distance: Array
    """1 - c at each layer from the first pre-activations on."""
    zero_dead: float
    reach: float

    @property
    def log_chi(self) -> Array:
        """The log factor of the gradient's variance at each layer, in the mean over samples."""
        return np.array([step.log_chi.mean() for step in self.steps])

    @property
    def log_q(self) -> Array:
        """The log variance from the first pre-activations on, in the mean over samples."""
        return np.array([step.log_q.mean() for step in self.steps] + [self.steps[-1].to.mean()])


def _theory(case: _Case, X: Tensor, config: DepthConfig) -> _Theory | None:
    """Return the theory; None for functions that jump."""
    curve, how = case.curve, case.how
    if how is None or not curve.has_theory:
        return None
    squares, law = X.square().mean(1).numpy(), how.hidden
    q1 = how.first_variance(squares)
    middle = math.exp(np.log(q1).mean())
    typical = propagate(curve, law, np.array([middle]), config.layers)
    apart = np.array(distances(curve, law, middle, _start(how, X), config.layers))
    lengths = np.array([step.log_q.item() for step in typical])
    return _Theory(
        propagate(curve, law, q1, config.layers),
        fixed_point(curve, law, middle),
        correct(curve, law, typical, config.width),
        apart,
        mean_zero_dead(curve, lengths, apart[:-1], len(X)),
        _reach(curve, law, typical),
    )


def _start(how: Initialisation, X: Tensor) -> float:
    """Return 1 - c of the first pre-activations, in the mean over neighbouring samples."""
    pairs = len(X) // 2 * 2
    one, other = X[0:pairs:2], X[1:pairs:2]
    q, r = (how.first_variance(each.square().mean(1).numpy()) for each in (one, other))
    apart = how.first.sigma_w2 * (one - other).square().mean(1).numpy()
    # 1 - c by way of the squared distance: the correlation itself would cancel.
    return float(((apart - (np.sqrt(q) - np.sqrt(r)) ** 2) / (2 * np.sqrt(q * r))).mean())


def _row(case: _Case, signals: Signals | None, X: Tensor, config: DepthConfig) -> Row:
    theory = _theory(case, X, config)
    how, why = case.how, case.why
    if not (why or theory):
        why = f"{case.curve.label} {case.curve.trouble}: it is measured only"
    squares = X.square().mean(1).numpy()
    prospect: dict[str, Any] = dict.fromkeys(Prospect.__dataclass_fields__)
    prospect |= {"activation": case.curve.label, "init": case.init}
    if how is not None:
        prospect |= {
            "sigma_w2": how.hidden.sigma_w2,
            "sigma_b2": how.hidden.sigma_b2,
            "q0": float(how.first_variance(squares).mean()),
        }
    if theory is not None:
        prospect |= _of_theory(theory)
    in_range = signals is not None and _in_range(theory, signals)
    if signals is not None and in_range:
        prospect |= _of_measurement(signals)
    elif signals is not None:
        signals = None
        why = why or (
            f"{case.curve.label} with {case.init} leaves the range of float64: measurements of it"
            " would say nothing"
        )
    if theory is not None and signals is not None and in_range and theory.correction.holds:
        prospect["agrees"] = int(_agrees(theory, signals))
    for name, value in prospect.items():
        if isinstance(value, float) and math.isnan(value):
            prospect[name] = None
    return Row(
        Prospect(**prospect),
        _course_of_theory(theory),
        _course_of_measurement(signals),
        why=why,
        beyond_theory=theory is not None and not theory.correction.holds,
        nets=0 if signals is None else len(signals.log_q),
        born_dead=0 if signals is None else signals.born_dead,
        variance=0.0 if theory is None else theory.correction.variance,
    )


def _of_theory(theory: _Theory) -> dict[str, Any]:
    fixed, log_chi = theory.fixed, theory.log_chi
    total = float(log_chi.sum())
    return {
        "fixed_point": fixed.q,
        "fixed_point_kind": fixed.kind,
        "chi": fixed.chi,
        "slope_q": fixed.slope,
        "xi_q": fixed.xi_q,
        "xi_c": fixed.xi_c,
        "phase": fixed.phase,
        "reach_layers": theory.reach,
        "log10_gradient_theory": total / math.log(10),
        "log10_gradient_corrected": (total + theory.correction.shift) / math.log(10),
        "one_minus_c_theory": float(theory.distance[-1]),
        "zero_dead_theory": theory.zero_dead,
    }


def _reach(curve: Curve, law: Law, steps: Sequence[Step]) -> float:
    """Return the number of layers within reach, of a typical sample; the given ones are the first.

    Beyond them the theory goes on, until the length no longer changes or MOST_LAYERS are within
    reach, which counts as infinite.
    """
    found, log_chi = 0, 0.0
    step = steps[0]
    while found < MOST_LAYERS:
        log_chi += float(step.log_chi[0])
        if not abs(log_chi) <= REACH:
            return float(found)
        found += 1
        if settled(step):
            last = abs(float(step.log_chi[0]))
            left = (REACH - abs(log_chi)) // last if last > ROUNDING else math.inf
            return found + left if found + left < MOST_LAYERS else math.inf
        step = steps[found] if found < len(steps) else law.length(curve, step.to)
    return math.inf


def _of_measurement(signals: Signals) -> dict[str, Any]:
    gradients = signals.log_gradient[:, 0] / math.log(10)
    found: dict[str, Any] = {
        "log10_gradient_measured": float(gradients.mean()),
        "one_minus_c_measured": float(signals.distance[:, -1].mean()),
        "zero_dead_measured": float(signals.zero_dead.mean()),
        "gradient_dead": float(signals.gradient_dead.mean()),
        "constant": float(signals.constant.mean()),
    }
    if len(gradients) > 1 and np.isfinite(gradients).all():
        interval = t_interval(gradients)
        found |= {"log10_gradient_low": interval.low, "log10_gradient_high": interval.high}
    return found


def _in_range(theory: _Theory | None, signals: Signals) -> bool:
    """Return whether float64 held the signals. Those of nets that are born dead are 0 in fact."""
    lengths = signals.log_q if theory is None else theory.log_q
    return bool((np.abs(lengths[np.isfinite(lengths)]) < _RANGE).all()) and not (
        np.isnan(lengths).any() or np.isposinf(lengths).any()
    )


def _agrees(theory: _Theory, signals: Signals) -> bool:
    """Return whether the mean over nets is as near to the theory as its variance allows."""
    gradients, off = signals.log_gradient[:, 0], theory.correction
    allowed = 4 * math.sqrt(off.variance / len(gradients)) + 0.1 * off.variance
    return abs(float(gradients.mean()) - float(theory.log_chi.sum()) - off.shift) <= allowed


def _course_of_theory(theory: _Theory | None) -> Course:
    if theory is None:
        return Course(None, None, None)
    above = np.concatenate([np.cumsum(theory.log_chi[::-1])[::-1], [0.0]])
    return Course(theory.log_q / math.log(10), above / math.log(10), theory.distance)


def _course_of_measurement(signals: Signals | None) -> Course:
    if signals is None:
        return Course(None, None, None)
    return Course(
        signals.log_q.mean(0) / math.log(10),
        signals.log_gradient.mean(0) / math.log(10),
        signals.distance.mean(0),
    )
