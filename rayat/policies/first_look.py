"""First look: every trial reports once and waits; the best third goes on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from pydantic import Field, PrivateAttr

from rayat.policies.base import CONTINUE, Decision, TrialView
from rayat.policies.groups import PeerPolicy, configuration, measured
from rayat.registry import POLICIES

LOOKS = 50
"""A look is a fiftieth of training, at least one epoch."""


@POLICIES.register("first-look")
class FirstLook(PeerPolicy):
    """Every trial runs a first look and pauses; then the best 1/eta of each group go on to the end.

    The look is `grace` epochs, by default a fiftieth of training rounded up. A trial whose value at
    the look is not measured is never paused and takes no place. Nothing is paused when the host did
    not announce the trials (`expect`), nor in groups of fewer than eta trials. Equal values: the
    trial declared first goes on. Cost per report: O(1), and one sort per group.
    """

    eta: int = Field(3, ge=2, description="one trial in eta goes on, rounded up")

    _open: dict[str, set[str]] = PrivateAttr(default_factory=dict)
    _order: dict[str, int] = PrivateAttr(default_factory=dict)
    _held: dict[str, dict[str, tuple[float, int]]] = PrivateAttr(default_factory=dict)
    _groups: dict[str, str] = PrivateAttr(default_factory=dict)
    _due: dict[str, Decision] = PrivateAttr(default_factory=dict)
    _ranked_as: dict[str, str] = PrivateAttr(default_factory=dict)

    @property
    def pauses(self) -> bool:
        """Return True."""
        return True

    def grace_of(self, trial: TrialView) -> int:
        """Return the length of the first look in epochs."""
        return self.grace or math.ceil(trial.epochs / LOOKS)

    def idle(self, epochs: int, every: int) -> str:
        """Return why it pauses no trial: its look comes too late, or is not validated."""
        look = self.grace_of(TrialView("", {}, epochs))
        if super().idle(epochs, every) or look % every == 0:
            return super().idle(epochs, every)
        return (
            f"policy {self.kind} looks at epoch {look}, after which nothing is validated "
            f"(eval.every={every}), so it never stops a trial; give it a grace that is a multiple "
            "of eval.every"
        )

    def expect(self, trials: Sequence[TrialView]) -> None:
        """Learn the trials of each group."""
        members: dict[str, set[str]] = {}
        for place, trial in enumerate(trials):
            self._order[trial.trial_id] = place
            members.setdefault(self.group_of(trial), set()).add(trial.trial_id)
            alone = self.peers != "configurations"
            self._ranked_as[trial.trial_id] = trial.trial_id if alone else configuration(trial)
        self._open = {
            group: ids
            for group, ids in members.items()
            if len({self._ranked_as[name] for name in ids}) >= self.eta
        }
        self._groups = {name: group for group, ids in self._open.items() for name in ids}

    def observe(
        self, trial: TrialView, epoch: int, metrics: Mapping[str, Any], metric: str
    ) -> Decision:
        """Take one report; see the class."""
        name, look = trial.trial_id, self.grace_of(trial)
        group = self._groups.get(name)
        if group is None or name not in self._open[group] or epoch < look:
            return CONTINUE
        value = measured(metrics, metric)
        if value is None or epoch >= trial.epochs:
            self._settle(group, name)
            return CONTINUE
        held = self._held.setdefault(group, {})
        held[name] = (value, epoch)
        self._settle(group, name)
        return Decision(
            "pause",
            "first-look",
            f"waits with {metric} {value:.4f} at epoch {epoch} until all {len(held)} + "
            f"{len(self._open[group])} trials have had their first look",
            {"value": value, "looked": len(held), "to_look": len(self._open[group])},
        )

    def ended(self, trial_id: str) -> None:
        """Wait for the trial no longer."""
        group = self._groups.get(trial_id)
        if group is not None and trial_id in self._open[group]:
            self._settle(group, trial_id)

    def verdicts(self) -> Mapping[str, Decision]:
        """Return who goes on and who ends, once all trials of the group have been looked at."""
        due, self._due = self._due, {}
        return due

    def _settle(self, group: str, name: str) -> None:
        waiting = self._open[group]
        waiting.remove(name)
        held = self._held.get(group, {})
        if waiting or not held:
            return
        looked: dict[str, list[str]] = {}  # trials by what is ranked
        for name in sorted(held, key=lambda name: self._order[name]):
            looked.setdefault(self._ranked_as.get(name, name), []).append(name)
        means = {which: fmean(held[n][0] for n in names) for which, names in looked.items()}
        # Stable: equal ones as declared, and no rounding of a mean tells them apart.
        ranked = sorted(means, key=lambda which: -round(means[which], 9))
        places = math.ceil(len(ranked) / self.eta)
        bar = means[ranked[places - 1]]
        what = "trials" if len(ranked) == len(held) else "configurations"
        for rank, which in enumerate(ranked, 1):
            for trial_id in looked[which]:
                epoch = held[trial_id][1]
                self._due[trial_id] = Decision(
                    "continue" if rank <= places else "stop",
                    "first-look",
                    f"{'among' if rank <= places else 'not among'} the best {places} of "
                    f"{len(ranked)} {what} after the first look: {means[which]:.4f} at epoch "
                    f"{epoch} is rank {rank}, the last that goes on has {bar:.4f}",
                    {"value": means[which], "rank": rank, "compared": len(ranked) - 1, "bar": bar},
                )
