"""No schedule: the same attack from the first step to the last."""

from __future__ import annotations

from rayat.attack_schedules.base import AttackSchedule
from rayat.attacks.base import Attack, Moment
from rayat.registry import SCHEDULES


@SCHEDULES.register("none")
class NoSchedule(AttackSchedule):
    """The attack of the configuration throughout."""

    def attack(self, attack: Attack, moment: Moment) -> Attack:
        """Return `attack` itself."""
        return attack
