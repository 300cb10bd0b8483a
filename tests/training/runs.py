"""Made-up trainings, for what is said of them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from actcompare import SimpleNet
from actcompare.machine.environment import Environment
from actcompare.training.records import DataSummary, Epoch, LayerUnits, Score, TrainConfig
from actcompare.training.run import Training
from actcompare.units.statistics import VERDICTS

CONFIG = TrainConfig(
    activation="relu",
    data="digits",
    target=None,
    task="classification",
    scale="unit",
    input_size=64,
    output_size=10,
    hidden=20,
    depth=1,
    output_activation=None,
    epochs=2,
    batch_size=32,
    optimizer="sgd",
    lr=0.5,
    momentum=0.9,
    weight_decay=0.0,
    init="default",
    seed=0,
    device="cpu",
    dtype="float32",
    threads=1,
    track_on="train",
)
ENVIRONMENT = Environment("0", "2", "3", "Linux", "CPU", 2, 1, "cpu", "CPU")
DATA = DataSummary(
    samples=(1000, 200, 200),
    stratified=True,
    why="10 distinct whole numbers",
    classes=tuple("0123456789"),
    constant=("0",),
    notes=(),
    fingerprint="f",
)


def layer(name: str = "hidden1", **verdicts: Sequence[int]) -> LayerUnits:
    """A layer of 20 units, of which the verdicts hold for those given."""
    all_of_them = {verdict: tuple(verdicts.get(verdict, ())) for verdict in VERDICTS}
    return LayerUnits(name, 20, 1000, 0.25, all_of_them, 0.125)


def training(*layers: LayerUnits, start: LayerUnits | None = None, **changes: Any) -> Training:
    """A run of two epochs that ended with the layers."""
    first = tuple(
        replace(start if start is not None else layer(), layer=one.layer) for one in layers
    )
    history = (
        Epoch(0, Score(2.3, 0.1), Score(2.31, 0.09), 0.0, first),
        Epoch(1, Score(0.5, 0.8), Score(0.6, 0.75), 0.02, first),
        Epoch(2, Score(0.2, 0.95), Score(0.3, 0.9), 0.02, layers),
    )
    whole = Training(
        config=CONFIG,
        environment=ENVIRONMENT,
        data=DATA,
        history=history,
        test=Score(0.31, 0.895),
        diverged=None,
        net=SimpleNet(64, 20, 10),
    )
    return replace(whole, **changes)
