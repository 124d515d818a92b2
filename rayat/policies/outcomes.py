"""Trials that ended badly by themselves: diverged, or collapsed (catastrophic overfitting)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rayat.policies.base import Decision
from rayat.policies.groups import measured

FALL = 0.20
"""Validation robust accuracy lost in a collapse, as a fraction (docs/papers.md 1.6: 20 points)."""
SPAN = 2
"""Epochs within which it is lost: the fall is sudden, a slow decline is something else."""
TIE = 1e-9
"""0.60 - 0.40 is a fall of 0.20 although its rounded difference is a little less."""


@dataclass(frozen=True)
class _Seen:
    epoch: int
    val: float
    train: float


class Outcomes:
    """Watches every trial of a run for the two ends that no policy decides.

    Args:
        metric: the study's metric; like the training loss it must stay finite. A value that was
            not measured (None or no key) is not a divergence.
    """

    def __init__(self, metric: str = "val_robust_acc") -> None:
        self.metric = metric
        self._seen: dict[str, list[_Seen]] = {}

    def observe(self, trial_id: str, epoch: int, row: Mapping[str, Any]) -> Decision | None:
        """Take one report and return the stop it calls for, or None.

        Rule `diverged`: the trial says so itself (`row["outcome"]`), or the training loss or the
        metric is not finite. Rule `collapsed`: validation robust accuracy fell by 0.20 or more from
        one of the last two epochs while robust accuracy on the training batches rose.

        Args:
            trial_id: the trial that reported.
            epoch: 1-based; reporting an epoch again, after a restart, changes nothing.
            row: the report, keys as in the ledger's `epochs` table.
        """
        return self._diverged(epoch, row) or self._collapsed(trial_id, epoch, row)

    def _diverged(self, epoch: int, row: Mapping[str, Any]) -> Decision | None:
        for key in ("train_loss", self.metric):
            value = row.get(key)
            if value is not None and not math.isfinite(value):
                sentence = f"{key} is {value} at epoch {epoch}"
                # JSON has no NaN: the evidence names the value in words.
                return Decision("stop", "diverged", sentence, {"epoch": epoch, key: str(value)})
        if row.get("outcome") == "diverged":
            sentence = f"training became non-finite in epoch {epoch}"
            return Decision("stop", "diverged", sentence, {"epoch": epoch})
        return None

    def _collapsed(self, trial_id: str, epoch: int, row: Mapping[str, Any]) -> Decision | None:
        past = [seen for seen in self._seen.get(trial_id, []) if epoch - SPAN <= seen.epoch < epoch]
        self._seen[trial_id] = past
        val, train = measured(row, "val_robust_acc"), measured(row, "train_robust_acc")
        if val is None or train is None:
            return None
        self._seen[trial_id] = [*past, _Seen(epoch, val, train)]
        for before in past:
            if before.val - val >= FALL - TIE and train > before.train:
                return Decision(
                    "stop",
                    "collapsed",
                    f"catastrophic overfitting: validation robust accuracy fell from "
                    f"{before.val:.4f} (epoch {before.epoch}) to {val:.4f} (epoch {epoch}) while "
                    f"training robust accuracy rose from {before.train:.4f} to {train:.4f}",
                    {
                        "from_epoch": before.epoch,
                        "val_before": before.val,
                        "val_now": val,
                        "train_before": before.train,
                        "train_now": train,
                    },
                )
        return None
