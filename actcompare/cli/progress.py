"""The one live line on stderr: on a terminal only, and never with --quiet."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from functools import partial

Update = Callable[..., None]
"""Takes `completed`, `total` and `description`, each optional."""


@contextlib.contextmanager
def progress_line(
    quiet: bool,
    *,
    total: int | None = None,
    completed: int = 0,
    description: str = "",
    time_left: bool = False,
    own_refresh: bool = False,
) -> Iterator[Update | None]:
    """A bar and a description while the context lasts.

    Args:
        quiet: Whether there is to be none.
        total: Steps in all; None where that is open.
        completed: Steps done before.
        description: What is shown beside the bar.
        time_left: Whether to estimate the time left.
        own_refresh: Draw only when updated: a thread that draws takes time from measurements.

    Yields:
        What updates the line; None where there is none.
    """
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn

    columns: list[ProgressColumn] = [BarColumn(), TextColumn("{task.description}")]
    if time_left:
        columns.append(TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, auto_refresh=not own_refresh
    ) as progress:
        task = progress.add_task(description, total=total, completed=completed)
        yield partial(progress.update, task, refresh=own_refresh)
