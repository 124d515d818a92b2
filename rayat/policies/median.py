"""The median stopping rule."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from pydantic import Field, PrivateAttr

from rayat.policies.base import CONTINUE, Decision, TrialView
from rayat.policies.groups import TIE, PeerPolicy, measured
from rayat.registry import POLICIES


@dataclass
class _Track:
    """One trial so far: sums and counts of measured values by epoch (index 0 is before epoch 1)."""

    group: str
    best: float = -math.inf
    sums: list[float] = field(default_factory=lambda: [0.0])
    counts: list[int] = field(default_factory=lambda: [0])

    def add(self, epoch: int, value: float | None) -> None:
        while len(self.sums) <= epoch:
            self.sums.append(self.sums[-1])
            self.counts.append(self.counts[-1])
        if value is not None:
            self.sums[epoch] += value
            self.counts[epoch] += 1
            self.best = max(self.best, value)


@POLICIES.register("median")
class Median(PeerPolicy):
    """Stop a trial whose best so far is below the median of the other trials' running means.

    At epoch e >= grace the others are the trials of its group that have reached e, stopped ones
    included; a running mean goes over the epochs grace..e. With fewer than `min_samples` others
    nothing is stopped, nor at a trial's last epoch. A value that is missing or not finite enters no
    mean and stops nothing. Cost per report: O(trials).

    Source: Golovin et al. 2017 (Vizier), with grace inside the mean as in Ray Tune
    [ray-project/ray:python/ray/tune/schedulers/median_stopping_rule.py].
    """

    min_samples: int = Field(3, ge=1, description="other trials needed before one is stopped")

    _tracks: dict[str, _Track] = PrivateAttr(default_factory=dict)

    def rank(
        self, trial: TrialView, epoch: int, metrics: Mapping[str, Any], metric: str
    ) -> Decision:
        """Take one report; see the class."""
        value, grace = measured(metrics, metric), self.grace_of(trial)
        tracks = self._tracks
        if trial.trial_id not in tracks:
            tracks[trial.trial_id] = _Track(self.group_of(trial))
        own = tracks[trial.trial_id]
        own.add(epoch, value)
        if value is None or epoch < grace or epoch >= trial.epochs:
            return CONTINUE
        means = [
            (peer.sums[epoch] - peer.sums[grace - 1]) / count
            for peer in tracks.values()
            if len(peer.sums) > epoch
            and (count := peer.counts[epoch] - peer.counts[grace - 1])
            and peer is not own
            and peer.group == own.group
        ]
        if len(means) < self.min_samples:
            return CONTINUE
        bar = median(means)
        if own.best >= bar - TIE:
            return CONTINUE
        return Decision(
            "stop",
            "median",
            f"the best {metric} up to epoch {epoch}, {own.best:.4f}, is below {bar:.4f}, the "
            f"median of {len(means)} other trials' means over epochs {grace} to {epoch}",
            {"best": own.best, "median": bar, "compared": len(means), "grace": grace},
        )
