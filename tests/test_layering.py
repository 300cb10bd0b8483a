"""Arrows only go down: read from the syntax trees."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "actcompare"
COMMAND_LINE = sorted(f"cli/{path.stem}" for path in PACKAGE.glob("cli/*.py"))
MODULES = sorted(path.stem for path in PACKAGE.glob("*.py"))
FACE = {"cli", "render", "layouts", "plots", "study_layouts", "study_plots"}
COMPUTE = set(MODULES) - FACE - {"__init__", "__main__"}


def imports(module: str, *, top_only: bool = False) -> set[str]:
    """What a module imports: `actcompare.x` as `x`, anything else by its first name."""
    tree = ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))
    nodes = tree.body if top_only else ast.walk(tree)
    names: list[str] = []
    for node in nodes:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "actcompare":
            names += [f"actcompare.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
    ours = {name.split(".")[1] for name in names if name.startswith("actcompare.")}
    return ours & {*MODULES, "cli"} | {name.partition(".")[0] for name in names} - {"actcompare"}


@pytest.mark.parametrize("module", sorted(COMPUTE))
def test_computation_knows_no_faces(module: str) -> None:
    assert not imports(module) & (FACE | {"rich", "typer"})


@pytest.mark.parametrize("module", ["render", "plots", "layouts", "study_layouts", "study_plots"])
def test_faces_see_no_tensors(module: str) -> None:
    assert not imports(module) & {"torch", "cli"}


def test_errors_import_nothing_of_ours() -> None:
    assert not imports("errors") & set(MODULES)


@pytest.mark.parametrize(
    "module", ["__init__", "__main__", *COMMAND_LINE, "activations", "users", "errors", "units"]
)
def test_help_loads_nothing_heavy(module: str) -> None:
    assert not imports(module, top_only=True) & {"torch", "pandas", "numpy", "mpmath", "matplotlib"}


def test_only_the_command_line_exits() -> None:
    for module in set(MODULES) - {"__main__"}:
        text = (PACKAGE / f"{module}.py").read_text(encoding="utf-8")
        assert "sys.exit" not in text
        assert "typer" not in imports(module)
