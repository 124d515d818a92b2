"""The house is as its map says: what import-linter cannot hold."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HOUSE = ROOT / "rayat"
MAP = (ROOT / "docs" / "architecture.md").read_text()
LINES = 350


def imports(path: Path) -> set[str]:
    """Return the top-level packages that a file imports, inside of functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.partition(".")[0])
    return found


FILES = sorted(HOUSE.rglob("*.py"))


def test_orchestration_is_what_imports_ray():
    room = [path for path in (HOUSE / "orchestration").glob("*.py") if path.name != "__init__.py"]
    assert len(room) > 10
    assert [path.name for path in room if "ray" not in imports(path)] == []


def test_no_file_is_too_long_to_be_read_at_once():
    long = {str(p.relative_to(ROOT)): len(p.read_text().splitlines()) for p in FILES}
    assert {name: lines for name, lines in long.items() if lines > LINES} == {}


@pytest.mark.parametrize("room", sorted({path.relative_to(HOUSE).parts[0] for path in FILES}))
def test_every_room_is_on_the_map(room):
    if room in ("__init__.py", "__main__.py"):
        return
    assert f"`{room}`" in MAP or f"`{room}/`" in MAP
