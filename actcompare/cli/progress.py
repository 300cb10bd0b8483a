"""Show one progress line on stderr, only on a terminal and never with --quiet."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

from actcompare.text import shown

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
    """Show a bar and a description within the context.

    Args:
        quiet: Show nothing.
        total: Number of steps; None if unknown.
        completed: Steps already done.
        description: Text beside the bar.
        time_left: Estimate the time left.
        own_refresh: Draw only on updates: a drawing thread would disturb measurements.

    Yields:
        A function that updates the line; None if there is no line.
    """
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn

    columns: list[ProgressColumn] = [BarColumn(), TextColumn("{task.description}", markup=False)]
    if time_left:
        columns.append(TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, auto_refresh=not own_refresh
    ) as progress:
        task = progress.add_task(description, total=total, completed=completed)

        def update(*, description: str | None = None, **changes: Any) -> None:
            said = description and shown(description)
            progress.update(task, refresh=own_refresh, description=said, **changes)

        yield update
