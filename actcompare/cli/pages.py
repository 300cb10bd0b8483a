"""How a page of the manual looks in the terminal. Imported where one is shown: rich is slow."""

from typing import Any, ClassVar

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import CodeBlock, Heading, Markdown, TableElement
from rich.segment import Segment
from rich.table import Table
from rich.theme import Theme

INDENT = "    "

PLAIN = Theme({"markdown.code": "bold", "markdown.h1": "bold", "markdown.h2": "bold"})
"""Without the colours that only suit a dark terminal."""


class _Heading(Heading):
    """At the left margin, without a frame."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        self.text.justify = "left"
        yield self.text


class _CodeBlock(CodeBlock):
    """Every line as it is, however wide: output is neither wrapped nor cut."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in str(self.text).rstrip().split("\n"):
            yield Segment(f"{INDENT}{line}".rstrip() + "\n")


class _Table(TableElement):
    """Cells are folded, never cut."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for table in super().__rich_console__(console, options):
            assert isinstance(table, Table)
            table.show_edge = False
            for column in table.columns:
                column.overflow = "fold"
            yield table


class Page(Markdown):
    """Markdown as a manual page."""

    elements: ClassVar[dict[str, Any]] = Markdown.elements | {
        "heading_open": _Heading,
        "fence": _CodeBlock,
        "code_block": _CodeBlock,
        "table_open": _Table,
    }
