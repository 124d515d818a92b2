"""A data set's folder that was given one level too high or too deep: where the right one is."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

ABOVE = 2
"""Levels above the given folder that are looked at: `train/CLASS` is two below the right one."""


def nearby(root: Path, holds: Callable[[Path], bool]) -> str:
    """Return `; SENTENCE` that names the folders around `root` with the layout, `` for none.

    Args:
        root: what was given, which lacks it. holds: whether a folder has the layout.
    """
    places = list(root.absolute().parents[:ABOVE])
    with contextlib.suppress(OSError):
        places += sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    found = []
    for place in places:
        with contextlib.suppress(OSError):
            if holds(place):
                found.append(str(place))
    return f"; it is in {' and in '.join(found[:3])}: give that as data.path" if found else ""
