"""What the trials that ended say of those that run: the chance to end above the best of all."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from pydantic import Field, PrivateAttr

from rayat.policies._limits import percent
from rayat.policies.base import CONTINUE, Decision, TrialView
from rayat.policies.groups import TIE, PeerPolicy, measured
from rayat.policies.schedule import Outlook, outlook, planned_rates

LOOKS = 12
"""Evidence counts from a twelfth of training on."""
ENOUGH = 3
"""Ended trials whose gains are known, before any evidence counts."""
SAME = 0.15
"""Decades of the rate: a trial with less than this more to come has as much to come."""


@dataclass(eq=False)
class _Course:
    """One trial so far: its best after each epoch, and the changes of its rate, if known."""

    outlook: Outlook | None
    best: list[float] = field(default_factory=list)


class Evidence(PeerPolicy):
    """A rank filter that the sweep itself calibrates: hard where early values tell the end.

    A trial that trained to its end, or that a limit stopped past its peak, shows what was still to
    be gained after each of its epochs. A running trial is stopped where, by the gains of the ended
    trials of its length and group that had at least as much of their schedule to come (mean and
    standard deviation, `doubt` added to it, as a prediction by Student's t), its chance to exceed
    the best value of all is below `chance`. With fewer than three such trials nothing is known, and
    few or unlike ones make a wide prediction: so it starts thorough. A trial whose schedule is not
    known in advance is not judged by it, and none by evidence or filter before its rate has reached
    its peak.

    Source: docs/policy.md.
    """

    filter: PeerPolicy = Field(description="who is asked first")
    chance: float = Field(0.1, gt=0, lt=0.5, description="of ending as the best")
    doubt: float = Field(0.01, ge=0, le=1, description="added standard deviation of a gain")

    _courses: dict[str, _Course] = PrivateAttr(default_factory=dict)
    _ended: dict[tuple[str, int], list[_Course]] = PrivateAttr(default_factory=dict)
    _tops: dict[tuple[str, int], float] = PrivateAttr(default_factory=dict)

    @property
    def asks_probes(self) -> bool:
        """Return whether the filter does."""
        return self.filter.asks_probes

    def earliest(self, epochs: int) -> int:
        """Return the first epoch at which evidence or filter may stop a trial."""
        return min(self.grace or math.ceil(epochs / LOOKS), self.filter.earliest(epochs))

    def idle(self, epochs: int, every: int) -> str:
        """Return why neither evidence nor the filter ever acts."""
        return super().idle(epochs, every) and self.filter.idle(epochs, every)

    def rank(
        self, trial: TrialView, epoch: int, metrics: Mapping[str, Any], metric: str
    ) -> Decision:
        """Take one report; see the class."""
        ranked = self.filter.rank(trial, epoch, metrics, metric)
        course, key = self._courses.get(trial.trial_id), (self.group_of(trial), trial.epochs)
        if course is None:
            rates = planned_rates(trial)
            course = _Course(None if rates is None else outlook(rates))
            self._courses[trial.trial_id] = course
        value, best = measured(metrics, metric), course.best
        best += [best[-1] if best else -math.inf] * (epoch - 1 - len(best))
        best.append(max(best[-1] if best else -math.inf, -math.inf if value is None else value))
        top = self._tops[key] = max(self._tops.get(key, -math.inf), best[-1])
        if epoch >= trial.epochs or metrics.get("outcome") == "finished":
            self.peaked(trial)
        if value is None or (course.outlook is not None and epoch < course.outlook.peak):
            return CONTINUE
        if ranked.action == "stop" or course.outlook is None or epoch >= trial.epochs:
            return ranked
        if epoch < (self.grace or math.ceil(trial.epochs / LOOKS)) or best[-1] >= top - TIE:
            return ranked
        return self._judge(trial, epoch, course.outlook.ahead[epoch - 1], best[-1], top)

    def peaked(self, trial: TrialView) -> None:
        """Learn that a trial has had all that it could gain; those that broke are no evidence."""
        course = self._courses.get(trial.trial_id)
        ended = self._ended.setdefault((self.group_of(trial), trial.epochs), [])
        if course is not None and course not in ended and math.isfinite(course.best[-1]):
            ended.append(course)

    def _judge(
        self, trial: TrialView, epoch: int, ahead: float, best: float, top: float
    ) -> Decision:
        # A trial that ended before this epoch has gained nothing more.
        gains = [
            course.best[-1] - course.best[epoch - 1] if epoch < len(course.best) else 0.0
            for course in self._ended.get((self.group_of(trial), trial.epochs), ())
            if course.outlook is not None and course.outlook.ahead[epoch - 1] >= ahead - SAME
        ]
        gains = [gain for gain in gains if math.isfinite(gain)]
        count = len(gains)
        if count < ENOUGH:
            return CONTINUE
        mean = sum(gains) / count
        variance = sum((gain - mean) ** 2 for gain in gains) / (count - 1) + self.doubt**2
        spread = math.sqrt(variance * (1 + 1 / count))
        reach = best + mean + quantile(count - 1, self.chance) * spread
        if reach >= top - TIE:
            return CONTINUE
        return Decision(
            "stop",
            "evidence",
            f"its best up to epoch {epoch} is {percent(best)}, {count} ended trials with as much "
            f"of their schedule to come gained {percent(mean)} from there on (spread "
            f"{percent(spread)}), so that the chance to exceed {percent(top)} is below "
            f"{percent(self.chance)}",
            {
                "best": best,
                "top": top,
                "reach": reach,
                "gain": mean,
                "spread": spread,
                "ended": count,
                "ahead": ahead,
            },
        )


@lru_cache(maxsize=4096)
def quantile(freedom: int, share: float) -> float:
    """Return the value that Student's t exceeds with this chance."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 1 - share))
