"""How trials follow from a study: its arms, the searcher's points of each, its seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rayat.config import TrialConfig
from rayat.errors import StudyError
from rayat.layers import PART_KEYS
from rayat.registry import SEARCHERS
from rayat.search.arms import Arm, holds, methods, refuse_other
from rayat.search.base import Point, Searcher, Told
from rayat.search.domains import as_json, is_function
from rayat.search.random import distinct


@dataclass(frozen=True)
class Trial:
    """One training run of a study.

    Attributes:
        index: 0-based place in the study's order.
        trial_id: unique in the study, safe as a folder name.
        arm: the scientific axes' values, such as `lr.shape=cosine`; the unit of comparison.
        draw: number of the nuisance draw; equal over arms where the search is not adaptive.
        config: the whole configuration, seed included.
    """

    index: int
    trial_id: str
    arm: str
    draw: int
    config: TrialConfig

    @classmethod
    def of(cls, index: int, arm: str, draw: int, config: TrialConfig) -> Trial:
        """Return the trial at a place, with the id that follows from it."""
        trial_id = f"{index:04d}-{config.config_id[:8]}-s{config.seed}"
        return cls(index, trial_id, arm, draw, config)


@dataclass(frozen=True)
class Plan:
    """A study's arms with the space that each of them searches.

    Attributes:
        arms: by their labels, without nuisance values and seed.
        space: Tune's domains of the nuisance axes, or their JSON forms.
    """

    searcher: Searcher
    arms: Mapping[str, Arm]
    space: Mapping[str, Any]
    draws: int
    draw_seed: int
    seeds: tuple[int, ...]

    def propose(self, arm: str, told: Sequence[Told] = ()) -> list[Point]:
        """Return the next points of an arm that was told the values of all its earlier ones.

        An adaptive search leaves out the axes of parameters that the arm's methods do not have.

        Raises:
            StudyError: the space cannot be searched.
        """
        space = self._own_space(arm) if self.searcher.adaptive else self.space
        if not space:
            return [] if told else [{}]
        known = self._known(arm)
        points = self.searcher.propose({**known, **space}, self.draws, self.draw_seed, told)
        return [{axis: point[axis] for axis in space} for point in points]

    def _known(self, arm: str) -> dict[str, Any]:
        """Return the values that a `sample_from` may read; none where there is no such axis."""
        if not any(is_function(domain) for domain in self.space.values()):
            return {}
        chosen = self.arms[arm]
        return {**(chosen.common[1] if len(chosen.common) > 1 else {}), **chosen.own}

    def _own_space(self, arm: str) -> dict[str, Any]:
        """Return the axes that apply to an arm.

        Raises:
            StudyError: an axis applies or not by the value of another one that is tuned.
        """
        found = {}
        for axis, domain in self.space.items():
            head, _, tail = axis.partition(".")
            names = None
            if head in PART_KEYS and tail not in ("", PART_KEYS[head].key):
                names = methods(head, [self.arms[arm]], self.space)
            having = holds(head, tail, names) if names else set()
            if names and having and having != names:
                raise StudyError(
                    f"search {self.searcher.kind!r} cannot tune {axis!r}, which only "
                    f"{', '.join(sorted(having))} have: make the method a scientific axis "
                    "(tune.grid_search), or use search='random'"
                )
            if names is None or having:
                found[axis] = domain
        return found

    def trials(self, arm: str, draw: int, point: Mapping[str, Any], start: int) -> list[Trial]:
        """Return the trials of one point, a seed each, numbered from `start`.

        Raises:
            ConfigError: the point is not a valid configuration.
            StudyError: a value that the arm or the point names is not the configuration's.
        """
        chosen = self.arms[arm]
        merged = chosen.merged(point)
        named = chosen.named(point, merged.left_out)
        trials = []
        for index, seed in enumerate(self.seeds, start):
            config = TrialConfig.parse({**merged.tree, "seed": seed})
            trials.append(Trial.of(index, arm, draw, config))
        refuse_other(arm, named, trials[0].config)
        return trials

    def first(self) -> list[Trial]:
        """Return the trials that are known before any result: all, unless the search is adaptive.

        Raises:
            ConfigError: a point of the space is not a valid configuration.
            StudyError: the space cannot be searched, or two points are the same.
        """
        if not self.space and self.draws > 1:
            raise StudyError(
                f"draws={self.draws}, but the study has no nuisance axis to draw from; leave "
                "draws out, or name an axis in `nuisance`"
            )
        # The same points for every arm: an equal budget, and paired comparisons.
        return self._all({arm: self.propose(arm) for arm in self.arms})

    def foreseen(self) -> list[Trial]:
        """Return as many trials as the run may have: random ones stand in for later proposals.

        Raises: like `first`, which is checked with the searcher that will run.
        """
        if not self.searcher.adaptive:
            return self.first()
        self.first()
        points = {}
        for arm in self.arms:
            space = self._own_space(arm)
            points[arm] = distinct(space, self.draws, self.draw_seed)
        return self._all(points)

    def _all(self, points: Mapping[str, Sequence[Point]]) -> list[Trial]:
        trials: list[Trial] = []
        seen: dict[str, tuple[str, bool]] = {}
        for arm, proposed in points.items():
            for draw, point in enumerate(proposed):
                found = self.trials(arm, draw, point, len(trials))
                missed = self.arms[arm].merged(point).left_out
                part = any(axis in point for _, axis in missed)
                before = seen.get(found[0].config.config_id)
                if before is None:
                    seen[found[0].config.config_id] = arm, part
                    trials += found
                elif before != (arm, True) or not part:
                    raise StudyError(
                        f"two points of the space are the same configuration: "
                        f"{before[0]!r} and {arm!r}; remove one (or a draw of a grid)"
                    )
        return trials

    def tree(self) -> dict[str, Any]:
        """Return the JSON form that `run.json` keeps of an adaptive search."""
        return {
            "searcher": self.searcher.spec(),
            "arms": {arm: chosen.tree() for arm, chosen in self.arms.items()},
            "space": {axis: as_json(axis, domain) for axis, domain in self.space.items()},
            "draws": self.draws,
            "draw_seed": self.draw_seed,
            "seeds": list(self.seeds),
        }

    @classmethod
    def parse(cls, tree: Mapping[str, Any]) -> Plan:
        """Return the plan of a JSON form."""
        fields = {**tree, "searcher": SEARCHERS.build(tree["searcher"])}
        arms = {arm: Arm.parse(stored) for arm, stored in tree["arms"].items()}
        return cls(**{**fields, "arms": arms, "seeds": tuple(tree["seeds"])})
