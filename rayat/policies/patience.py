"""Patience that is blind to the learning rate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic import Field, PrivateAttr

from rayat.policies.base import CONTINUE, Decision, Policy, TrialView
from rayat.policies.groups import measured
from rayat.registry import POLICIES


@POLICIES.register("patience")
class Patience(Policy):
    """Stop a trial that has had no new best for `epochs` epochs, whatever its learning rate does.

    What a careful user would write by hand. Epochs in which the metric was not measured count as
    waiting, and stop nothing by themselves. A trial's last epoch is never a stop. Cost: O(1).

    Source: the rule of Keras' EarlyStopping and Optuna's PatientPruner (min_delta 0).
    """

    epochs: int | None = Field(
        None, ge=1, description="epochs without a new best; null: a third of them, rounded up"
    )

    shorthand = "epochs"
    alone = True

    _best: dict[str, tuple[float, int]] = PrivateAttr(default_factory=dict)

    def earliest(self, epochs: int) -> int:
        """Return the epoch at which it gives up where the first one stays the best."""
        return 1 + (self.epochs or math.ceil(epochs / 3))

    def observe(
        self, trial: TrialView, epoch: int, metrics: Mapping[str, Any], metric: str
    ) -> Decision:
        """Take one report; see the class."""
        value = measured(metrics, metric)
        if value is None:
            return CONTINUE
        best, at = self._best.get(trial.trial_id, (-math.inf, 0))
        if value > best:
            self._best[trial.trial_id] = value, epoch
            return CONTINUE
        wait = self.epochs or math.ceil(trial.epochs / 3)
        if epoch - at < wait or epoch >= trial.epochs:
            return CONTINUE
        return Decision(
            "stop",
            "patience",
            f"no new best for {epoch - at} epochs: {metric} {value:.4f} at epoch {epoch}, best "
            f"{best:.4f} at epoch {at}",
            {"value": value, "best": best, "best_epoch": at, "waited": epoch - at},
        )
