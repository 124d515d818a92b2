"""A reading as a figure of a run: with the intervals, the pairs and the costs of `compare`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from rayat.claims.claim import Reading
from rayat.compare.accuracy import Accuracies, accuracies
from rayat.compare.bootstrap import Estimate, Intervals
from rayat.compare.intervals import intervals
from rayat.compare.measured import against, differing, of_trials
from rayat.compare.select import choose
from rayat.compare.speedup import costs, goal, paired, speed_up
from rayat.compare.table import sound
from rayat.errors import StudyError
from rayat.ledger.reader import Run, require_reports
from rayat.ledger.status import Status
from rayat.study import ARM

COUNTED = {
    "passes": ("fwd_passes", "bwd_passes"),
    "seconds": ("data_seconds", "attack_seconds", "train_seconds", "selection_seconds"),
    "bytes": ("comm_bytes",),
    "attack_steps": ("attack_steps",),
}
"""Columns of the epochs table that are summed over a training: neither validation nor the test."""
NEVER = 2.0
"""A target that nothing reaches: a trial's cost is then that of its whole training."""
BROKE = (Status.COLLAPSED, Status.DIVERGED)
"""Ends of a training that are its method's own doing."""


@dataclass(frozen=True)
class Figure:
    """What a run gives for a reading.

    Attributes:
        estimate: the quantity with its interval; None: there is none, and `why`.
        broke: the arm's own training broke, so that the claim is refuted without a figure.
    """

    reading: Reading
    estimate: Estimate | None
    why: str = ""
    broke: bool = False


@dataclass(frozen=True)
class Measured:
    """A run, opened for its readings.

    Attributes:
        trials: of each named arm, by seed. status: by trial.
        tested: test accuracies, or None where the test set was not looked at. chosen: those of the
            images that chose the checkpoint.
        target, origin: of the study, and where it comes from.
    """

    run: Run
    trials: Mapping[str, Mapping[int, str]]
    status: Mapping[str, Status]
    tested: Accuracies | None
    chosen: Accuracies
    target: float | None
    origin: str
    by: Intervals

    @classmethod
    def of(cls, run: Run) -> Measured:
        """Return what a run's tables hold. Raises `LedgerError` where it holds no report."""
        require_reports(run)
        trials = {_name(arm): choice.trial_ids for arm, choice in choose(run).items()}
        found = accuracies(run)
        untested = dataclasses.replace(run, evals=run.evals.iloc[:0])
        base = str(run.info["study"].get("baseline") or "").removeprefix("arm=")
        given = trials.get(base) or next(iter(trials.values()))
        target, origin, _ = goal(run, given.values())
        rows = zip(run.trials["trial_id"], run.trials["status"], strict=True)
        return cls(
            run,
            trials,
            {str(trial): Status(status) for trial, status in rows},
            found if found.tested else None,
            accuracies(untested),
            target,
            origin,
            intervals(run.info),
        )

    def seeds(self, arm: str) -> set[int]:
        """Return the seeds of an arm that were trained to an end that is the method's own."""
        ends = (Status.FINISHED, *BROKE)
        return {seed for seed, trial in self.trials[arm].items() if self.status[trial] in ends}

    def figure(self, reading: Reading) -> Figure:
        """Return the figure of a reading whose arms have run."""
        differs = self._differs(reading)
        if differs:
            return Figure(reading, None, f"measured differently ({differs})")
        return {"sooner": self._sooner, "cheaper": self._cheaper, "robust": self._robust}[
            reading.quantity
        ](reading)

    def _differs(self, reading: Reading) -> str:
        firsts = [next(iter(self.trials[arm].values())) for arm in (reading.arm, reading.control)]
        ours, theirs = of_trials(self.run, firsts).values()
        return against(differing(ours, theirs))

    def _sooner(self, reading: Reading) -> Figure:
        if self.target is None:
            return Figure(reading, None, "no accuracy was measured")
        ours, theirs = (
            costs(self.run, self.trials[arm].values(), self.target)
            for arm in (reading.arm, reading.control)
        )
        pairs = paired(theirs, ours)
        found = speed_up(pairs, "passes", self.by)
        missed = sum(not arm.reached for _, arm in pairs)
        why = f"{missed} of {len(pairs)} seeds of {reading.arm} never reached {self.target:.3f}"
        if missed and found is None:  # nor did the control in all: nobody is the sooner one
            return Figure(reading, None, f"{why}, nor did all of {reading.control}")
        return Figure(reading, found, why if missed else "", bool(missed))

    def _cheaper(self, reading: Reading) -> Figure:
        sums = {}
        for arm in (reading.arm, reading.control):
            broke = [s for s, trial in self.trials[arm].items() if self.status[trial] in BROKE]
            if broke:
                why = f"{len(broke)} of {len(self.trials[arm])} trainings of {arm} broke"
                return Figure(reading, None, why, arm == reading.arm)
            sums[arm] = {seed: self._spent(arm, seed, reading) for seed in self.seeds(arm)}
        ours, theirs = sums[reading.arm], sums[reading.control]
        seeds = sorted(set(ours) & set(theirs))
        if any(each[seed] <= 0 for each in (ours, theirs) for seed in seeds):
            return Figure(reading, None, f"no {reading.counted} were recorded")
        found = self.by.ratio([theirs[s] for s in seeds], [ours[s] for s in seeds])
        return Figure(reading, found)

    def _spent(self, arm: str, seed: int, reading: Reading) -> float:
        rows = self.run.epochs[self.run.epochs["trial_id"] == self.trials[arm][seed]]
        return float(rows[list(COUNTED[reading.counted])].fillna(0).to_numpy(float).sum())

    def _robust(self, reading: Reading) -> Figure:
        quality = self.chosen if reading.chosen_by == "itself" else self.tested
        if quality is None:
            return Figure(reading, None, "the test set was not looked at")
        ours, theirs = (
            sound(costs(self.run, self.trials[arm].values(), NEVER), self.trials[arm])
            for arm in (reading.arm, reading.control)
        )
        differs = quality.differing(ours, theirs, reading.checkpoint)
        if differs:
            return Figure(reading, None, f"tested differently ({against(differs)})")
        found = quality.difference(ours, theirs, reading.checkpoint, self.by)
        return Figure(reading, found, "" if found else "its test was not measured")


def _name(arm: str) -> str:
    """Return the name of a named arm. Raises `StudyError` for an arm of another kind."""
    key, _, name = arm.partition("=")
    if key != "arm" or not ARM.fullmatch(name):
        raise StudyError(f"claims are about named arms, and the run has an arm {arm!r}")
    return name
