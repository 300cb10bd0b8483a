"""Whether nets of such a depth train: paired seeds of SimpleNet, per initialisation."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from actcompare.activations.gaussian import Curve
from actcompare.activations.spec import Activation
from actcompare.data.datasets import Source
from actcompare.errors import ActcompareError, UsageError
from actcompare.models.critical import critical_point
from actcompare.models.simple_net import INITS
from actcompare.studies.comparison import FAILED, NOT_RUN, UNTRAINED
from actcompare.studies.study import Study, Work, study

HIDDEN, BATCH, STEPS, SEEDS = 64, 128, 300, 6

RATES = (0.0003, 0.003, 0.03)
"""Candidate learning rates of SGD with momentum 0.9; the validation set decides."""

Listener = Callable[[str, Work], None]
"""Called with an initialisation and its study so far."""


@dataclass(frozen=True)
class Trained:
    """Nets of each activation with one initialisation, trained."""

    init: str
    study: Study | None
    """None if no activation has this initialisation."""
    why: tuple[str, ...]
    """Why activations are missing."""

    def rows(self) -> list[dict[str, Any]]:
        """Return one record per activation: whether it trains, how well, and the chance level."""
        if self.study is None:
            return []
        names = ("lr", "seeds", "diverged", "mean", "mean_low", "mean_high", "guess")
        return [
            {"activation": row["activation"], "init": self.init, "verdict": _verdict(row)}
            | {name: row[name] for name in names}
            for row in self.study.rows()
        ]


def _verdict(row: Mapping[str, Any]) -> str:
    known = (UNTRAINED, FAILED, NOT_RUN)
    return str(row["verdict"]) if row["verdict"] in known else "trained"


def check_inits(inits: Sequence[str]) -> None:
    """Check that nets can be trained from these initialisations.

    Raises:
        UsageError: `train` does not know one of them.
    """
    unknown = [name for name in inits if name not in INITS]
    if unknown:
        raise UsageError(f"--train is for {', '.join(INITS)}; leave out --init {unknown[0]}")


def train_deep(
    activations: Sequence[Activation],
    data: Source,
    inits: Sequence[str],
    *,
    layers: int,
    samples: int,
    listen: Listener | None = None,
    **settings: Any,
) -> tuple[Trained, ...]:
    """Train nets of `layers` hidden layers of HIDDEN units, STEPS steps of BATCH samples.

    Args:
        activations: The activations.
        data: The data.
        inits: Initialisations that `train` knows.
        layers: Hidden layers.
        samples: Samples of the training set.
        listen: Called from time to time.
        settings: Further settings of `study`.

    Raises:
        ActcompareError: The data cannot be used, or an activation fails.
    """
    batch = min(BATCH, samples)
    found = []
    for init in inits:
        chosen, why = _with_init(activations, init)
        done = None
        if chosen:
            done = study(
                chosen,
                data,
                init=init,
                depth=layers,
                hidden=HIDDEN,
                lr=RATES,
                seeds=SEEDS,
                batch_size=batch,
                epochs=math.ceil(STEPS / (samples // batch)),
                listen=None if listen is None else partial(listen, init),
                **settings,
            )
        found.append(Trained(init, done, tuple(why)))
    return tuple(found)


def _with_init(activations: Sequence[Activation], init: str) -> tuple[list[Activation], list[str]]:
    """Return the activations that have this initialisation, and why others do not."""
    if init != "critical":
        return list(activations), []
    chosen, why = [], []
    for activation in activations:
        try:
            critical_point(Curve.of(activation))
            chosen.append(activation)
        except ActcompareError as error:
            why.append(str(error))
    return chosen, why
