"""The page: nothing but what it says, for every reader, and whatever the names in it are."""

import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from actcompare.errors import MissingExtraError
from actcompare.output.styles import PALETTES, Theme
from actcompare.reporting import page as page_module
from actcompare.reporting.page import framed, page
from actcompare.reporting.report import Report
from tests.reporting.made import evidence

CHROMIUM = next(
    (
        path
        for name in ("chromium", "chromium-browser", "google-chrome")
        for folder in ("/usr/bin", "/usr/local/bin", "/opt/google/chrome")
        if (path := Path(folder, name)).exists()
    ),
    None,
)
WIDTHS = (360, 768, 1280)
HOSTILE = "<script>alert(1)</script>\"'&\x1b[31m\u202e\n" + "x" * 40


class Elements(HTMLParser):
    """The elements of a page with their attributes, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture(scope="session")
def text(real: Report) -> str:
    return real.html()


def test_the_page_is_small_and_has_no_script(text: str) -> None:
    assert len(text.encode()) < 2**20
    elements = Elements(text)
    for tag in ("script", "link", "iframe", "img", "image", "object"):
        assert elements.of(tag) == [], tag
    for tag, attributes in elements.found:
        assert not [name for name in attributes if name.startswith("on")], tag
        assert "javascript:" not in str(attributes)
    policy = next(each for each in elements.of("meta") if "http-equiv" in each)
    assert policy["content"] == "default-src 'none'; style-src 'unsafe-inline'"


def test_every_picture_has_a_label_and_a_table(text: str) -> None:
    elements = Elements(text)
    pictures = elements.of("svg")
    assert len(pictures) > 8
    for picture in pictures:
        assert picture["role"] == "img"
        assert picture["aria-label"]
    assert text.count("<details>") == len(pictures)
    assert all(each["scope"] in ("col", "row") for each in elements.of("th"))
    ids = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_figures_have_the_colours_of_the_page(text: str) -> None:
    drawn = "".join(re.findall(r"<svg.*?</svg>", text, re.DOTALL))
    assert not re.findall(r"#[0-9a-fA-F]{6}\b", drawn)
    for name in re.findall(r"var\((--[\w-]+)\)", drawn):
        assert text.count(f"{name}: ") == 3, name  # light, dark and print
    for theme in Theme:
        for colour in PALETTES[theme].lines:
            assert colour in text


def test_the_page_says_what_the_report_says(real: Report, text: str) -> None:
    said = " ".join(Elements(text).text.split())
    for claim in real.claims:
        for part in (claim.text, claim.verdict, claim.measured, claim.command):
            assert " ".join(part.split()) in said
    for line in real.reading().split("\n"):
        assert line in said or "not run" in line
    assert real.evidence.config.command() in said


def test_what_is_missing_is_said_with_its_command() -> None:
    said = " ".join(Elements(page(evidence())).text.split())
    for part in evidence().parts:
        assert part.command in said
    assert "actcompare report --budget 300" in said


def test_names_are_only_text(real: Report) -> None:
    clean = Elements(real.html())
    config = replace(real.evidence.config, data=HOSTILE, activations=("relu", "softplus", "gelu"))
    hostile = page(replace(real.evidence, config=config))
    elements = Elements(hostile)
    assert [tag for tag, _ in elements.found] == [tag for tag, _ in clean.found]
    for mark in "\x1b\u202e":
        assert mark not in hostile
    assert "<script>" not in hostile
    assert "<script>alert(1)" in elements.text  # as text
    assert "\\u202e" in elements.text


def test_labels_in_figures_are_only_text(real: Report) -> None:
    study = real.evidence.study
    assert study is not None
    activations = ("relu", HOSTILE, "gelu")
    cells = tuple(
        replace(each, cell=replace(each.cell, activation=HOSTILE))
        if each.cell.activation == "softplus"
        else each
        for each in study.results
    )
    renamed = replace(study, config=replace(study.config, activations=activations), results=cells)
    config = replace(real.evidence.config, activations=activations)
    found = replace(evidence(*activations), config=config, study=renamed)
    elements = Elements(page(found))
    assert len(elements.of("svg")) == 3  # quality, dead units, learning rates
    assert elements.of("script") == []
    assert not {"\x1b", "\u202e"} & set(elements.text)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for missing in ("jinja2", "matplotlib"):
        monkeypatch.setattr(page_module, "find_spec", lambda name, m=missing: name != m or None)
        with pytest.raises(MissingExtraError, match=rf"{missing}.*actcompare\[report\]"):
            page(evidence())


def test_a_notebook_shows_it_in_a_frame(text: str) -> None:
    (frame,) = Elements(framed(text)).of("iframe")
    assert frame["srcdoc"] == text
    assert "sandbox" in frame


# --- in a browser --------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no chromium here")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        started = playwright.chromium.launch(executable_path=str(CHROMIUM), args=arguments)
        yield started
        started.close()


@pytest.fixture(scope="session")
def opened(text: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(text, "utf-8")
    return path.as_uri()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_in_a_browser(browser: Any, opened: str, width: int, scheme: str) -> None:
    """No request, no message, no sideways scrolling; the background follows the scheme."""
    shown = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    requests, messages = list[str](), list[str]()
    shown.on("request", lambda request: requests.append(request.url))
    shown.on("console", lambda message: messages.append(message.text))
    shown.on("pageerror", lambda error: messages.append(str(error)))
    shown.goto(opened)
    assert requests == [opened]
    assert messages == []
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    paper = shown.evaluate("getComputedStyle(document.body).backgroundColor")
    wanted = PALETTES[Theme(scheme)].paper.lstrip("#")
    assert paper == f"rgb({', '.join(str(int(wanted[i : i + 2], 16)) for i in (0, 2, 4))})"
    shown.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser: Any, opened: str, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    for width in (360, 1280):
        shown = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        shown.goto(opened)
        shown.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        result = axe.Axe().run(shown)
        assert result.violations_count == 0, result.generate_report()
        shown.close()


def test_on_paper_it_is_light(browser: Any, opened: str) -> None:
    shown = browser.new_page(color_scheme="dark")
    shown.goto(opened)
    shown.emulate_media(media="print", color_scheme="dark")
    paper = shown.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == "rgb(255, 255, 255)"
    assert shown.pdf(format="A4").startswith(b"%PDF")
    shown.close()
