"""The size and shape of a tree of Python files, read from their syntax trees.

    python tests/benchmarks/tree.py [FOLDER ...]

Prints for each folder: files in all and in the fullest folder, lines, circles of imports, the
longest function, and the longest signature that is not a list of command-line options.
"""

import ast
import sys
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path


def modules(root: Path) -> dict[str, ast.Module]:
    """Every module below a package, by its dotted name."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def circles(trees: dict[str, ast.Module]) -> int:
    """How many circles must be broken until none is left; imports in functions count too.

    Packages' own `__init__` modules count where they are imported by name only.
    """
    graph: dict[str, set[str]] = {}
    for name, tree in trees.items():
        graph[name] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    graph[name] |= {inner if inner in trees else node.module} & trees.keys()
        graph[name].discard(name)
    top = min(trees, key=len)
    graph = {name: targets - {top} for name, targets in graph.items() if name != top}
    count = 0
    while True:
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            later, earlier = error.args[1][:2]
            graph[earlier].discard(later)
            count += 1
        else:
            return count


def describe(root: Path) -> str:
    """The figures of one package, a line each."""
    trees = modules(root)
    files = [*root.rglob("*.py")]
    fullest = Counter(path.parent for path in files).most_common(1)[0]
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files)
    functions = [
        (node, name)
        for name, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and not node.name.endswith("_command")
    ]
    longest, where = max(functions, key=lambda f: (f[0].end_lineno or 0) - f[0].lineno)
    widest, of = max(functions, key=lambda f: len(f[0].args.args + f[0].args.kwonlyargs))
    return "\n".join(
        [
            f"{root}: {len(files)} files, {lines:,} lines",
            f"  fullest folder      {fullest[1]} files ({fullest[0].relative_to(root.parent)})",
            f"  circles             {circles(trees)}",
            f"  longest function    {(longest.end_lineno or 0) - longest.lineno + 1} lines"
            f" ({where}.{longest.name})",
            f"  longest signature   {len(widest.args.args + widest.args.kwonlyargs)}"
            f" ({of}.{widest.name})",
        ]
    )


if __name__ == "__main__":
    for folder in sys.argv[1:] or ["actcompare"]:
        print(describe(Path(folder)))
