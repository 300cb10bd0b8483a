"""`bench` of a user's model."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from actcompare.activations.spec import Activation, Specs, parse_all
from actcompare.benchmark.bench import Benchmark, describe
from actcompare.benchmark.measure import Progress
from actcompare.benchmark.nets.measure import Net, find_swap, measure_net
from actcompare.benchmark.nets.workloads import OPTIMIZERS
from actcompare.benchmark.plan import Names, Settings, choices, several
from actcompare.benchmark.records import CHOICES, BenchConfig, Case
from actcompare.errors import UsageError
from actcompare.machine.devices import resolve_device, resolve_dtype
from actcompare.machine.processors import free_threads
from actcompare.models.uses import AS_IS

PASSES = ("forward", "step")
"""The passes of the default."""

TIME_LIMIT = 10.0
"""Seconds per case: a pass of a whole model takes many times that of an activation."""


@dataclass(frozen=True, kw_only=True)
class NetSettings:
    """Settings of a benchmark of a model; the axes take one value or several, as in `Settings`."""

    device: Names = "cpu"
    dtype: str | torch.dtype | Sequence[str | torch.dtype] = "float32"
    """float32, float64; bfloat16 and float16 by autocast."""
    passes: Names | None = None
    """forward (in eval mode), backward, both, or step (a training step); forward and step."""
    mode: Names = "eager"
    optimizer: str = "sgd"
    """Optimizer of `step`: sgd (with momentum), adam or adamw."""
    threads: int | None = None
    seed: int = 0
    time_limit: float = TIME_LIMIT
    precision: float = 0.005
    margin: float = 0.01

    def __post_init__(self) -> None:
        Settings(
            threads=self.threads,
            seed=self.seed,
            time_limit=self.time_limit,
            precision=self.precision,
            margin=self.margin,
        )
        if self.optimizer not in OPTIMIZERS:
            raise UsageError(f"optimizer {self.optimizer!r} is not one of {', '.join(OPTIMIZERS)}")


def bench_model(
    model: nn.Module,
    batch: Any,
    activations: Specs = (AS_IS, "relu", "softplus"),
    *,
    name: str = "model",
    progress: Progress | None = None,
    keep: Callable[[Benchmark], None] | None = None,
    **settings: Any,
) -> Benchmark:
    """Measure what other activations cost in a whole model, against the one that it has.

    Each activation gets a copy of the model, in which it replaces the first one; the copies share
    the parameters and the input. The model is not changed.

    Args:
        model: Any module.
        batch: A batch as a DataLoader yields it: a tensor, a tuple or a mapping.
        activations: The first is one that the model has, or `as-is` for the one that it calls most
            often; the others replace it. `as-is` among those is the model once more.
        name: Name of the model in the result.
        progress: As for `bench`.
        keep: As for `bench`.
        settings: Fields of `NetSettings`.

    Raises:
        UsageError: A setting is wrong, or the model does not call the first activation.
        ActcompareError: The model cannot be copied or run, or a device is not available.
    """
    chosen = NetSettings(**settings)
    labels, news = _parsed(activations)
    net = Net(name, model, batch)
    cases = list(dict.fromkeys(_cases(chosen, net)))
    old, calls = find_swap(net, cases[0], labels[0])
    config = BenchConfig(
        tuple(labels),
        tuple(cases),
        chosen.threads or free_threads(),
        chosen.seed,
        chosen.time_limit,
        chosen.precision,
        chosen.margin,
        model=name,
        optimizer=chosen.optimizer,
        swapped=old,
        calls=calls,
    )
    done = Benchmark(config, describe(config), ())
    if keep is not None:
        keep(done)
    for measurement in measure_net(config, net, news, progress):
        done = replace(done, measurements=(*done.measurements, measurement))
        if keep is not None:
            keep(done)
    return done


def _parsed(activations: Specs) -> tuple[list[str], list[Activation | None]]:
    """Return the labels, and the new activations: None for the model as it is."""
    given = [activations] if isinstance(activations, str) else activations
    labels: list[str] = []
    news: list[Activation | None] = []
    for i, each in enumerate(given if isinstance(given, Sequence) else [given]):
        if each == AS_IS:
            labels.append(AS_IS)
            news.append(None)
            continue
        for activation in parse_all(each):
            labels.append(activation.label)
            news.append(activation.loaded() if i else None)
    if len(labels) < 2:
        raise UsageError("name the model's activation, or as-is, and one or more that replace it")
    return labels, news


def _cases(settings: NetSettings, net: Net) -> Iterator[Case]:
    passes = choices("pass", PASSES if settings.passes is None else settings.passes)
    dtypes = [resolve_dtype(d)[0] for d in several(settings.dtype, str | torch.dtype)]
    rest = {axis: CHOICES[axis][0] for axis in ("cache", "memory", "layout", "input")}
    devices = several(settings.device, str)
    for device in devices:
        resolve_device(device)
    for device, pass_, dtype, mode in itertools.product(
        devices, passes, dtypes, choices("mode", settings.mode)
    ):
        yield Case(device, dtype, net.shape, pass_, mode, **rest, model=net.name)
