"""The source files that a module needs of the folder it lies in: found, not imported."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from rayat.errors import StudyError

MOST_BYTES = 16 * 2**20
"""Of the source of one study's own modules; what is more is no source."""
COMPILED = (".so", ".pyd")


def files_of(module: str, path: Path, root: Path) -> dict[str, Path]:
    """Return the files of a module and of all that it imports from its folder, by relative name.

    Imports inside of functions count too. Of a package all its Python files are taken.

    Args:
        module: its top-level name. path: of the file that is imported under this name, which need
            not be named after it. root: the folder that top-level modules are found in.

    Raises:
        StudyError: a package with compiled code, which cannot travel as source, or too much of it.
    """
    found: dict[str, Path] = {}
    waiting = [module]
    seen: set[str] = set()
    while waiting:
        top = waiting.pop()
        if top in seen:
            continue
        seen.add(top)
        own = {f"{top}.py": path} if top == module and path.is_file() else _lying(top, root)
        found.update(own)
        for file in own.values():
            waiting += [name for name in _imports(file) if name not in seen]
    if sum(file.stat().st_size for file in found.values()) > MOST_BYTES:
        raise StudyError(
            f"the modules that {module!r} imports from {root} have more than 16 MiB of source; "
            "install them as a package on every node instead"
        )
    return found


def _lying(top: str, root: Path) -> dict[str, Path]:
    folder, file = root / top, root / f"{top}.py"
    if folder.is_dir() and ((folder / "__init__.py").is_file() or not file.is_file()):
        inside = sorted(p for p in folder.rglob("*") if "__pycache__" not in p.parts)
        compiled = [p for p in inside if p.suffix in COMPILED]
        if compiled:
            raise StudyError(
                f"the package {top!r} in {root} holds compiled code ({compiled[0].name}), which "
                "cannot be sent to workers as source; install it on every node"
            )
        return {p.relative_to(root).as_posix(): p for p in inside if p.suffix == ".py"}
    return {file.name: file} if file.is_file() else {}


def _imports(path: Path) -> Iterator[str]:
    """Yield the top-level names that a file imports, those of Python and rayat left out."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return  # it was never imported
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        for name in names:
            top = name.partition(".")[0]
            if top and top != "rayat" and top not in sys.stdlib_module_names:
                yield top
