"""Render a page of the manual in the terminal. Imported only when needed, since rich is slow."""

from typing import Any, ClassVar

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import CodeBlock, Heading, Markdown, TableElement
from rich.segment import Segment
from rich.table import Table
from rich.theme import Theme

INDENT = "    "

PLAIN = Theme({"markdown.code": "bold", "markdown.h1": "bold", "markdown.h2": "bold"})
"""Styles without rich's colours, which suit only dark terminals."""


class _Heading(Heading):
    """A heading at the left margin, without a frame."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        self.text.justify = "left"
        yield self.text


class _CodeBlock(CodeBlock):
    """A code block whose lines are neither wrapped nor cut."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in str(self.text).rstrip().split("\n"):
            yield Segment(f"{INDENT}{line}".rstrip() + "\n")


class _Table(TableElement):
    """A table whose cells are folded, never cut."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for table in super().__rich_console__(console, options):
            assert isinstance(table, Table)
            table.show_edge = False
            for column in table.columns:
                column.overflow = "fold"
            yield table


class Page(Markdown):
    """A manual page, written in Markdown."""

    elements: ClassVar[dict[str, Any]] = Markdown.elements | {
        "heading_open": _Heading,
        "fence": _CodeBlock,
        "code_block": _CodeBlock,
        "table_open": _Table,
    }
