"""The files of the room import each other downwards only, for types too."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import rayat.compare

FOLDER = Path(rayat.compare.__file__).parent


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "rayat.compare":
                found |= {name.name for name in node.names}
            elif node.module.startswith("rayat.compare."):
                found.add(node.module.rpartition(".")[2])
    return found


def test_there_is_no_circle_in_the_room():
    graph = {path.stem: imported(path) for path in FOLDER.glob("*.py")}
    assert "comparison" in graph["table"]
    TopologicalSorter(graph).prepare()  # raises CycleError
