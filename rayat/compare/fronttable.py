"""The tables of a search's front and of its axes, as cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from rayat.compare.front import AxisValue, Point
from rayat.compare.text import NONE, count, fraction, printable

HEADER = ("", "configuration", "value", "passes to it", "to the target", "seeds", "", "what it is")


def cells(points: Iterable[Point]) -> list[tuple[str, ...]]:
    """Return a table's rows of points, below `HEADER`."""
    return [
        (
            str(p.place),
            p.config_id[:8],
            fraction(p.value),
            count(p.cost),
            count(p.to_target),
            str(p.seeds),
            "baseline" if p.is_baseline else "stopped early" if p.stopped else "",
            p.name,
        )
        for p in points
    ]


AXES_HEADER = ("axis", "value", "tried", "stopped", "reached", "passes to target", "best value")
AXES_NOTE = (
    "Reached: in every seed; passes: median of those that did; best value: median of all, the "
    "stopped ones with what they had. Other axes are not held still, and a guided search tries "
    "more of what looks good: counts, no effects."
)


def axes_cells(rows: Sequence[AxisValue]) -> list[tuple[str, ...]]:
    """Return a table's rows of axes, below `AXES_HEADER`; an axis is named once."""
    first = Counter[str]()
    found: list[tuple[str, ...]] = []
    for row in rows:
        first[row.axis] += 1
        found.append(
            (
                printable(row.axis) if first[row.axis] == 1 else "",
                printable(row.value),
                str(row.configurations),
                str(row.stopped),
                str(row.reached),
                count(row.to_target) if row.reached else NONE,
                fraction(row.best),
            )
        )
    return found
