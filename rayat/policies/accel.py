"""AGS: a rank filter says who goes on, limits say who is past its own peak."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field, PrivateAttr

from rayat.policies._evidence import Evidence
from rayat.policies._limits import OVERFITTING, Constants, Limits
from rayat.policies.asha import ASHA
from rayat.policies.base import CONTINUE, Decision, TrialView
from rayat.policies.first_look import FirstLook
from rayat.policies.groups import TIE, PeerPolicy, measured
from rayat.policies.median import Median
from rayat.policies.probe import Probe
from rayat.registry import POLICIES

CLEAN = ("val_clean_acc", "clean_acc")
"""Keys of a report that may hold clean accuracy, the first measured one counts."""
FILTERS: Mapping[str, type[PeerPolicy]] = {
    "asha": ASHA,
    "median": Median,
    "first-look": FirstLook,
    "probe": Probe,
}
ALONE, TOGETHER = 3, 5
"""Blocks of patience without and with a filter (the filter has already ended the worst)."""


@POLICIES.register("accel")
class Accel(PeerPolicy):
    """Stop a trial once its own schedule leaves it nothing to gain; a filter picks who goes on.

    Three limits judge a trial against itself. The reach limit stops it when the optimistic forecast
    of its remaining schedule (mean + `kappa` standard deviations, with a walk of `tau`) stays below
    the best it has had plus `gain`. Patience stops it after `patience` blocks without a new best,
    counted only while no change of its learning rate is planned. Two reports in a row that look
    like catastrophic overfitting stop it, and never enter the forecast. Blocks are epochs, or
    averages of about T / 64 epochs in trainings of more than 96. The filter (`accel:median`, ...)
    is the policy of that name, with `grace` and `compare_within` given to it; `none` is thorough.

    `asha`, `median` and `probe` are calibrated by the sweep itself: they judge no trial before its
    rate has reached its peak, and once trials have ended, one whose chance to end above the best of
    all is below `chance` is stopped too, by what those gained that had as much of their schedule to
    come.

    With `cut_first`, a limit on a trial with a feedback shape (AccelAT) first waits for the shape's
    own next cut and for `patience` blocks after it; only if they bring no `gain` does it stop.

    With `keep_best` plateau and patience end no trial whose best is within `gain` of the best that
    any other has had: what such a trial still gains is what the sweep delivers, and there are few.

    A trial whose schedule is not known in advance is watched for a collapse only. Cost per report:
    one 16 x 16 inverse, and the model's refit, O(trials) once per report of every live trial.

    Source: docs/policy.md.
    """

    filter: Literal["none", "asha", "median", "first-look", "probe"] = Field(
        "median", description="what compares trials with each other"
    )
    patience: int | None = Field(
        None, ge=1, description="blocks without a new best; null: 3 with filter none, else 5"
    )
    kappa: float = Field(1.3, ge=0, description="standard deviations of optimism in the reach")
    gain: float = Field(0.003, ge=0, le=1, description="robust accuracy worth going on for")
    tau: float = Field(0.006, ge=0, le=1, description="robust accuracy the forecast may miss by")
    chance: float = Field(
        0.1,
        ge=0,
        lt=0.5,
        description="of ending as the best, below which evidence stops a trial; 0: the filter only",
    )
    doubt: float = Field(
        0.01, ge=0, le=1, description="robust accuracy added to the spread of what trials gain"
    )
    cut_first: bool = Field(
        False,
        description="with a feedback shape: stop only after a cut of the rate brought nothing",
    )
    keep_best: bool = Field(
        True, description="limits end no trial within `gain` of the best of the others"
    )

    shorthand = "filter"

    _limits: Limits | None = PrivateAttr(None)
    _peers: PeerPolicy | None = PrivateAttr(None)
    _bests: dict[str, dict[str, float]] = PrivateAttr(default_factory=dict)

    before: ClassVar[Mapping[str, Any]] = {**PeerPolicy.before, "chance": 0.0, "keep_best": False}

    def model_post_init(self, context: Any) -> None:
        """Build the filter."""
        super().model_post_init(context)
        kind = FILTERS.get(self.filter)
        if kind is not None:
            whom: dict[str, Any] = {
                "grace": self.grace,
                "compare_within": self.compare_within,
                "peers": self.peers,
            }
            self._peers = kind(**whom)
            if self.chance and kind is not FirstLook:
                self._peers = Evidence(
                    filter=self._peers, chance=self.chance, doubt=self.doubt, **whom
                )

    @property
    def pauses(self) -> bool:
        """Return whether the filter does."""
        return self._peers is not None and self._peers.pauses

    @property
    def asks_probes(self) -> bool:
        """Return whether the filter does."""
        return self._peers is not None and self._peers.asks_probes

    @property
    def limits(self) -> Limits:
        """The limits with what they have seen; made with the first report."""
        if self._limits is None:
            patience = self.patience or (ALONE if self.filter == "none" else TOGETHER)
            self._limits = Limits(
                Constants(self.kappa, self.gain, self.tau, patience, self.cut_first)
            )
        return self._limits

    def earliest(self, epochs: int) -> int:
        """Return 1: its limits know no grace."""
        return 1

    def idle(self, epochs: int, every: int) -> str:
        """Return why it, or at least its filter, never acts."""
        theirs = "" if self._peers is None else self._peers.idle(epochs, every)
        return super().idle(epochs, every) or (theirs and f"the filter of accel, {theirs}")

    def expect(self, trials: Sequence[TrialView]) -> None:
        """Tell the filter."""
        if self._peers is not None:
            self._peers.expect(trials)

    def ended(self, trial_id: str) -> None:
        """Tell the filter, and wait for no more reports of the trial."""
        self.limits.ended(trial_id)
        if self._peers is not None:
            self._peers.ended(trial_id)

    def dropped(self, trial: TrialView) -> str:
        """Ask the filter."""
        return "" if self._peers is None else self._peers.dropped(trial)

    def verdicts(self) -> Mapping[str, Decision]:
        """Return the filter's decisions on the trials that it paused."""
        if self._peers is None:
            return {}
        due = self._peers.verdicts()
        for trial_id, decision in due.items():
            if decision.action == "stop":
                self.limits.ended(trial_id)
        return due

    def observe(
        self, trial: TrialView, epoch: int, metrics: Mapping[str, Any], metric: str
    ) -> Decision:
        """Take one report; see the class."""
        value, stop = measured(metrics, metric), None
        if value is not None:
            cleans = (measured(metrics, key) for key in CLEAN)
            clean = next((clean for clean in cleans if clean is not None), None)
            rate = measured(metrics, "lr")
            sound, stop = self.limits.observe(trial, epoch, value, clean, rate)
            if not sound and stop is None:
                return CONTINUE
            if self._leads(trial, value) and stop is not None and stop.rule != OVERFITTING:
                stop = None
        if stop is not None:
            self.ended(trial.trial_id)
        if self._peers is None:
            return stop or CONTINUE
        # Asked also about trials that the limits stop: their values are bars for later ones.
        ranked = self._peers.observe(trial, epoch, metrics, metric)
        if stop is None and ranked.action == "stop":
            self.limits.ended(trial.trial_id)
        if stop is not None and stop.rule != OVERFITTING and isinstance(self._peers, Evidence):
            self._peers.peaked(trial)
        return stop or ranked

    def _leads(self, trial: TrialView, value: float) -> bool:
        """Note a value, and return whether its trial is among the best of several."""
        bests = self._bests.setdefault(self.group_of(trial), {})
        own = bests[trial.trial_id] = max(value, bests.get(trial.trial_id, value))
        if not self.keep_best or len(bests) < 2:
            return False
        others = max(best for key, best in bests.items() if key != trial.trial_id)
        return own + self.gain >= others - TIE
