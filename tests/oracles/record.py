"""Write the vectors anew from the formulas: `python tests/oracles/record.py [room ...]`.

Nothing here nor in `formulas/` knows rayat or torch: what is recorded is what the papers say. The
files under `vectors/` are never edited by hand.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
FORMULAS, VECTORS = HERE / "formulas", HERE / "vectors"


def rooms() -> list[str]:
    """Return the rooms that have formulas."""
    return sorted(path.stem for path in FORMULAS.glob("[a-z]*.py"))


def build(room: str) -> dict:
    """Return what the formulas of a room give: an object for each method's name."""
    if str(HERE) not in sys.path:
        sys.path.insert(0, str(HERE))
    return plain(importlib.import_module(f"formulas.{room}").vectors())


def plain(value: object) -> object:
    """Return numbers, texts, lists and dictionaries alone, as JSON has them."""
    if isinstance(value, dict):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    return value


def read(room: str) -> dict:
    """Return what is recorded of a room."""
    return json.loads((VECTORS / f"{room}.json").read_text(encoding="utf-8"))


def write(room: str) -> Path:
    """Record a room: one line a method, so that a change shows where it is."""
    lines = [f"{json.dumps(name)}: {json.dumps(v)}" for name, v in sorted(build(room).items())]
    path = VECTORS / f"{room}.json"
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    return path


if __name__ == "__main__":
    for name in sys.argv[1:] or rooms():
        print(write(name))
