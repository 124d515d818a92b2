"""Stages: another attack from each of several moments on."""

from __future__ import annotations

import itertools
from typing import Any

from pydantic import Field, field_validator

from rayat.attack_schedules.base import AttackSchedule, changed
from rayat.attacks.base import Attack, Moment
from rayat.errors import ConfigError
from rayat.fractions import numbers
from rayat.registry import SCHEDULES


@SCHEDULES.register("stages")
class Stages(AttackSchedule):
    """The attack changes at given moments, in parameters or to another attack.

    `stages` is a list of `[progress, changes]`: after that share of the training the attack is the
    configuration's with these changes, until the next stage. `{}` is the attack itself; `name`
    gives another attack, which keeps the radius unless told otherwise.
    """

    stages: tuple[tuple[float, dict[str, Any]], ...] = Field(
        (), description="[[progress, changes], ...]; before the first: the attack itself"
    )

    @field_validator("stages", mode="before")
    @classmethod
    def _numbers(cls, stages: Any) -> Any:
        return numbers(stages)

    def attack(self, attack: Attack, moment: Moment) -> Attack:
        """Return the attack of the stage."""
        found: dict[str, Any] = {}
        for after, changes in self.stages:
            if moment.progress > after:
                found = changes
        return changed(attack, found) if found else attack

    def attacks(self, attack: Attack) -> list[Attack]:
        """Return the attack of every stage."""
        return [attack, *(changed(attack, changes) for _, changes in self.stages if changes)]

    def check(self, config: Any) -> None:
        """Refuse no stages, stages out of order, and changes that give no attack."""
        if not self.stages:
            raise ConfigError(
                "attack_schedule 'stages' has no stage; give attack_schedule.stages, such as "
                "[[0, {'eps': 0.1}], [0.5, {}]]"
            )
        moments = [after for after, _ in self.stages]
        ordered = all(a < b for a, b in itertools.pairwise(moments))
        if not ordered or moments[0] < 0 or moments[-1] >= 1:
            raise ConfigError(
                "attack_schedule.stages must begin at rising shares of the training in [0, 1), "
                f"got {', '.join(f'{m:g}' for m in moments)}"
            )
        super().check(config)
