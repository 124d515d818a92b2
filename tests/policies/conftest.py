"""A small sweep to feed to policies: trials that report in an arbitrary, repeatable order."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from rayat.policies.base import Decision, Policy, TrialView

METRIC = "val_robust_acc"
Report = tuple[TrialView, int, float | None]


class Sweep:
    """Trials with recorded curves, interleaved; a stopped trial reports no more."""

    def __init__(
        self,
        curves: Sequence[Sequence[float | None]],
        order: int | None = 0,
        configs: Sequence[dict[str, Any]] = (),
    ) -> None:
        self.curves = curves
        self.trials = [
            TrialView(f"t{i}", configs[i] if configs else {}, len(curve))
            for i, curve in enumerate(curves)
        ]
        turns = [i for i, curve in enumerate(curves) for _ in curve]
        if order is not None:
            random.Random(order).shuffle(turns)
        else:
            turns = [i for e in range(max(map(len, curves))) for i in range(len(curves))]
        self.turns = turns

    def reports(self, stopped: set[str]) -> Any:
        """Yield (trial, epoch, value) in order, reading `stopped` as it fills."""
        at = [0] * len(self.trials)
        for i in self.turns:
            trial, epoch = self.trials[i], at[i] + 1
            if trial.trial_id not in stopped and epoch <= trial.epochs:
                at[i] = epoch
                yield trial, epoch, self.curves[i][epoch - 1]

    def run(self, policy: Policy) -> list[tuple[Report, Decision]]:
        """Return every report with its decision."""
        stopped: set[str] = set()
        said: list[tuple[Report, Decision]] = []
        for trial, epoch, value in self.reports(stopped):
            decision = policy.observe(trial, epoch, {METRIC: value}, METRIC)
            said.append(((trial, epoch, value), decision))
            if decision.action == "stop":
                stopped.add(trial.trial_id)
        return said

    def stops(self, policy: Policy) -> dict[str, int]:
        """Return {trial id: epoch} of the stopped trials."""
        return {
            trial.trial_id: epoch
            for (trial, epoch, _), decision in self.run(policy)
            if decision.action == "stop"
        }


@pytest.fixture(scope="session")
def sweep() -> Callable[..., Sweep]:
    return Sweep
