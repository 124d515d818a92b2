"""Ray Tune's own schedulers as a policy, for comparison: their decisions, our ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, PrivateAttr

from rayat.policies.base import CONTINUE, Decision, Policy, TrialView
from rayat.policies.groups import measured
from rayat.registry import POLICIES

EPOCH, METRIC = "epoch", "metric"


@POLICIES.register("ray")
class RayTune(Policy):
    """Ray Tune's own scheduler decides: `ray:asha`, `ray:median` or `ray:hyperband`.

    The scheduler is a plain object that is shown trials and results; no Ray runs. One sees the
    trials of one length. Its state follows from the reports in order like that of any policy, so it
    is rebuilt after a crash, verified and replayed, which Tune itself does not do.

    What differs from `tune.TuneConfig(scheduler=...)`: a value that was not measured is not shown;
    no trial is stopped at its last epoch; `median` goes on with too few others in place of yielding
    its worker; `hyperband` (synchronous, pauses) needs a host that announced the trials.
    """

    scheduler: Literal["asha", "median", "hyperband"] = Field("asha", description="which of Ray's")
    grace: int = Field(1, ge=1, description="epochs before a trial may be stopped (not hyperband)")
    eta: int = Field(3, ge=2, description="reduction factor (not median)")

    shorthand = "scheduler"

    _hosts: dict[int, _Host] = PrivateAttr(default_factory=dict)
    _trials: dict[str, _Trial] = PrivateAttr(default_factory=dict)

    @property
    def pauses(self) -> bool:
        """Return whether it is hyperband."""
        return self.scheduler == "hyperband"

    def earliest(self, epochs: int) -> int:
        """Return the grace; hyperband has none."""
        return 1 if self.pauses else self.grace

    def expect(self, trials: Sequence[TrialView]) -> None:
        """Add every trial, in order: hyperband deals them to its brackets."""
        for trial in trials:
            self._add(trial)

    def _add(self, trial: TrialView) -> _Trial:
        host = self._hosts.setdefault(trial.epochs, _Host(self, trial.epochs))
        added = self._trials[trial.trial_id] = _Trial(trial.trial_id, host)
        host.scheduler.on_trial_add(host, added)
        return added

    def observe(
        self, trial: TrialView, epoch: int, metrics: Mapping[str, Any], metric: str
    ) -> Decision:
        """Show Ray's scheduler the report and return its answer."""
        value, known = measured(metrics, metric), self._trials.get(trial.trial_id)
        if value is None or epoch >= trial.epochs or (known is None and self.pauses):
            return CONTINUE
        known = known or self._add(trial)
        if known.status == "TERMINATED":
            return CONTINUE  # it was lost, so it has left its bracket, and runs again
        known.status, known.epoch, known.value = "RUNNING", epoch, value
        result = {EPOCH: epoch, METRIC: value}
        answer = known.host.scheduler.on_trial_result(known.host, known, result)
        if answer == "CONTINUE":
            return CONTINUE
        known.status = "PAUSED" if answer == "PAUSE" else "TERMINATED"
        return self._decision("pause" if answer == "PAUSE" else "stop", known)

    def ended(self, trial_id: str) -> None:
        """Take the trial out of its bracket."""
        known = self._trials.get(trial_id)
        if known is not None and known.status != "TERMINATED" and self.pauses:
            known.host.stop_trial(known)
            known.host.stopped.remove(known)

    def verdicts(self) -> Mapping[str, Decision]:
        """Return what became of paused trials when their bracket was halved."""
        due: dict[str, Decision] = {}
        for host in self._hosts.values():
            due.update({trial.trial_id: self._decision("stop", trial) for trial in host.stopped})
            resumed = {t.trial_id: self._decision("continue", t) for t in host.resumed}
            due.update(resumed)
            host.stopped, host.resumed = [], []
        return due

    def _decision(self, action: Literal["continue", "stop", "pause"], trial: _Trial) -> Decision:
        return Decision(
            action,
            f"ray:{self.scheduler}",
            f"Ray Tune's {self.scheduler} answered {action} to {trial.value:.4f} at epoch "
            f"{trial.epoch}",
            {"value": trial.value, "epoch": trial.epoch},
        )


class _Trial:
    """All that Ray's schedulers ask of a trial; compared by identity, as Tune's are."""

    is_saving = False

    def __init__(self, trial_id: str, host: _Host) -> None:
        self.trial_id, self.host, self.status = trial_id, host, "PENDING"
        self.epoch, self.value = 0, 0.0


class _Host:
    """Stands for Tune's controller before one scheduler."""

    def __init__(self, policy: RayTune, epochs: int) -> None:
        # Imported here: nobody else who reads or replays a run needs Ray.
        from ray.tune import schedulers

        names: dict[str, Any] = {"time_attr": EPOCH, "metric": METRIC, "mode": "max"}
        if policy.scheduler == "median":
            self.scheduler = schedulers.MedianStoppingRule(**names, grace_period=policy.grace)
        else:
            # Trials end by their own length, with their last epoch evaluated.
            names.update(max_t=epochs, reduction_factor=policy.eta, stop_last_trials=False)
            if policy.scheduler == "asha":
                grace = min(policy.grace, epochs)
                self.scheduler = schedulers.ASHAScheduler(**names, grace_period=grace)
            else:
                self.scheduler = schedulers.HyperBandScheduler(**names)
                # Tune would start these when a place is free; here the driver does.
                self.scheduler._unpause_trial = self.resume
        self.stopped: list[_Trial] = []
        self.resumed: list[_Trial] = []

    def resume(self, controller: _Host, trial: _Trial) -> None:
        """Note that a paused trial goes on."""
        trial.status = "PENDING"
        self.resumed.append(trial)

    def stop_trial(self, trial: _Trial) -> None:
        """Note that a paused trial ends, and say so to the scheduler as Tune does."""
        trial.status = "TERMINATED"
        self.stopped.append(trial)
        self.scheduler.on_trial_remove(self, trial)

    def get_live_trials(self) -> list[_Trial]:
        """Return nothing: the median rule would yield its worker to those that wait."""
        return []
