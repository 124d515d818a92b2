"""A ramp: parameters of the attack move to where the configuration has them."""

from __future__ import annotations

import math
from typing import Any

from pydantic import Field

from rayat.attack_schedules.base import AttackSchedule, changed, has
from rayat.attacks.base import Attack, Moment
from rayat.attacks.none import NoAttack
from rayat.errors import ConfigError
from rayat.fractions import OptionalNumber, pixels
from rayat.registry import SCHEDULES

RAMPED = ("eps", "steps", "step_size", "threshold")


@SCHEDULES.register("ramp")
class Ramp(AttackSchedule):
    """Radius, steps, step size or threshold move in a straight line to the attack's own.

    Each parameter given here is its value up to progress `begin`; from `until` on it is that of
    `attack`. Steps are rounded, a half up; 0 steps are no attack: the clean images.
    """

    eps: OptionalNumber = Field(None, ge=0, description="radius at the beginning")
    steps: int | None = Field(None, ge=0, description="steps at the beginning")
    step_size: OptionalNumber = Field(None, gt=0, description="step size at the beginning")
    threshold: float | None = Field(None, description="FOSC threshold at the beginning (dynamic)")
    begin: float = Field(0.0, ge=0, lt=1, description="progress at which the ramp begins")
    until: float = Field(1.0, gt=0, le=1, description="progress at which it ends")

    @property
    def starts(self) -> dict[str, float]:
        """Return the parameters that move and where from."""
        given = {name: getattr(self, name) for name in RAMPED}
        return {name: value for name, value in given.items() if value is not None}

    def attack(self, attack: Attack, moment: Moment) -> Attack:
        """Return the attack at a point of the ramp."""
        share = (moment.progress - self.begin) / (self.until - self.begin)
        share = min(max(share, 0.0), 1.0)
        if share == 1:
            return attack
        values: dict[str, Any] = {}
        for name, start in self.starts.items():
            # Ends are met exactly, and a ramp from a value to itself does not move.
            values[name] = start + share * (getattr(attack, name) - start)
        if "steps" in values:
            values["steps"] = math.floor(values["steps"] + 0.5)
        if values.get("steps") == 0:
            return changed(attack, {"name": NoAttack.kind})
        return changed(attack, values)

    def check(self, config: Any) -> None:
        """Refuse a ramp of nothing, backwards in time, or of what the attack does not have."""
        if not self.starts:
            raise ConfigError(
                "attack_schedule 'ramp' changes nothing; give where one of "
                f"{', '.join(RAMPED)} begins, such as attack_schedule.eps=0"
            )
        if self.begin >= self.until:
            raise ConfigError(
                f"attack_schedule.begin must be below attack_schedule.until={self.until:g}, "
                f"got {self.begin:g}"
            )
        for name, start in self.starts.items():
            if name in ("eps", "step_size") and config.attack.norm == "linf" and start > 1:
                raise ConfigError(
                    f"attack_schedule.{name} must be at most 1, got {start:g}{pixels(start)}"
                )
            has(config.attack, name, self.kind)
            if getattr(config.attack, name) is None:
                raise ConfigError(
                    f"attack_schedule 'ramp' needs to know where {name!r} ends; give attack.{name}"
                )
        super().check(config)
