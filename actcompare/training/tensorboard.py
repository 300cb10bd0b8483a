"""Write a training run as TensorBoard events: scalars and histograms."""

from pathlib import Path
from typing import TYPE_CHECKING

from actcompare.errors import ActcompareError, MissingExtraError
from actcompare.units.statistics import VERDICTS

if TYPE_CHECKING:
    from actcompare.training.run import Run


class EventLog:
    """A folder of TensorBoard events, with one step per epoch."""

    def __init__(self, folder: Path, first_epoch: int = 0) -> None:
        """Open the folder; existing events from `first_epoch` on are discarded.

        Raises:
            MissingExtraError: Tensorboard is not installed.
            ActcompareError: The folder cannot be written.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise MissingExtraError("--log-dir needs tensorboard", "tensorboard") from None
        try:
            self._writer = SummaryWriter(str(folder), purge_step=first_epoch)
        except OSError as error:
            raise ActcompareError(f"cannot write {folder}: {error.strerror or error}") from error

    def __enter__(self) -> "EventLog":
        return self

    def __exit__(self, *failure: object) -> None:
        self._writer.close()

    def add(self, run: "Run") -> None:
        """Write the events of the epoch that a run has just finished."""
        epoch, writer = run.history[-1], self._writer
        for part, score in (("train", epoch.train), ("validation", epoch.validation)):
            writer.add_scalar(f"loss/{part}", score.loss, epoch.epoch)
            writer.add_scalar(f"metric/{part}", score.metric, epoch.epoch)
        for layer in epoch.layers:
            counts = layer.counts()
            for verdict in VERDICTS:
                writer.add_scalar(f"{layer.layer}/{verdict}", counts[verdict], epoch.epoch)
            writer.add_scalar(f"{layer.layer}/sparsity", layer.sparsity, epoch.epoch)
        for name, parameter in run.net.named_parameters():
            writer.add_histogram(name, parameter.detach().float().cpu(), epoch.epoch)
        writer.flush()
