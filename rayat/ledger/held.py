"""What an open ledger holds: questions to the state that its log was folded into."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rayat.ledger.state import State
from rayat.ledger.status import Status


class LedgerState:
    """The reading side of an open ledger.

    Attributes:
        state: the fold of the log.
    """

    state: State

    @property
    def info(self) -> dict[str, Any]:
        """Return what `run.json` says."""
        return dict(self.state.info or {})

    def trials(self) -> dict[str, dict[str, Any]]:
        """Return what each trial was declared with (columns of the trials table), in order."""
        return {trial_id: dict(trial.declared) for trial_id, trial in self.state.trials.items()}

    def arms(self) -> dict[str, str]:
        """Return each trial's arm, in the order of declaration."""
        return {trial_id: trial.declared["arm"] for trial_id, trial in self.state.trials.items()}

    def reports(self, trial_id: str) -> list[dict[str, Any]]:
        """Return a trial's rows of the epochs table (and `outcome`), in epoch order."""
        return list(self.state.trial(trial_id).rows())

    def reported(self, trial_id: str) -> int:
        """Return the last epoch held for a trial, 0 at first."""
        return self.state.trial(trial_id).last

    def epochs(self) -> tuple[int, int]:
        """Return how many epochs are held of all trials, and how many of them were trained."""
        trials = self.state.trials.values()
        return sum(t.last for t in trials), sum(t.trained for t in trials)

    def observations(self) -> Iterator[tuple[str, int, dict[str, Any]]]:
        """Yield (trial_id, epoch, row) in the order in which each was first durable.

        This rebuilds a policy exactly: a live driver that shows its policy each `rows.report_row`
        of a first report shows it this sequence (here absent values are None). An epoch replayed by
        a later attempt is not observed again.
        """
        for trial_id, epoch, values in self.state.observed:
            names = self.state.trials[trial_id].names
            yield trial_id, epoch, {"epoch": epoch, **dict(zip(names, values, strict=True))}

    def gone(self) -> list[tuple[int, str]]:
        """Return (how many `observations` came before, trial_id) of each `failed` or `lost` end."""
        return list(self.state.gone)

    def decisions(self, trial_id: str) -> list[dict[str, Any]]:
        """Return a trial's decisions in order, as recorded, with their `position`."""
        return list(self.state.trial(trial_id).decisions)

    def evaluations(self) -> list[dict[str, Any]]:
        """Return the rows of the evals table, as recorded."""
        return [dict(row) for row in self.state.evals.values()]

    def events(self) -> list[dict[str, Any]]:
        """Return the driver's events in order: position, at (µs UTC), name, payload."""
        return list(self.state.events)

    def status(self, trial_id: str) -> Status:
        """Return what a trial is at, or how it ended."""
        return self.state.trial(trial_id).status

    def unfinished(self) -> list[str]:
        """Return the trials that a resumed run goes on with, in the order of declaration."""
        return [key for key, trial in self.state.trials.items() if not trial.status.is_final]
