"""Hyperband, asynchronous: several halving brackets, from bold to timid."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from pydantic import Field, PrivateAttr

from rayat.policies.asha import ASHA
from rayat.policies.base import Decision, TrialView
from rayat.policies.groups import PeerPolicy
from rayat.registry import POLICIES


@POLICIES.register("hyperband")
class Hyperband(PeerPolicy):
    """Trials are dealt to halving brackets with first rungs at T / eta^s, some early, some late.

    Bracket s of s_max..0 has its first rung at epoch ceil(T / eta^s), or at `grace` where that is
    later, and is ASHA inside. s_max is the largest with eta^s <= T. Trials are dealt in the order
    in which they first report, to the bracket that is furthest below its share, the boldest of
    equals; the shares are Hyperband's, (s_max + 1) / (s + 1) * eta^s. Cost per report: ASHA's.

    Source: Li et al. 2018 (Hyperband), table 1, with the stopping-type rungs of Li et al. 2020;
    synchronous Hyperband would make every worker wait for the slowest trial of its bracket.
    """

    eta: int = Field(3, ge=2, description="reduction factor inside and between brackets")

    _brackets: dict[tuple[str, int], list[ASHA]] = PrivateAttr(default_factory=dict)
    _dealt: dict[tuple[str, int], list[int]] = PrivateAttr(default_factory=dict)
    _bracket: dict[str, ASHA] = PrivateAttr(default_factory=dict)

    def rank(
        self, trial: TrialView, epoch: int, metrics: Mapping[str, Any], metric: str
    ) -> Decision:
        """Take one report; see the class."""
        bracket = self._bracket.get(trial.trial_id)
        if bracket is None:
            bracket = self._bracket[trial.trial_id] = self._deal(trial)
        return bracket.rank(trial, epoch, metrics, metric)

    def rungs(self, epochs: int) -> list[int]:
        """Return the first rung of each bracket, the boldest (earliest) first."""
        powers: list[int] = []
        while self.eta ** len(powers) <= epochs:
            powers.append(max(self.grace or 1, -(-epochs // self.eta ** len(powers))))
        return powers[::-1]

    def earliest(self, epochs: int) -> int:
        """Return the first rung of the boldest bracket."""
        return min(self.rungs(epochs))

    def shares(self, epochs: int) -> list[Fraction]:
        """Return the trials dealt to each bracket, relative to each other, the boldest first.

        Exact: which of two brackets is further below its share must not be up to rounding.
        """
        top = len(self.rungs(epochs))
        return [Fraction(top, s + 1) * self.eta**s for s in range(top - 1, -1, -1)]

    def _deal(self, trial: TrialView) -> ASHA:
        # Trainings of other lengths have other rungs, and are dealt apart.
        key = self.group_of(trial), trial.epochs
        if key not in self._brackets:
            self._brackets[key] = [
                ASHA(eta=self.eta, grace=rung, compare_within=self.compare_within, peers=self.peers)
                for rung in self.rungs(trial.epochs)
            ]
            self._dealt[key] = [0] * len(self._brackets[key])
        dealt = self._dealt[key]
        loads = [(n + 1) / share for n, share in zip(dealt, self.shares(trial.epochs), strict=True)]
        chosen = loads.index(min(loads))
        dealt[chosen] += 1
        return self._brackets[key][chosen]
