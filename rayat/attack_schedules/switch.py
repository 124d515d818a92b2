"""One switch: a cheap attack first, the attack after it."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from rayat.attack_schedules.base import AttackSchedule, changed
from rayat.attacks.base import Attack, Moment
from rayat.fractions import numbers
from rayat.registry import SCHEDULES


@SCHEDULES.register("switch")
class Switch(AttackSchedule):
    """The attack gives way to another one at a moment: FGSM-RS first, PGD at the end.

    `to` is a name, or a mapping with `name` and parameters; without a name it changes parameters of
    the attack itself. What is not said, and every attack has, such as `eps`, stays.
    """

    at: float = Field(0.5, ge=0, lt=1, description="share of the training before the switch")
    to: dict[str, Any] = Field({"name": "pgd"}, description="the attack after it")

    @field_validator("to", mode="before")
    @classmethod
    def _named(cls, to: Any) -> Any:
        return {"name": to} if isinstance(to, str) else numbers(to)

    def attack(self, attack: Attack, moment: Moment) -> Attack:
        """Return the one before or the one after."""
        return changed(attack, self.to) if moment.progress > self.at else attack

    def attacks(self, attack: Attack) -> list[Attack]:
        """Return both."""
        return [attack, changed(attack, self.to)]
