"""Trials that ended badly by themselves: diverged, or collapsed (catastrophic overfitting)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rayat.collapse import RULE, Watch
from rayat.policies.base import Decision


class Outcomes:
    """Watches every trial of a run for what no policy decides: two bad ends, and a rescue.

    Args:
        metric: the study's metric; like the training loss it must stay finite. A value that was
            not measured (None or no key) is not a divergence.
        collapse_rule: the version of the rule `collapsed`.
    """

    def __init__(self, metric: str = "val_robust_acc", collapse_rule: int = RULE) -> None:
        self.metric, self._rule = metric, collapse_rule
        self._watches: dict[str, Watch] = {}

    def observe(self, trial_id: str, epoch: int, row: Mapping[str, Any]) -> Decision | None:
        """Take one report and return what it calls for, or None.

        Rule `diverged`: the trial says so itself (`row["outcome"]`), or the training loss or the
        metric is not finite. Rule `collapsed`: catastrophic overfitting (`collapse.Watch`). Rule
        `rolled-back`: the same of a trial that then took back earlier weights by itself; it goes
        on, and no policy should judge the weights that are no more.

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
        watch = self._watches.setdefault(trial_id, Watch(self._rule))
        fall = watch.fall(epoch, row)
        watch.add(epoch, row)
        if fall is None:
            return None
        before, now = fall
        sentence = (
            f"catastrophic overfitting: validation robust accuracy fell from "
            f"{before.val:.4f} (epoch {before.epoch}) to {now.val:.4f} (epoch {epoch}) while "
            f"training robust accuracy rose from {before.train:.4f} to {now.train:.4f}"
        )
        if self._rule > 1 and now.clean is not None:
            sentence += f" and clean accuracy stayed, at {now.clean:.4f}"
        evidence: dict[str, Any] = {
            "from_epoch": before.epoch,
            "val_before": before.val,
            "val_now": now.val,
            "train_before": before.train,
            "train_now": now.train,
        }
        if self._rule > 1:
            evidence |= {"clean_before": before.clean, "clean_now": now.clean}
        back = row.get("rollback_epoch")
        if back is None:
            return Decision("stop", "collapsed", sentence, evidence)
        sentence += f"; it goes on from the weights of epoch {back}"
        return Decision("continue", "rolled-back", sentence, {**evidence, "rollback_epoch": back})
