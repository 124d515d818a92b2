"""The attack-schedule contract: a pure function of the moment."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from rayat.attacks.base import Attack, Moment
from rayat.errors import ConfigError
from rayat.registry import ATTACKS, Part


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

    def check(self, config: Any) -> None:
        """Refuse attacks of other moments as the configuration's own attack would be refused."""
        for attack in self.attacks(config.attack):
            if attack is not config.attack:
                attack.check(config)


def changed(attack: Attack, changes: Mapping[str, Any]) -> Attack:
    """Return `attack` with other parameters, or with `name` another attack.

    That other one keeps the radius and what else every attack has, as `attack.name` does in a
    configuration.

    Raises:
        ConfigError: no such attack or parameter, or a wrong value.
    """
    if changes.get("name", attack.kind) == attack.kind:
        return _built({**attack.spec(), **changes})
    kept = ATTACKS.common(attack.kind) & set(type(attack).model_fields)
    return _built({**{key: getattr(attack, key) for key in kept}, **changes})


def has(attack: Attack, parameter: str, schedule: str) -> None:
    """Refuse an attack without the parameter that a schedule changes.

    Raises:
        ConfigError: with both names.
    """
    if parameter not in type(attack).model_fields:
        raise ConfigError(
            f"attack_schedule {schedule!r} changes {parameter!r}, which attack {attack.kind!r} "
            "does not have; use another attack, such as pgd, or another schedule"
        )


def _built(spec: Mapping[str, Any]) -> Attack:
    attack: Attack = ATTACKS.build(spec)
    return attack
