"""The house, read from the syntax trees of every file: no circle, and arrows only go down."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SHARED = (
    *("errors", "stats", "text", "table", "bounds", "docs", "machine", "files", "activations"),
    *("data", "units", "models", "output", "cli"),
)
"""Shared packages and modules, in order: each imports only those before it."""
COMMANDS = (
    *("evaluation", "properties", "benchmark", "training", "studies", "inspection"),
    "propagation",
    "reporting",
)
ACROSS = {
    *(("studies", "training"), ("propagation", "training"), ("propagation", "studies")),
    *(("reporting", command) for command in COMMANDS),
}
"""Which command's package may import which other's."""
FACES = ("command", "tables", "plots", "page")
"""The rooms of a command that may import output and cli."""

Graph = dict[str, set[str]]
"""Module name to the names of the modules it imports."""


def read_package(root: Path) -> dict[str, ast.Module]:
    """Every module below `root`/actcompare, by its dotted name."""
    return {
        ".".join(path.relative_to(root).with_suffix("").parts): ast.parse(path.read_text("utf-8"))
        for path in sorted((root / "actcompare").rglob("*.py"))
    }


def imported(tree: ast.Module) -> Iterator[str]:
    """The dotted names of all that a module imports anywhere, in functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def graph_of(root: Path) -> Graph:
    modules = read_package(root)
    graph: Graph = {}
    for name, tree in modules.items():
        found = set()
        for target in imported(tree):
            parent = target.rpartition(".")[0]
            found |= {each for each in (target, parent) if each in modules}
        graph[name] = found - {name}
    return graph


def room(module: str) -> str:
    """The package or top-level module of ours that a module belongs to."""
    return module.split(".")[1]


def circles(graph: Graph) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [str(error.args[1])]
    return []


def arrows_up(graph: Graph) -> list[str]:
    """Imports that the order of the house forbids."""
    wrong = []
    for module, targets in graph.items():
        if module == "actcompare.cli.app" or module.endswith(("__main__", "__init__")):
            continue
        here, leaf = room(module), module.rpartition(".")[2]
        for target in targets:
            there = room(target)
            if there == "__init__":
                continue
            if here in SHARED:
                fine = there in SHARED and SHARED.index(there) <= SHARED.index(here)
            elif there in SHARED:
                fine = there not in ("output", "cli") or leaf in FACES
            else:
                fine = here == there or (here, there) in ACROSS
            if not fine:
                wrong.append(f"{module} -> {target}")
    return wrong


def heavy_faces(root: Path) -> list[str]:
    """Modules of output and cli that import torch."""
    return [
        name
        for name, tree in read_package(root).items()
        if name.split(".")[1] in ("output", "cli") and name != "actcompare.cli.app"
        if any(target.partition(".")[0] == "torch" for target in imported(tree))
    ]


def plant(root: Path, module: str, line: str) -> None:
    path = root / (module.replace(".", "/") + ".py")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(line + "\n", "utf-8")


def test_every_room_has_its_place_in_the_order() -> None:
    rooms = {path.stem for path in (ROOT / "actcompare").iterdir() if path.name[0] not in "_."}
    assert rooms - {"py"} - set(SHARED) - set(COMMANDS) == set()


def test_no_folder_is_two_ideas() -> None:
    for folder in {path.parent for path in (ROOT / "actcompare").rglob("*.py")}:
        assert len([*folder.glob("*.py")]) <= 12, folder


def test_there_is_no_circle() -> None:
    assert circles(graph_of(ROOT)) == []


def test_arrows_go_down() -> None:
    assert arrows_up(graph_of(ROOT)) == []


def test_output_and_cli_see_no_tensors() -> None:
    assert heavy_faces(ROOT) == []


def test_a_planted_circle_is_found(tmp_path: Path) -> None:
    plant(tmp_path, "actcompare.units.a", "def f():\n    from actcompare.units import b")
    plant(tmp_path, "actcompare.units.b", "from actcompare.units.a import f")
    assert circles(graph_of(tmp_path))


@pytest.mark.parametrize(
    ("module", "target"),
    [
        ("actcompare.machine.cuda", "actcompare.training.train"),
        ("actcompare.machine.cuda", "actcompare.units.statistics"),
        ("actcompare.benchmark.bench", "actcompare.training.train"),
        ("actcompare.training.train", "actcompare.studies.study"),
        ("actcompare.training.explain", "actcompare.output.render"),
        ("actcompare.benchmark.measure", "actcompare.cli.options"),
    ],
)
def test_a_planted_arrow_up_is_found(tmp_path: Path, module: str, target: str) -> None:
    plant(tmp_path, target, "x = 1")
    plant(tmp_path, module, f"def f():\n    from {target} import x")
    assert arrows_up(graph_of(tmp_path)) == [f"{module} -> {target}"]


def test_a_planted_torch_is_found(tmp_path: Path) -> None:
    plant(tmp_path, "actcompare.output.render", "def f():\n    import torch")
    assert heavy_faces(tmp_path) == ["actcompare.output.render"]


def loaded_by_help(root: Path) -> set[str]:
    """Which heavy packages `--help` loads."""
    code = (
        "import sys\ntry:\n    from actcompare.cli.app import app\n    app(['--help'])\n"
        "finally:\n    print('LOADED', *(m for m in ('torch', 'pandas', 'numpy')"
        " if m in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False
    )
    return set(done.stdout.rpartition("LOADED")[2].split())


def test_help_loads_nothing_heavy() -> None:
    assert loaded_by_help(ROOT) == set()


def test_a_planted_heavy_import_is_found(tmp_path: Path) -> None:
    plant(tmp_path, "actcompare.__init__", "")
    plant(tmp_path, "actcompare.cli.__init__", "")
    plant(tmp_path, "actcompare.cli.app", "import numpy\napp = print")
    assert loaded_by_help(tmp_path) == {"numpy"}


def test_only_the_command_line_exits() -> None:
    for name, tree in read_package(ROOT).items():
        if room(name) in (*COMMANDS, *SHARED[:-1]) and not name.endswith(".command"):
            assert "typer" not in {target.partition(".")[0] for target in imported(tree)}, name
            assert "sys.exit" not in ast.unparse(tree), name
