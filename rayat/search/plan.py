"""How trials follow from a study: its arms, the searcher's points of each, its seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rayat.config import TrialConfig, merge
from rayat.errors import StudyError
from rayat.registry import SEARCHERS
from rayat.search.base import Point, Searcher, Told
from rayat.search.domains import as_json


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
        arms: configuration trees by the arm's label, without nuisance values and seed.
        space: Tune's domains of the nuisance axes, or their JSON forms.
    """

    searcher: Searcher
    arms: Mapping[str, Mapping[str, Any]]
    space: Mapping[str, Any]
    draws: int
    draw_seed: int
    seeds: tuple[int, ...]

    def propose(self, told: Sequence[Told] = ()) -> list[Point]:
        """Return the next points of an arm that was told the values of all its earlier ones."""
        return self.searcher.propose(self.space, self.draws, self.draw_seed, told)

    def trials(self, arm: str, draw: int, point: Mapping[str, Any], start: int) -> list[Trial]:
        """Return the trials of one point, a seed each, numbered from `start`.

        Raises:
            ConfigError: the point is not a valid configuration.
        """
        tree = merge(dict(self.arms[arm]), point)
        trials = []
        for index, seed in enumerate(self.seeds, start):
            config = TrialConfig.parse({**tree, "seed": seed})
            trials.append(Trial.of(index, arm, draw, config))
        return trials

    def first(self) -> list[Trial]:
        """Return the trials that are known before any result: all, unless the search is adaptive.

        Raises:
            ConfigError: a point of the space is not a valid configuration.
            StudyError: the space cannot be searched, or two points are the same.
        """
        trials: list[Trial] = []
        seen: dict[tuple[str, int], str] = {}
        # The same points for every arm: an equal budget, and paired comparisons.
        points = self.propose()
        for arm in self.arms:
            for draw, point in enumerate(points):
                for trial in self.trials(arm, draw, point, len(trials)):
                    key = (trial.config.config_id, trial.config.seed)
                    if key in seen:
                        raise StudyError(
                            f"two points of the space are the same configuration: "
                            f"{seen[key]!r} and {arm!r}; remove one (or a draw of a grid)"
                        )
                    seen[key] = arm
                    trials.append(trial)
        return trials

    def tree(self) -> dict[str, Any]:
        """Return the JSON form that `run.json` keeps of an adaptive search."""
        return {
            "searcher": self.searcher.spec(),
            "arms": {arm: dict(tree) for arm, tree in self.arms.items()},
            "space": {axis: as_json(axis, domain) for axis, domain in self.space.items()},
            "draws": self.draws,
            "draw_seed": self.draw_seed,
            "seeds": list(self.seeds),
        }

    @classmethod
    def parse(cls, tree: Mapping[str, Any]) -> Plan:
        """Return the plan of a JSON form."""
        fields = {**tree, "searcher": SEARCHERS.build(tree["searcher"])}
        return cls(**{**fields, "seeds": tuple(tree["seeds"])})
