"""Asynchronous successive halving, stopping type."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field, PrivateAttr

from rayat.policies.base import CONTINUE, Decision, TrialView
from rayat.policies.groups import TIE, PeerPolicy, measured
from rayat.registry import POLICIES


@POLICIES.register("asha")
class ASHA(PeerPolicy):
    """At epochs grace, grace * eta, grace * eta^2, ... only the best 1/eta of the trials go on.

    A trial enters the last rung it has reached with its first measured value at or after it, and is
    stopped if that value is below the `1 - 1/eta` percentile of what the rung holds already: later
    trials never bring back earlier ones. The first trial at a rung always passes, a trial's last
    epoch is no rung. A value that is missing or not finite enters no rung and stops nothing.
    Cost per report: O(log trials), and one insertion.

    Source: Li et al. 2020 (ASHA), stopping type with one bracket as in Ray Tune
    [ray-project/ray:python/ray/tune/schedulers/async_hyperband.py]; eta 3 as there, grace
    ceil(T / 6) because early ranks mislead before the rate drops (docs/methods/policy-asha.md).
    """

    eta: int = Field(3, ge=2, description="reduction factor: one trial in eta goes on")

    _rungs: dict[tuple[str, int], list[float]] = PrivateAttr(default_factory=dict)
    _entered: dict[str, int] = PrivateAttr(default_factory=dict)

    def rung(self, trial: TrialView, epoch: int) -> int | None:
        """Return the last rung, in epochs, that is reached at `epoch`; None before the first."""
        rung = self.grace_of(trial)
        if rung > epoch or epoch >= trial.epochs:
            return None
        while rung * self.eta <= epoch:
            rung *= self.eta
        return rung

    def rank(
        self, trial: TrialView, epoch: int, metrics: Mapping[str, Any], metric: str
    ) -> Decision:
        """Take one report; see the class."""
        value, rung = measured(metrics, metric), self.rung(trial, epoch)
        if value is None or rung is None or self._entered.get(trial.trial_id, 0) >= rung:
            return CONTINUE
        self._entered[trial.trial_id] = rung
        held = self._rungs.setdefault((self.group_of(trial), rung), [])
        cutoff = percentile(held, 1 - 1 / self.eta) if held else -math.inf
        better = len(held) - bisect_left(held, value)
        compared = len(held)
        insort(held, value)
        if value >= cutoff - TIE:
            return CONTINUE
        return Decision(
            "stop",
            self.kind,
            f"{metric} {value:.4f} at epoch {epoch} is below {cutoff:.4f}, the bar for the best "
            f"1/{self.eta} of the {compared} earlier trials at the rung of epoch {rung}",
            {
                "value": value,
                "cutoff": cutoff,
                "rung": rung,
                "compared": compared,
                "no_worse": better,
                "eta": self.eta,
            },
        )


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the linearly interpolated quantile of sorted values (NumPy's default rule).

    Args:
        ordered: values, ascending, at least one.
        share: in [0, 1].
    """
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
