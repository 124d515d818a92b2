"""The training attack of one trial: what it is at each moment, and what it remembers."""

from __future__ import annotations

from typing import Any

from rayat.attacks.base import Attack, Memory, Moment, Setting
from rayat.config import TrialConfig
from rayat.distributed.exchange import Exchange
from rayat.training.streams import derive


class TrainingAttack:
    """Gives the attack of a moment; keeps the memories, which are saved with the trial.

    Args:
        config: the trial's. shape: (C, H, W) of the images. classes: number of labels.
        exchange: the workers, whose memories stay equal where the attack makes them so.
    """

    def __init__(
        self, config: TrialConfig, shape: tuple[int, int, int], classes: int, exchange: Exchange
    ) -> None:
        self.config, self.exchange = config, exchange
        self.setting = Setting(
            shape=shape,
            classes=classes,
            batch=config.batch_size // exchange.world_size,
            seed=derive(config.seed, "memory"),
            device=exchange.device,
            average=exchange.average,
        )
        self._memories: dict[str, Memory | None] = {}
        self._loaded: dict[str, dict[str, Any]] = {}
        self._given: Attack | None = None
        self._suited: Attack | None = None

    def at(self, moment: Moment) -> Attack:
        """Return the attack of the moment, with the objective's loss and its memory."""
        attack = self.config.attack_schedule.attack(self.config.attack, moment)
        if attack is not self._given or self._suited is None:
            self._given, self._suited = attack, attack.suited(self.config.objective.inner)
        return self._suited.at(moment, self._memory(self._suited))

    def _memory(self, attack: Attack) -> Memory | None:
        if attack.kind not in self._memories:
            memory = attack.remember(self.setting)
            if memory is not None and attack.kind in self._loaded:
                memory.load_state_dict(self._loaded.pop(attack.kind))
            self._memories[attack.kind] = memory
        return self._memories[attack.kind]

    def state_dict(self) -> dict[str, dict[str, Any]]:
        """Return the memories' states by the attacks' names."""
        kept = {name: m.state_dict() for name, m in self._memories.items() if m is not None}
        return {**self._loaded, **kept}

    def load_state_dict(self, state: dict[str, dict[str, Any]]) -> None:
        """Take back what `state_dict` gave; the memories are made when their attacks are."""
        self._memories.clear()
        self._loaded = dict(state)
