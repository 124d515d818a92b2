"""The attack-schedule contract: a pure function of the moment."""

from __future__ import annotations

from abc import abstractmethod

from rayat.attacks.base import Attack, Moment
from rayat.registry import Part


class AttackSchedule(Part):
    """Change the training attack as the training goes on.

    `attack` of the configuration is what the training ends with, unless the schedule says
    otherwise; its eps stays the radius of the evaluation.
    """

    @abstractmethod
    def attack(self, attack: Attack, moment: Moment) -> Attack:
        """Return the attack of the moment; the same moment always gives an equal one.

        Args:
            attack: that of the configuration.
        """

    def attacks(self, attack: Attack) -> list[Attack]:
        """Return one attack of every kind that appears, for checks before the start."""
        return [attack]
