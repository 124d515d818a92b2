"""PASHA (Bohdal et al., ICLR 2023) as a policy, to be compared with in replays.

ASHA of promotion type whose highest rung begins at the second one, and moves up by one whenever
the ranking of the two highest rungs disagrees by more than noise. What differs from Syne Tune's:
here a promotion waits for trials that have not started yet, as every resumed trial does, and the
best trial of the highest rung is trained to its end when nothing else is left, as the paper does
with its choice.
"""

import math
from itertools import combinations, pairwise

import numpy as np
from pydantic import PrivateAttr

from rayat.policies.base import CONTINUE, Decision
from rayat.policies.groups import PeerPolicy, measured
from rayat.registry import POLICIES

PERCENTILE = 90
"""Of the distances of trials whose curves cross back and forth: noise (paper, 4.2)."""


@POLICIES.register("pasha")
class PASHA(PeerPolicy):
    """Give trials more epochs only while the order of the best ones still changes.

    Source: Bohdal et al. 2023, algorithm 1, the noise of section 4.2; eta and grace as `asha`.
    """

    eta: int = 3

    _top: int = PrivateAttr(1)
    _rungs: list[dict[str, float]] = PrivateAttr(default_factory=list)
    _promoted: list[set[str]] = PrivateAttr(default_factory=list)
    _curves: dict[str, list[float]] = PrivateAttr(default_factory=dict)
    _open: set[str] = PrivateAttr(default_factory=set)
    _due: dict[str, Decision] = PrivateAttr(default_factory=dict)
    _last: str = PrivateAttr("")

    @property
    def pauses(self):
        """Return True."""
        return True

    def expect(self, trials):
        """Learn who must be waited for."""
        self._open = {trial.trial_id for trial in trials}

    def levels(self, trial):
        """Return the rungs, in epochs, before the trial's end."""
        first = self.grace_of(trial)
        count = math.ceil(math.log(trial.epochs / first, self.eta) - 1e-9)
        return [first * self.eta**k for k in range(count)]

    def rank(self, trial, epoch, metrics, metric):
        """Take one report: at a rung the trial waits for its promotion."""
        value, levels, name = measured(metrics, metric), self.levels(trial), trial.trial_id
        while len(self._rungs) < len(levels):
            self._rungs.append({})
            self._promoted.append(set())
        if value is None:
            return CONTINUE
        self._curves.setdefault(name, []).append(value)
        if name == self._last or epoch not in levels:
            return CONTINUE
        rung = levels.index(epoch)
        self._rungs[rung][name] = value
        self._open.discard(name)
        if self._top < len(levels) and rung == self._top and not self._agree():
            self._top += 1
        self._promote()
        if name in self._due:
            del self._due[name]
            return CONTINUE
        return Decision("pause", "pasha", f"waits at the rung of epoch {epoch}", {"value": value})

    def ended(self, trial_id):
        """Wait for the trial no longer."""
        super().ended(trial_id)
        self._open.discard(trial_id)
        self._promote()

    def verdicts(self):
        """Return who goes on."""
        due, self._due = self._due, {}
        return due

    def _promote(self):
        for held, gone in list(zip(self._rungs, self._promoted, strict=True))[: self._top]:
            best = sorted(held, key=lambda name: -held[name])[: len(held) // self.eta]
            self._release([name for name in best if name not in gone], gone)
        if not self._open and not self._due and not self._last and any(self._rungs):
            top = max(k for k, held in enumerate(self._rungs) if held)
            self._last = max(self._rungs[top], key=lambda name: self._rungs[top][name])
            self._release([self._last], self._promoted[top])

    def _release(self, names, gone):
        for name in names:
            gone.add(name)
            self._open.add(name)
            self._due[name] = Decision("continue", "pasha", "goes on to the next rung")

    def _agree(self):
        """Return whether the two highest rungs rank the highest's trials alike, but for noise."""
        high, low = self._rungs[self._top], self._rungs[self._top - 1]
        noise = self._noise(list(high))
        then = sorted(high, key=lambda name: -low[name])
        now = sorted(high, key=lambda name: -high[name])
        return all(abs(low[a] - low[b]) <= noise for a, b in zip(now, then, strict=True))

    def _noise(self, names):
        """Return the 90th percentile of the distances of pairs that crossed and crossed back."""
        far = []
        for one, other in combinations(names, 2):
            pairs = list(zip(self._curves[one], self._curves[other], strict=False))
            signs = [math.copysign(1, a - b) for a, b in pairs if a != b]
            if sum(a != b for a, b in pairwise(signs)) > 1:
                far.append(abs(pairs[-1][0] - pairs[-1][1]))
        return float(np.percentile(far, PERCENTILE)) if far else 0.0
