"""Catastrophic overfitting: whether a training has collapsed, told by its reports alone.

`Watch` is the definition: outcomes, rollbacks and verification go by it. It needs the robust
accuracy of the training batches. `CleanWatch` stands in where a curve may come without one, as
those recorded elsewhere: the policy `accel` asks it of the reports that the definition let pass.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

RULE = 2
"""The version of the rule. `run.json` keeps it as `collapse_rule`, so that a run's decisions are
made again by the rule that made them; runs from before there were two have 1."""
FALL = 0.20
"""Validation robust accuracy lost in a collapse, as a fraction (docs/papers.md 1.6: 20 points)."""
SPAN = 2
"""Epochs within which it is lost: the fall is sudden, a slow decline is something else."""
TIE = 1e-9
"""0.60 - 0.40 is a fall of 0.20 although its rounded difference is a little less."""


KEPT = 0.8
"""Share of the clean accuracy before the fall that a collapse leaves: a network that loses its
clean accuracy too is unstable, at a rate too high for it: that is another fault."""
ALIVE = 0.12
"""Of `CleanWatch`: robust accuracy that was never above this has nothing to lose in a collapse."""
LEFT = 0.4
"""Of `CleanWatch`: share of its best below which robust accuracy falls."""


@dataclass(frozen=True)
class Seen:
    """Robust accuracies of one epoch: on the validation split and on the training batches.

    Attributes:
        clean: accuracy on the validation split without attack; None: not known.
    """

    epoch: int
    val: float
    train: float
    clean: float | None = None


def rule_of(info: Mapping[str, Any]) -> int:
    """Return the version of the rule that a run was made with.

    Args:
        info: what its `run.json` holds, or what a merged run keeps of each.
    """
    return int(info.get("collapse_rule", 1))


class Watch:
    """Follows the reports of one trial; its state is a function of them in order.

    Args:
        rule: 2; 1, which asked neither for the gap nor for the clean accuracy, only to make the
            decisions of earlier runs again.
    """

    def __init__(self, rule: int = RULE) -> None:
        self._rule = rule
        self._seen: list[Seen] = []

    def fall(self, epoch: int, row: Mapping[str, Any]) -> tuple[Seen, Seen] | None:
        """Return from where and to where a trial collapsed in this epoch, None if it did not.

        Validation robust accuracy fell by 0.20 or more from one of the last two epochs, while
        robust accuracy on the training batches rose and now stands 0.20 or more above it, and at
        least 0.8 of the clean accuracy is left: the network fools its own attack and has unlearned
        nothing else. A value that was not measured is no fall; an unknown clean accuracy is not
        asked.

        Args:
            epoch: 1-based. row: the report, keys as in the ledger's `epochs` table.
        """
        now = _seen(epoch, row)
        if now is None:
            return None
        for before in self._past(epoch):
            fell = before.val - now.val >= FALL - TIE and now.train > before.train
            if fell and (self._rule == 1 or (_fools_itself(now) and _kept(before, now))):
                return before, now
        return None

    def add(self, epoch: int, row: Mapping[str, Any]) -> None:
        """Take the report; adding an epoch again, after a restart, changes nothing.

        After a rollback (`rollback_epoch`) the next epochs are measured by what it fell from.
        """
        fall, now = self.fall(epoch, row), _seen(epoch, row)
        if fall is not None and row.get("rollback_epoch") is not None:
            now = replace(fall[0], epoch=epoch)
        self._seen = [*self._past(epoch), *([] if now is None else [now])]

    def _past(self, epoch: int) -> list[Seen]:
        return [seen for seen in self._seen if epoch - SPAN <= seen.epoch < epoch]


class CleanWatch:
    """Follows one trial by validation alone: robust accuracy is lost, clean accuracy is not.

    Attributes:
        top, top_clean: the best accuracies so far. suspect: reports in a row that look collapsed.
    """

    def __init__(self) -> None:
        self.top = self.top_clean = 0.0
        self.suspect = 0

    def fell(self, robust: float, clean: float | None) -> bool:
        """Take a report; return whether it looks like a collapse."""
        fell = self.top > ALIVE and robust < LEFT * self.top
        fell = fell and clean is not None and clean > KEPT * self.top_clean
        self.suspect = self.suspect + 1 if fell else 0
        self.top = max(self.top, robust)
        self.top_clean = max(self.top_clean, clean or 0.0)
        return fell


def _fools_itself(now: Seen) -> bool:
    return now.train - now.val >= FALL - TIE


def _kept(before: Seen, now: Seen) -> bool:
    if before.clean is None or now.clean is None:
        return True
    return now.clean >= KEPT * before.clean


def _seen(epoch: int, row: Mapping[str, Any]) -> Seen | None:
    val, train, clean = (
        value if value is not None and math.isfinite(value) else None
        for value in map(row.get, ("val_robust_acc", "train_robust_acc", "val_clean_acc"))
    )
    if val is None or train is None:
        return None
    return Seen(epoch, float(val), float(train), None if clean is None else float(clean))
