"""Show progress on stderr, only on a terminal and never with --quiet."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from actcompare.text import duration, shown

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


@contextlib.contextmanager
def part_list(quiet: bool) -> Iterator[Callable[[Sequence[tuple[str, str]], float], None] | None]:
    """Show a list of parts with their states within the context, and the time left below it.

    It is drawn only on updates: a drawing thread would disturb measurements.

    Args:
        quiet: Show nothing.

    Yields:
        A function that takes the title and the state of each part, and the seconds left; None if
        nothing is shown.
    """
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table
    from rich.text import Text

    with Live(console=Console(stderr=True), auto_refresh=False, transient=True) as live:

        def update(parts: Sequence[tuple[str, str]], left: float) -> None:
            table = Table.grid(padding=(0, 2))
            for title, state in parts:
                table.add_row(Text(shown(title)), Text(shown(state)))
            table.add_row(Text(f"about {duration(max(left, 0.0))} left"), Text(""))
            live.update(table, refresh=True)

        yield update
