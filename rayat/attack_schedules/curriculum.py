"""Curriculum: more attack steps from epoch to epoch; docs/papers.md 9.2."""

from __future__ import annotations

import math
from typing import Any

from pydantic import Field

from rayat.attack_schedules.base import AttackSchedule, changed, has
from rayat.attacks.base import Attack, Moment
from rayat.attacks.none import NoAttack
from rayat.registry import SCHEDULES


@SCHEDULES.register("curriculum")
class Curriculum(AttackSchedule):
    """Attack steps grow from 0 to the attack's K, each number for an equal share of the epochs.

    Epoch e of E, counted from 0, has `min(K, floor((K + 1) * e / (until * E)))` steps; 0 steps are
    no attack: the clean images.
    """

    until: float = Field(1.0, gt=0, le=1, description="share of the epochs that grow; then K")

    def attack(self, attack: Attack, moment: Moment) -> Attack:
        """Return the attack with the epoch's number of steps."""
        most = attack.model_dump()["steps"]
        # A quotient such as 3 * 0.1 / 0.3 must not lose a step to its last bit.
        grown = (most + 1) * (moment.epoch - 1) / (self.until * moment.epochs)
        steps = min(most, math.floor(grown + 1e-9))
        if steps == 0:
            return changed(attack, {"name": NoAttack.kind})
        return attack if steps == most else changed(attack, {"steps": steps})

    def check(self, config: Any) -> None:
        """Refuse an attack that takes no number of steps."""
        has(config.attack, "steps", self.kind)
        super().check(config)
