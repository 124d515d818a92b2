"""The searcher contract: earlier points with their values in, the next points out; no state."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from rayat.registry import Part

Point = dict[str, Any]
"""Values by axis, such as `{"lr.peak": 0.1}`."""


Fit = Callable[[Point], Point | None]
"""A point as the search means it: without the axes of parameters that its methods do not have, None
where it is excluded. Two points with one such form are one configuration."""


def whole(point: Point) -> Point:
    """Return a point as it is: the form where nothing is conditional or excluded."""
    return point


@dataclass(frozen=True)
class Told:
    """A point that was tried, and what it reached.

    Attributes:
        value: mean over the seeds of what the study's objective makes of each trial, larger is
            better; None where no seed has one (refused, failed, diverged at once).
        second: the other one of an objective with two, larger is better.
    """

    point: Mapping[str, Any]
    value: float | None
    second: float | None = None


class Searcher(Part):
    """Chooses points of the nuisance axes, for every arm with an equal budget of draws.

    A searcher has parameters and no state: what it proposes is a function of the space, the seed
    and what it is told, so a resumed run goes on with the proposals of the uninterrupted one.
    """

    adaptive: ClassVar[bool] = False
    """Whether later points depend on the values of earlier ones; each arm then has its own."""

    @abstractmethod
    def propose(
        self,
        space: Mapping[str, Any],
        draws: int,
        seed: int,
        told: Sequence[Told],
        fit: Fit = whole,
    ) -> list[Point]:
        """Return the points to try next; none when the search is over.

        Args:
            space: Ray Tune's domains by axis; for an adaptive searcher also their JSON form
                (`search.domains`). Not empty.
            draws: the budget: points in all, or for `random` samples of each point of its grids.
            seed: of the first draw, from the study's `draw_seed` (`random.first_seed`).
            told: all points so far in the order of their proposal, every one of them with its
                value. Not adaptive: always empty.
            fit: the form of a point; what is returned has it.

        Raises:
            StudyError: a domain that this searcher cannot search.
        """
