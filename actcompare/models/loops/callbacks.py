"""Callbacks that watch units in the training loops of other libraries."""

from importlib import import_module
from typing import Any

from actcompare.errors import ActcompareError
from actcompare.models.loops.windows import Windows, sink_of
from actcompare.models.watching.watch import watch


def lightning_callback(every: int = 100, log: object = None, **settings: Any) -> Any:
    """Return a callback for Lightning's Trainer.

    Args:
        every: As for `Watch.every`.
        log: As for `Watch.every`; by default the trainer's loggers.
        settings: As for `watch`.

    Raises:
        ActcompareError: Lightning is not installed.
    """
    callback = _imported("lightning.pytorch", "lightning").Callback

    class UnitsCallback(callback):  # type: ignore[misc, valid-type]
        """Watches units while a model is fitted; `windows` holds what was seen."""

        windows: Windows | None = None

        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            def to_loggers(row: Any, step: int) -> None:
                for logger in trainer.loggers:
                    logger.log_metrics(dict(row), step)

            target = to_loggers if log is None else log
            self.windows = watch(pl_module, **settings).every(every, log=target)

        # The trainer calls `training_step`, and not the module itself.
        def on_train_batch_start(self, _: Any, __: Any, batch: Any, batch_idx: int) -> None:
            del batch_idx
            if self.windows is not None:
                self.windows.begin(batch[0] if isinstance(batch, list | tuple) else batch)

        def on_before_backward(self, *_: Any) -> None:
            if self.windows is not None:
                self.windows.end()

        def on_train_batch_end(self, *_: Any, **__: Any) -> None:
            self.on_before_backward()

        def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
            del trainer, pl_module, exception
            self.on_before_backward()

    return UnitsCallback()


def transformers_callback(every: int = 100, log: object = None, **settings: Any) -> Any:
    """Return a callback for the Trainer of transformers.

    Args:
        every: As for `Watch.every`.
        log: As for `Watch.every`, with the trainer's global step; by default its
            `state.log_history`.
        settings: As for `watch`.

    Raises:
        ActcompareError: transformers is not installed.
    """
    callback = _imported("transformers", "transformers").TrainerCallback

    class UnitsCallback(callback):  # type: ignore[misc, valid-type]
        """Watches units while a model is trained; `windows` holds what was seen."""

        windows: Windows | None = None

        def on_train_begin(self, _: Any, state: Any, __: Any, model: Any, **___: Any) -> None:
            sink = sink_of(state.log_history if log is None else log)

            def at_step(row: Any, _: int) -> None:
                sink(row, state.global_step)

            self.windows = watch(model, **settings).every(every, log=at_step)
            self.windows.__enter__()

        def on_train_end(self, *_: Any, **__: Any) -> None:
            if self.windows is not None:
                self.windows.__exit__()

    return UnitsCallback()


def _imported(module: str, package: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise ActcompareError(f"{package} is not installed: pip install {package}") from error
