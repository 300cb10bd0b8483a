"""`actcompare help`: show a page of the manual."""

import os
from importlib.resources import files
from typing import Annotated

import typer

from actcompare.errors import UsageError

PAGES = (
    *("eval", "report", "table", "bench", "train", "study", "fit", "inspect", "depth"),
    *("softplus", "spec", "formats", "ci", "statistics", "limits", "models", "ray", "python"),
)
"""The files of actcompare/docs, in the order of the contents."""

PLAIN_WIDTH, WIDEST = 80, 100
"""Width of prose without a terminal, and the most on one, in columns."""

_ASCII = str.maketrans("─━│╭╮╰╯├┤┬┴┼•", "--|+++++++++*")
"""Replaces the characters of drawn tables on a terminal without UTF-8."""


def read_page(name: str) -> str:
    """Return a page of the manual as Markdown."""
    return files("actcompare").joinpath("docs", f"{name}.md").read_text("utf-8")


def heading_of(name: str) -> tuple[list[str], str]:
    """Return the topics and the description in a page's heading, `# table, list: ...`."""
    topics, _, about = read_page(name).partition("\n")[0].removeprefix("# ").partition(": ")
    return topics.split(", "), about


def page_of_topic() -> dict[str, str]:
    """Return the name of the page for every topic."""
    return {topic: name for name in PAGES for topic in heading_of(name)[0]}


def complete_topic(incomplete: str) -> list[str]:
    """Return the topics that begin with a text."""
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
    """Return the list of topics as a Markdown page."""
    headings = [heading_of(name) for name in PAGES]
    width = max(len(", ".join(topics)) for topics, _ in headings)
    lines = [f"{', '.join(topics):{width}}  {about}" for topics, about in headings]
    return "\n".join(["`actcompare help TOPIC` shows a page:", "```", *lines, "```"])


def _did_you_mean(topic: str, topics: list[str]) -> str:
    import difflib

    close = difflib.get_close_matches(topic.lower(), topics, n=3)
    return f": did you mean {', '.join(close)}?" if close else ": actcompare help lists them"


def _show(page: str) -> None:
    """Show a page: through a pager on a terminal, as plain text elsewhere."""
    from rich.console import Console

    from actcompare.cli.pages import PLAIN, Page
    from actcompare.files.writing import open_output

    console = Console(theme=PLAIN)
    if console.is_terminal:
        less = os.environ.setdefault("LESS", "FRX")  # as in git: colours; quit if it fits
        with console.pager(styles="R" in less.upper()):
            console.print(Page(page), width=min(console.width, WIDEST), crop=False)
        return
    console = Console(width=PLAIN_WIDTH, no_color=True)
    with console.capture() as drawn:  # rich would exit on a closed pipe
        console.print(Page(page), crop=False)
    text = "".join(f"{line.rstrip()}\n" for line in drawn.get().splitlines())
    with open_output(None) as out:
        out.write(text if "utf" in (out.encoding or "").lower() else text.translate(_ASCII))
