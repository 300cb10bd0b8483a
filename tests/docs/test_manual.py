"""Every command, option, output and link in README and in the manual is real."""

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer

from actcompare.cli.app import app
from actcompare.cli.manual import PAGES, complete_topic, page_of_topic
from tests.conftest import Run
from tests.docs.blocks import (
    BLOCK,
    FILES,
    PICTURE,
    ROOT,
    Example,
    alike,
    cases,
    examples,
    pictures_agree,
    play,
    text_of,
)

GROUP: Any = typer.main.get_command(app)
COMMANDS_OF = {"table": ("table", "list")} | {
    page: (page,) for page in PAGES if page in GROUP.commands and page != "table"
}
"""The commands that a page documents; those of other pages may be any."""
SHOWN = [(page, i) for page in FILES for i, example in enumerate(examples(page))]
LINK = re.compile(r"(?<!!)\[[^]]+\]\(([^)\s]+)\)")
SETUP = (
    "pip install -c constraints.txt . && actcompare eval -- -2 0 5",
    "pip install -c constraints.txt -e '.[test]' && pytest",
)


def name_of(page: str, i: int) -> str:
    return f"{page}: {examples(page)[i].code.splitlines()[0]}"


@pytest.mark.parametrize(("page", "i"), SHOWN, ids=[name_of(*each) for each in SHOWN])
def test_the_output_shown_is_real(page: str, i: int) -> None:
    example, real = examples(page)[i], play(page, quick=True).outputs[i]
    assert example.agrees(real), f"python -m tests.docs.refresh {page}\n{real}"


@pytest.mark.parametrize("page", [page for page in FILES if PICTURE.search(text_of(page))])
def test_the_pictures_are_drawn_by_the_commands_shown(page: str) -> None:
    assert pictures_agree(page, play(page, quick=True)), f"python -m tests.docs.refresh {page}"


# --- commands and options ------------------------------------------------------------------------


def prose_of(page: str) -> str:
    return BLOCK.sub("", text_of(page))


def command_lines(page: str) -> list[list[str]]:
    """The arguments of every `actcompare` that is written on a page."""
    text = text_of(page)
    lines = re.findall(r"`([^`\n]+)`", prose_of(page))
    for block in BLOCK.finditer(text):
        if block["info"] == "sh":
            lines += block["body"].splitlines()
    lines += [example.code for example in examples(page) if not example.python]
    found = []
    for line in lines:
        if "actcompare " not in line:
            continue
        words: list[list[str]] = [[]]
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&>;")
        lexer.whitespace_split = True
        for word in lexer:
            if set(word) <= set("|&>;"):
                words.append([])
            else:
                words[-1].append(word)
        found += [each[1:] for each in words if each and each[0] == "actcompare" and each[1:]]
    return found


def options_of(command: str) -> set[str]:
    params = GROUP.params if not command else GROUP.commands[command].params
    names = {name for param in params for name in (*param.opts, *param.secondary_opts)}
    return names | {"--help", "-h"}


WRITTEN = [(page, line) for page in FILES for line in command_lines(page)]


@pytest.mark.parametrize(
    ("page", "line"), WRITTEN, ids=[f"{page}: {' '.join(line)}" for page, line in WRITTEN]
)
def test_every_command_written_can_be_parsed(page: str, line: list[str]) -> None:
    if line[0].startswith("-"):
        assert set(line) <= options_of("") | {"--install-completion", "--show-completion"}, page
        return
    assert GROUP.commands[line[0]].make_context(line[0], line[1:])


def test_the_workflow_shown_can_be_run() -> None:
    """Its steps parse, and its commands do."""
    yaml = pytest.importorskip("yaml")
    (block,) = (each for each in BLOCK.finditer(text_of("ci")) if each["info"] == "yaml")
    steps = yaml.safe_load(block["body"])["jobs"]["report"]["steps"]
    lines = [step["run"] for step in steps if "actcompare " in step.get("run", "")]
    assert len(lines) == 2
    for line in lines:
        _, command, *words = shlex.split(line.partition(">>")[0])
        assert GROUP.commands[command].make_context(command, words)


@pytest.mark.parametrize("page", FILES)
def test_every_option_named_is_there(page: str) -> None:
    known = set.union(*(options_of(c) for c in COMMANDS_OF.get(page, ("", *GROUP.commands))))
    for code in re.findall(r"`([^`\n]+)`", prose_of(page)):
        if "actcompare " not in code and not code.startswith(("pip ", "ray ")):
            for option in re.findall(r"(?<![\w-])--[a-z]+(?:-[a-z]+)*", code):
                assert option in known, option


@pytest.mark.parametrize("page", COMMANDS_OF)
def test_every_option_is_documented(page: str) -> None:
    for command in COMMANDS_OF[page]:
        for option in options_of(command) - {"--help"}:
            if option.startswith("--"):
                assert re.search(rf"`{option}\b", prose_of(page)), option


RECORDS = [
    ("eval", "eval 1 --order 2 --error"),
    ("table", "table --act relu"),
    ("table", "list"),
    ("bench", "bench --size 8 --pass forward --time-limit 0.01"),
    ("train", "train --epochs 0"),
    ("report", "report --budget 0.1"),
    ("study", "study --act relu --seeds 1 --epochs 1 --lr 0.1 --workers 1"),
    ("inspect", "inspect net.py:net --random 4 --swap relu=gelu"),
]


@pytest.mark.parametrize(("page", "line"), RECORDS)
def test_every_column_of_the_records_is_documented(
    run: Run, in_tmp: Path, page: str, line: str
) -> None:
    (in_tmp / "net.py").write_text(
        "from torch import nn\nnet = nn.Sequential(nn.Linear(4, 8), nn.ReLU())\n", "utf-8"
    )
    header, *_ = run(*line.split(), "--format", "csv").stdout.split()
    for name in header.split(","):
        assert f"`{name}`" in text_of(page), name


# --- the pages -----------------------------------------------------------------------------------


def test_the_list_names_every_page(run: Run) -> None:
    assert complete_topic("st") == ["study", "statistics"]
    files = {path.stem for path in FILES["bench"].parent.glob("*.md")}
    assert files == set(PAGES)
    listed = run("help").stdout
    for topic, page in page_of_topic().items():
        assert re.search(rf"^ *(.*, )?{topic}\b", listed, re.MULTILINE), topic
        assert run("help", topic).stdout.startswith(text_of(page).partition(": ")[0][2:])
    assert set(GROUP.commands) - {"help"} <= set(page_of_topic())


def test_an_unknown_topic_is_wrong_usage(run: Run) -> None:
    result = run("help", "bnech")
    assert result.exit_code == 2
    assert result.stderr == "error: the manual has no page 'bnech': did you mean bench?\n"
    assert "actcompare help lists them" in run("help", "zzz").stderr


def test_the_help_of_a_command_names_its_page(run: Run) -> None:
    for command in set(GROUP.commands) - {"help"}:
        assert f"actcompare help {command}" in run(command, "--help").stdout


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_drawn_whole(run: Run, page: str) -> None:
    """At 80 columns: prose is wrapped, code and output are not, and nothing is cut."""
    drawn = run("help", page).stdout.splitlines()
    code = [line for block in BLOCK.finditer(text_of(page)) for line in block["body"].splitlines()]
    indented = {("    " + line).rstrip() for line in code}
    assert indented <= set(drawn)
    assert max(len(line) for line in drawn if line not in indented) <= 80
    assert not any("\N{HORIZONTAL ELLIPSIS}" in line for line in drawn)
    drawn_words = " ".join(drawn)
    for word in re.findall(r"^\| `([^`|]+)`", prose_of(page), re.MULTILINE):
        assert word in drawn_words, word


def test_on_a_terminal_a_page_goes_through_the_pager(in_tmp: Path) -> None:
    pty = pytest.importorskip("pty")
    code = (
        "import pty, sys; pty.spawn([sys.executable, '-m', 'actcompare', 'help', 'bench'],"
        " lambda fd: __import__('os').read(fd, 1024), lambda fd: b'')"
    )
    assert pty
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    subprocess.run(
        [sys.executable, "-c", code],
        env=environment | {"PAGER": "cat > paged.txt"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=False,
        timeout=60,
    )
    assert "bench: " in (in_tmp / "paged.txt").read_text("utf-8")


@pytest.mark.parametrize("page", FILES)
def test_every_link_leads_somewhere(page: str) -> None:
    for target in LINK.findall(prose_of(page)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        linked = (FILES[page].parent / path).resolve() if path else FILES[page]
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", linked.read_text("utf-8"), re.MULTILINE)
            assert anchor in {slug(heading) for heading in headings}, target


def slug(heading: str) -> str:
    """As GitHub makes anchors of headings."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", FILES)
def test_every_row_of_a_table_follows_its_header(page: str) -> None:
    for block in re.findall(r"(?:^\|.*\n)+", prose_of(page), re.MULTILINE):
        assert re.fullmatch(r"(\|-+)+\|", block.splitlines()[1]), block.splitlines()[0]


def test_readme_is_short_and_says_how_to_begin() -> None:
    assert len(FILES["README"].read_bytes()) <= 10_000
    for command in SETUP:
        assert f"\n{command}\n" in text_of("README")
    reached, linked = set[str](), {"README"}
    while linked:
        page = linked.pop()
        reached.add(page)
        pages = re.findall(r"\]\((?:actcompare/docs/)?(\w+)\.md", text_of(page))
        linked |= {each for each in pages if each in PAGES} - reached
    assert set(PAGES) <= reached


def test_pages_are_in_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert "*.md" in project["tool"]["setuptools"]["package-data"]["*"]


# --- the comparison itself -----------------------------------------------------------------------


def test_alike_can_tell_apart() -> None:
    assert alike("a 1.00001 b", "a 1.00002 b")
    assert not alike("a 1.1 b", "a 1.2 b")
    assert not alike("a 1 b", "a 1 c")


def example(fence: str, shown: str) -> Example:
    return Example("bench", "actcompare bench", False, fence, shown, (0, 0))


def test_examples_can_tell_apart() -> None:
    assert example("text", "it took 1.5 ms of 1,024 s\n").agrees("it took 2 s of 99 s\n")
    assert not example("text", "it took 1.5 ms\n").agrees("it takes 1.5 ms\n")
    assert example("console", "a 1\nb 2\n...\n").agrees("a 1\nb 2\nc 3\n")
    assert not example("console", "a 1\nb 2\n...\n").agrees("a 1\nb 3\nc 3\n")
    assert example("console", "a\nb\n...\n").excerpt("x\ny\nz\n") == "x\ny\n...\n"


TABLE = """
│ size │ activation │ median │
├──────┼────────────┼────────┤
│    8 │       relu │   1 us │

Noise floor: 1 %
"""


def test_cases_are_titles_and_conditions() -> None:
    assert cases(TABLE) == [["size", "activation", "median"], ["8", "relu"]]
    shown = example("text cases", TABLE)
    assert shown.agrees(TABLE.replace("1 us", "12 us").replace("1 %", "2 %"))
    for was, now in [("8 │", "9 │"), ("relu", "gelu"), ("median", "mean  "), ("floor", "roof")]:
        assert not shown.agrees(TABLE.replace(was, now))
