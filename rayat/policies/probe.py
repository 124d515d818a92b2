"""Successive halving by cool-down probes in place of hot accuracies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rayat.policies.asha import ASHA
from rayat.policies.base import Decision, TrialView
from rayat.registry import POLICIES

PROBED = "probe_robust_acc"
"""The key of a report that holds what a probe after its epoch has reached."""


@POLICIES.register("probe")
class Probe(ASHA):
    """After every probe (`probe.at`) only the best 1/eta of the trials probed there go on.

    The rule is that of `asha`, with the probed epochs as rungs and the robust accuracy at the end
    of the probe as the value: what the trial would be worth if its rate fell now, in place of what
    it is worth at the rate that it happens to have. Trials without probes are never stopped; a
    probe before `grace`, by default none, is no rung. Cost per report: O(log trials).

    Source: ours (docs/probe.md).
    """

    @property
    def asks_probes(self) -> bool:
        """Return True."""
        return True

    def grace_of(self, trial: TrialView) -> int:
        """Return the first epoch whose probe counts."""
        return self.grace or 1

    def rung(self, trial: TrialView, epoch: int) -> int | None:
        """Return the epoch itself: where there is a probe there is a rung."""
        return epoch if self.grace_of(trial) <= epoch < trial.epochs else None

    def rank(
        self, trial: TrialView, epoch: int, metrics: Mapping[str, Any], metric: str
    ) -> Decision:
        """Take one report; see the class."""
        return super().rank(trial, epoch, metrics, PROBED)
