"""The page of a report: HTML with figures inside, without scripts, that requests nothing."""

import html
import re
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec

from actcompare import __version__
from actcompare.errors import MissingExtraError
from actcompare.output.canvas import mixed, readable
from actcompare.output.plotting import figure_bytes
from actcompare.output.styles import PALETTES, Theme
from actcompare.reporting import tables
from actcompare.reporting.advice import limits
from actcompare.reporting.answers import LARGER, headline, sentences
from actcompare.reporting.claims import judge_claims
from actcompare.reporting.evidence import Evidence, Part
from actcompare.reporting.plots import Figure, bars, curves
from actcompare.text import escaped


def check_page() -> None:
    """Check that pages can be made, before anything is measured.

    Raises:
        MissingExtraError: jinja2 or matplotlib is not installed.
    """
    for package in ("jinja2", "markupsafe", "matplotlib"):
        if find_spec(package) is None:
            raise MissingExtraError(f"--format html needs {package}", "report")


def page(evidence: Evidence) -> str:
    """Return the page of a report.

    Raises:
        MissingExtraError: As `check_page`.
    """
    check_page()
    from jinja2 import Environment, StrictUndefined

    made = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.finalize = lambda value: escaped(value) if type(value) is str else value
    config = evidence.config
    template = made.from_string(
        files("actcompare.reporting").joinpath(_TEMPLATE).read_text("utf-8")
    )

    def missing_of(*names: str) -> list[Part]:
        return [part for part in evidence.missing if part.name in names]

    first, dot, rest = headline(evidence).partition(". ")
    return template.render(
        version=__version__,
        title=f"{_named(config.activations)} on {config.data}",
        colours=[(f"--{name}", light, dark) for name, light, dark in _colours()],
        headline=f"{first}{dot.strip()}",
        rest=rest,
        sentences=sentences(evidence),
        uses=tables.uses_grid(evidence),
        bars=[_Drawn.of(figure) for figure in bars(evidence)],
        answer=tables.answer_grid(evidence),
        curves=[_Drawn.of(figure) for figure in curves(evidence)],
        claims=tables.claims_grid(judge_claims(evidence)),
        changes=tables.changes_grid(evidence),
        baseline=config.activations[0],
        limits=limits(evidence),
        machine=tables.machine_grid(evidence),
        parts=tables.parts_grid(evidence),
        command=config.command(),
        larger=config.command(LARGER * config.budget),
        missing_of=missing_of,
    )


_TEMPLATE = "page.html.j2"


def _named(activations: tuple[str, ...]) -> str:
    return f"{len(activations)} activations" if len(activations) > 4 else " or ".join(activations)


def framed(text: str) -> str:
    """Return a page within a frame, for a notebook."""
    return (
        f'<iframe srcdoc="{html.escape(text)}" sandbox title="actcompare report"'
        ' style="width: 100%; height: 40rem; border: 0"></iframe>'
    )


# --- figures -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Drawn:
    """A figure, and its SVG."""

    figure: Figure
    svg: object

    @classmethod
    def of(cls, figure: Figure) -> "_Drawn":
        from markupsafe import Markup

        return cls(figure, Markup(_inline(figure)))


def _colours() -> list[tuple[str, str, str]]:
    """Return the name of each colour in figures, and what it is in light and in dark."""
    light, dark = PALETTES[Theme.light], PALETTES[Theme.dark]
    found = [
        (name, getattr(light, name), getattr(dark, name))
        for name in ("paper", "ink", "quiet", "faint")
    ]
    for i, (one, other) in enumerate(zip(light.lines, dark.lines, strict=True)):
        found.append((f"line-{i}", one, other))
        found.append((f"name-{i}", readable(one, light), readable(other, dark)))
        found.append((f"band-{i}", mixed(one, light.paper, 0.75), mixed(other, dark.paper, 0.75)))
    return found


def _inline(figure: Figure) -> str:
    """Return a figure as an element of a page, in the page's colours and with ids of its own."""
    drawn = figure_bytes(figure.picture, ".svg").decode()
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r"<style[^>]*>.*?</style>", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r'(<svg [^>]*?) width="[^"]*"', r"\1", drawn, count=1)
    drawn = re.sub(r'(<svg [^>]*?) height="[^"]*"', r"\1", drawn, count=1)
    drawn = re.sub(r' id="([^"]+)"', rf' id="{figure.name}-\1"', drawn)
    drawn = re.sub(r"url\(#([^)]+)\)", rf"url(#{figure.name}-\1)", drawn)
    drawn = re.sub(r'href="#([^"]+)"', rf'href="#{figure.name}-\1"', drawn)
    named = {light.lower(): name for name, light, _ in reversed(_colours())}
    drawn = re.sub(
        "#[0-9a-fA-F]{6}",
        lambda found: (
            f"var(--{named[found[0].lower()]})" if found[0].lower() in named else found[0]
        ),
        drawn,
    )
    label = html.escape(escaped(" ".join(figure.says.split())), quote=True)
    return drawn.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1).rstrip()
