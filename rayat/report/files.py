"""A run's tables inside of its report, as long as the file stays small."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

from rayat.compare.text import count

TABLES = ("trials", "evals", "decisions", "epochs")
"""In the order in which they get their place."""


@dataclass(frozen=True)
class Embedded:
    """A file: its name, its bytes in base64, and how large it is, in words."""

    name: str
    base64: str
    size: str


def embedded(folder: Path, room: int) -> tuple[list[Embedded], str]:
    """Return a run's Parquet tables that fit into `room` bytes, and which do not, in words."""
    found, out = [], []
    for table in TABLES:
        path = folder / f"{table}.parquet"
        try:
            data = path.read_bytes()
        except OSError:  # none was published yet
            continue
        text = base64.b64encode(data).decode()
        if len(text) + 500 > room:
            out.append(path.name)
            continue
        room -= len(text) + 500
        found.append(Embedded(path.name, text, f"{count(len(data))}B"))
    said = f"Too large for this file, in the run's folder: {', '.join(out)}." if out else ""
    return found, said
