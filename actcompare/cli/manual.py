"""`actcompare help`: the manual, a page per command and per topic."""

import os
from importlib.resources import files
from typing import Annotated

import typer

from actcompare.errors import UsageError

PAGES = (
    *("eval", "table", "bench", "train", "study", "inspect"),
    *("spec", "formats", "statistics", "limits", "ray", "python"),
)
"""The files of actcompare/docs, in the order in which they are listed."""

PLAIN_WIDTH, WIDEST = 80, 100
"""Columns of prose where there is no terminal, and at most."""

_ASCII = str.maketrans("─━│╭╮╰╯├┤┬┴┼•", "--|+++++++++*")
"""For a terminal without UTF-8: the characters of drawn tables."""


def read_page(name: str) -> str:
    """A page of the manual, as Markdown."""
    return files("actcompare").joinpath("docs", f"{name}.md").read_text("utf-8")


def heading_of(name: str) -> tuple[list[str], str]:
    """The topics of a page, and what its heading says of them: `# table, list: ...`."""
    topics, _, about = read_page(name).partition("\n")[0].removeprefix("# ").partition(": ")
    return topics.split(", "), about


def page_of_topic() -> dict[str, str]:
    """Every topic with the name of its page."""
    return {topic: name for name in PAGES for topic in heading_of(name)[0]}


def complete_topic(incomplete: str) -> list[str]:
    """Topics that begin so."""
    return [topic for topic in page_of_topic() if topic.startswith(incomplete)]


def help_command(
    topic: Annotated[
        str | None,
        typer.Argument(
            metavar="[TOPIC]",
            autocompletion=complete_topic,
            help="A command or a topic; without one, the list of them.",
        ),
    ] = None,
) -> None:
    """The manual: a page per command and topic."""
    if topic is None:
        _show(_contents())
        return
    pages = page_of_topic()
    if topic.lower() not in pages:
        raise UsageError(f"the manual has no page {topic!r}{_did_you_mean(topic, [*pages])}")
    _show(read_page(pages[topic.lower()]))


def _contents() -> str:
    """The list of topics, a line each, as a Markdown page."""
    headings = [heading_of(name) for name in PAGES]
    width = max(len(", ".join(topics)) for topics, _ in headings)
    lines = [f"{', '.join(topics):{width}}  {about}" for topics, about in headings]
    return "\n".join(["`actcompare help TOPIC` shows a page:", "```", *lines, "```"])


def _did_you_mean(topic: str, topics: list[str]) -> str:
    import difflib

    close = difflib.get_close_matches(topic.lower(), topics, n=3)
    return f": did you mean {', '.join(close)}?" if close else ": actcompare help lists them"


def _show(page: str) -> None:
    """On a terminal through a pager, elsewhere as plain text."""
    from rich.console import Console

    from actcompare.cli.pages import PLAIN, Page
    from actcompare.files.writing import open_output

    console = Console(theme=PLAIN)
    if console.is_terminal:
        less = os.environ.setdefault("LESS", "FRX")  # as git does: colours, and no page for a line
        with console.pager(styles="R" in less.upper()):
            console.print(Page(page), width=min(console.width, WIDEST), crop=False)
        return
    console = Console(width=PLAIN_WIDTH, no_color=True)
    with console.capture() as drawn:  # rich would exit on a closed pipe
        console.print(Page(page), crop=False)
    text = "".join(f"{line.rstrip()}\n" for line in drawn.get().splitlines())
    with open_output(None) as out:
        out.write(text if "utf" in (out.encoding or "").lower() else text.translate(_ASCII))
