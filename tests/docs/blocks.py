"""The examples of README and of the manual: found, run, and compared with what the pages show.

A fenced block that begins with `$ ` is a command and its output; one that does not, behind a
```python block, is what that code prints. A Python block that begins with `# NAME.py` is a file.
The fence says how far another machine may differ:

    ```console      in the last digits of numbers
    ```text         in any number, and in the length of what is drawn from them
    ```text cases   in all but the columns of its tables, the cases that their rows name, and the
                    first words below them

A last line of `...` stands for the rest of the output. Everything on a page runs in one folder, in
the order of the page.
"""

import contextlib
import functools
import io
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from actcompare.cli.manual import PAGES

ROOT = Path(__file__).parent.parent.parent
FILES = {"README": ROOT / "README.md"} | {
    name: ROOT / "actcompare" / "docs" / f"{name}.md" for name in PAGES
}
BLOCK = re.compile(r"^```(?P<info>[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
PICTURE = re.compile(r"!\[[^]]*\]\(([^)]+)\)")
NUMBER = re.compile(r"[-+]?\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]\d+)?")
BUSY = re.compile(r"^warning: (?:the machine was busy|other processes keep).*\n", re.MULTILINE)
REST = "...\n"


@dataclass(frozen=True)
class Example:
    """A command or Python code, and what its page shows of the output."""

    page: str
    code: str
    python: bool
    fence: str
    """console, text or text cases; empty where no output is shown."""
    shown: str
    span: tuple[int, int]
    """Where in the page the shown output stands."""

    @property
    def file(self) -> str:
        """The name of the file that the code is, or the empty string."""
        found = re.match(r"# (\w+\.py)\n", self.code) if self.python else None
        return found[1] if found else ""

    def agrees(self, real: str) -> bool:
        """Whether real output is what the page shows."""
        if not self.fence:
            return True
        if self.fence == "text cases":
            if self.shown.endswith(REST):
                known = cases(self.shown)
                return known == cases(real)[: len(known)]
            return cases(self.shown) == cases(real) and _opening(self.shown) == _opening(real)
        shown, found = (_plain(text).split() for text in (self.shown, real))
        if self.shown.endswith(REST):
            shown = shown[:-1]
            found = found[: len(shown)]
        if self.fence == "text":
            return [NUMBER.sub("#", word) for word in shown] == [
                NUMBER.sub("#", word) for word in found
            ]
        return alike(" ".join(shown), " ".join(found))

    def excerpt(self, real: str) -> str:
        """As much of real output as the page shows."""
        if not self.shown.endswith(REST):
            return real
        lines = self.shown.count("\n") - 1
        return "".join(real.splitlines(keepends=True)[:lines]) + REST


@dataclass(frozen=True)
class Played:
    """What the examples of a page printed, and the pictures that they drew, by name."""

    outputs: tuple[str, ...]
    pictures: dict[str, str]


def pictures_agree(page: str, played: Played) -> bool:
    """Whether the pictures of a page are those that its commands draw: with the same words."""
    targets = [FILES[page].parent / target for target in PICTURE.findall(text_of(page))]
    targets = [path for path in targets if path.suffix == ".svg"]
    return all(
        words_in(path.read_text("utf-8")) == words_in(played.pictures[path.name]) != set()
        for path in targets
    )


def words_in(svg: str) -> set[str]:
    return {text for text in re.findall(r"<text[^>]*>(.*)</text>", svg) if text[0].isalpha()}


def text_of(page: str) -> str:
    return FILES[page].read_text("utf-8")


def examples(page: str) -> list[Example]:
    """The examples of a page in their order."""
    found: list[Example] = []
    for block in BLOCK.finditer(text_of(page)):
        fence, body, start = block["info"], block["body"], block.start("body")
        if fence == "python":
            found.append(Example(page, body, True, "", "", (start, start)))
        elif body.startswith("$ "):
            command, _, shown = body.removeprefix("$ ").partition("\n")
            begin = start + len(body) - len(shown)
            found.append(Example(page, command, False, fence, shown, (begin, block.end("body"))))
        elif fence in ("console", "text"):
            code = found.pop()
            assert code.python, body
            span = block.span("body")
            found.append(Example(page, code.code, True, fence, body, span))
    return found


@functools.cache
def play(page: str, *, quick: bool = False) -> Played:
    """Run the examples of a page in an empty folder.

    Args:
        page: its name.
        quick: spend little time on measurements, of which only the cases are compared.
    """
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        outputs = tuple(_run(example, quick) for example in examples(page))
        pictures = {path.name: path.read_text("utf-8") for path in Path(folder).glob("*.svg")}
    return Played(outputs, pictures)


def _run(example: Example, quick: bool) -> str:
    if example.file:
        Path(example.file).write_text(example.code, "utf-8")
        return ""
    if example.python:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(example.code, {})
        return printed.getvalue()
    hurry = ""
    if quick and " bench" in example.code:
        hurry = " --time-limit 0.05"
    if quick and example.code.startswith("actcompare report"):
        hurry = " --budget 8"
    if any(Path().iterdir()):
        return run_in_shell(example.code + hurry)
    output, files = _run_in_empty_folder(example.code + hurry)
    for name, content in files.items():
        Path(name).write_bytes(content)
    return output


@functools.cache
def _run_in_empty_folder(command: str) -> tuple[str, dict[str, bytes]]:
    """What a command prints and writes, once for all pages that show it."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        output = run_in_shell(command)
        return output, {path.name: path.read_bytes() for path in Path().iterdir()}


def run_in_shell(command: str) -> str:
    """What a command prints, on both streams, but for cautions that the machine is busy."""
    ours = re.sub(r"\bactcompare (?=\w|-)", f"{sys.executable} -m actcompare ", command)
    done = subprocess.run(
        ["bash", "-c", f"({ours}) 2>&1"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode in (0, 3), (command, done.stdout)  # 3: a gate was shown to trip
    return BUSY.sub("", done.stdout)


def alike(shown: str, real: str) -> bool:
    """The same text, but for the last digits of numbers, in which machines differ."""
    a, b = ([_number(n) for n in NUMBER.findall(text)] for text in (shown, real))
    if NUMBER.sub("#", shown) != NUMBER.sub("#", real):
        return False
    return b == pytest.approx(a, rel=2e-5)


def _number(text: str) -> float:
    return float(text.replace(",", ""))


def _plain(text: str) -> str:
    """A text without the lengths of lines in tables, and with seconds in one unit."""
    return re.sub(r"(?<=\d) (?:ns|us|ms|s)\b", " s", re.sub("─+", "─", text))


def cases(text: str) -> list[list[str]]:
    """Of each table the titles, then of its rows the columns up to the activation."""
    found = []
    for table in re.findall(r"(?:^[│├].*\n)+", text, re.MULTILINE):
        rows = [line for line in table.splitlines() if line.startswith("│")]
        titles, *cells = ([part.strip() for part in row.strip("│").split("│")] for row in rows)
        last = titles.index("activation") + 1 if "activation" in titles else 1
        found += [titles, *(row[:last] for row in cells)]
    return found


def _opening(text: str) -> str:
    """The first words of the last paragraph, up to its first punctuation or number."""
    return re.split(r"[,:\d]", text.rpartition("\n\n")[2])[0]
