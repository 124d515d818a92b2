"""Grid search over every nuisance axis."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from rayat.errors import StudyError
from rayat.registry import SEARCHERS
from rayat.search.base import Fit, Point, Searcher, Told, whole
from rayat.search.domains import values


@SEARCHERS.register("grid")
class Grid(Searcher):
    """Every combination of all values of all nuisance axes, the last axis innermost.

    A `choice`, an integer range and a `quniform` range are tried whole, as a `grid_search` is; a
    continuous range is refused.
    """

    def propose(
        self,
        space: Mapping[str, Any],
        draws: int,
        seed: int,
        told: Sequence[Told],
        fit: Fit = whole,
    ) -> list[Point]:
        """Return all points."""
        if draws != 1:
            raise StudyError(f"search 'grid' tries every point once: draws must be 1, got {draws}")
        lists = [values(axis, domain) for axis, domain in space.items()]
        combined = (dict(zip(space, each, strict=True)) for each in itertools.product(*lists))
        return [point for point in map(fit, combined) if point is not None]
