"""How trials follow from a study: its arms, the searcher's points of each, its seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rayat.config import TrialConfig
from rayat.errors import ConfigError, StudyError
from rayat.layers import PART_KEYS
from rayat.registry import SEARCHERS
from rayat.search.arms import Arm, holds, methods, refuse_other
from rayat.search.base import Fit, Point, Searcher, Told, whole
from rayat.search.domains import as_json, is_function
from rayat.search.labels import label
from rayat.search.random import as_tune, distinct, variants
from rayat.search.rules import Rules, excluded

ROUND = 4
"""Points of a round where a searcher that does not adapt has a budget."""
FORESEEN = 12
"""Points of each arm that stand for a search whose number of trials its budget decides."""
SAMPLES = 500
"""Random points that say which share of a space is left out."""


@dataclass(frozen=True)
class Survey:
    """What random points of a space are.

    Attributes:
        drawn: points. kept: those that a search may propose. different: configurations among them.
        reasons: how many each exclusion leaves out.
    """

    drawn: int
    kept: int
    different: int
    reasons: Mapping[str, int]


@dataclass(frozen=True)
class _Meant:
    """What a point means for an arm: its axes that apply, why it is left out, or what is wrong."""

    point: Point
    excluded: str | None = None
    wrong: ConfigError | None = None


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
        controls: the arms that are trained as they stand: none of the space is theirs.
        exclude: combinations that no arm's search may propose.
        draw_seed: the seed of the first draw (`random.first_seed`), draw k has this number + k.
        budget: what all that is proposed may cost (`policies.spending`); it is then proposed in
            rounds, and `draws` is the most points of an arm.
    """

    searcher: Searcher
    arms: Mapping[str, Arm]
    space: Mapping[str, Any]
    draws: int
    draw_seed: int
    seeds: tuple[int, ...]
    controls: tuple[str, ...] = ()
    exclude: Rules = field(default_factory=dict)
    budget: str | None = None

    @property
    def grows(self) -> bool:
        """Whether trials are proposed while the run lives."""
        return self.searcher.adaptive or self.budget is not None

    def propose(self, arm: str, told: Sequence[Told] = ()) -> list[Point]:
        """Return the next points of an arm that was told the values of all its earlier ones.

        Of a search that grows a point has no axis of a parameter that its methods do not have.

        Raises:
            StudyError: the space cannot be searched.
        """
        if arm in self.controls:
            return [] if told else [{}]
        space = self._own_space(arm) if self.grows else dict(self.space)
        if not space:
            return [] if told or self._meant(arm, {}).excluded else [{}]
        if not self.grows:
            known = self._known(arm)
            # Where arms are compared all get the same points, whatever of them applies to each.
            exact = len(self.arms) - len(self.controls) > 1 or bool(known)
            points = self.searcher.propose(
                {**known, **space}, self.draws, self.draw_seed, (), self._fit(arm, exact)
            )
            return [{axis: point[axis] for axis in space if axis in point} for point in points]
        fit = self._fit(arm)
        if self.searcher.adaptive:
            return self.searcher.propose(space, self.draws, self.draw_seed, told, fit)
        # The same sequence whatever was found, some of it at a time.
        upto = min(self.draws, len(told) + ROUND)
        return distinct(_tunes(space), upto, self.draw_seed, fit)[len(told) :]

    def _fit(self, arm: str, exact: bool = False) -> Fit:
        """Return the form of an arm's points; `exact`: as they are, only without the excluded."""
        if exact and not self.exclude:
            return whole

        def fit(point: Point) -> Point | None:
            meant = self._meant(arm, point)
            if meant.excluded:
                return None
            if meant.wrong is not None:  # refused where all trials are known before the start
                return None if self.grows else point
            return point if exact else meant.point

        return fit

    def _meant(self, arm: str, point: Point) -> _Meant:
        chosen = self.arms[arm]
        try:
            merged = chosen.merged(point)
        except ConfigError as error:
            return _Meant(point, wrong=error)
        missed = {axis for layer, axis in merged.left_out if layer == len(chosen.common)}
        own = {axis: value for axis, value in point.items() if axis not in missed}
        try:
            tree = TrialConfig.parse({**merged.tree, "seed": self.seeds[0]}).tree()
        except ConfigError as error:
            return _Meant(own, excluded(self.exclude, merged.tree), error)
        return _Meant(own, excluded(self.exclude, tree))

    def survey(self, arm: str, samples: int = SAMPLES) -> Survey:
        """Return what random points of an arm's whole space are: how much of it is left out, why.

        Raises:
            StudyError: a point that no exclusion names is no configuration.
        """
        space = _tunes(self._own_space(arm))
        reasons = dict.fromkeys(self.exclude, 0)
        drawn = kept = 0
        different: set[str] = set()
        for number in range(samples if space else 0):
            drawn += 1
            meant = self._meant(arm, variants(space, self.draw_seed + number)[0])
            if meant.excluded:
                reasons[meant.excluded] += 1
            elif meant.wrong is not None:
                raise StudyError(
                    f"{meant.wrong} (at {_spoken(meant.point)}); exclude such points by name, as "
                    "exclude={'why': {key: value, ...}}"
                )
            else:
                kept += 1
                different.add(_spoken(meant.point))
        return Survey(drawn, kept, len(different), reasons)

    def _known(self, arm: str) -> dict[str, Any]:
        """Return the values that a `sample_from` may read; none where there is no such axis."""
        if not any(is_function(domain) for domain in self.space.values()):
            return {}
        chosen = self.arms[arm]
        return {**(chosen.common[1] if len(chosen.common) > 1 else {}), **chosen.own}

    def _own_space(self, arm: str) -> dict[str, Any]:
        """Return the axes that apply to an arm, or to some of the methods that it tunes."""
        found = {}
        for axis, domain in self.space.items():
            head, _, tail = axis.partition(".")
            names = None
            if head in PART_KEYS and tail not in ("", PART_KEYS[head].key):
                names = methods(head, [self.arms[arm]], self.space)
            if not names or holds(head, tail, names):
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

        Of a search with a budget, whose number of trials nobody knows, a sample.

        Raises: like `first`, which is checked with the searcher that will run.
        """
        if not self.grows:
            return self.first()
        self.first()
        draws = self.draws if self.budget is None else min(self.draws, FORESEEN)
        points = {}
        for arm in self.arms:
            if arm in self.controls:
                points[arm] = [Point()]
                continue
            space = self._own_space(arm)
            points[arm] = distinct(_tunes(space), draws, self.draw_seed, self._fit(arm))
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
                elif point and before[0] in self.controls:
                    continue  # it came to what a control is already
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
            "controls": list(self.controls),
            "exclude": {reason: dict(rule) for reason, rule in self.exclude.items()},
            "budget": self.budget,
        }

    @classmethod
    def parse(cls, tree: Mapping[str, Any]) -> Plan:
        """Return the plan of a JSON form."""
        fields = {**tree, "searcher": SEARCHERS.build(tree["searcher"])}
        arms = {arm: Arm.parse(stored) for arm, stored in tree["arms"].items()}
        tuples = {name: tuple(tree.get(name, ())) for name in ("seeds", "controls")}
        return cls(**{**fields, "arms": arms, **tuples})


def _tunes(space: Mapping[str, Any]) -> dict[str, Any]:
    """Return the domains that a search draws from, equal for a space and for its stored form."""
    return {axis: as_tune(as_json(axis, domain)) for axis, domain in space.items()}


def _spoken(point: Point) -> str:
    return ", ".join(f"{axis}={label(value)}" for axis, value in point.items())
