"""The objective contract."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from rayat.attacks.base import Adversarial, Attack, Moment, Outcome
from rayat.columns import Column
from rayat.errors import ConfigError
from rayat.registry import Part


class Objective(Part):
    """What the weights minimise."""

    columns: ClassVar[tuple[Column, ...]] = ()
    """Report columns that `Outcome.info` may hold."""
    inner: ClassVar[str] = "ce"
    """The loss that an attack maximises for it where the attack names none (`losses.Loss`)."""

    @property
    def label_free(self) -> bool:
        """Return whether `loss` takes images without a label, whose `y` is -1."""
        return False

    @property
    def reads_length(self) -> bool:
        """Return whether it reads a moment's `epochs` or `progress`, and not its epoch alone.

        Then trials of different lengths have no epoch in common (docs/sharing.md).
        """
        return False

    def check(self, config: Any) -> None:
        """Refuse images without a label where the loss needs one."""
        if config.unlabelled and not self.label_free:
            raise ConfigError(
                f"objective {self.kind!r} needs labels, and data.labelled={config.data.labelled:g} "
                "takes some away; give teacher.epochs for pseudo-labels, or use objective trades, "
                "or dat with consistency"
            )

    def at(self, moment: Moment, attack: Attack, noise: torch.Generator) -> Self:
        """Return the objective as it is at a moment of a training; most are always the same.

        An objective that looks around the images reads the radius from the moment's attack and
        draws from `noise` alone. It is also called by itself, and must work then too.
        """
        return self

    @abstractmethod
    def loss(self, model: nn.Module, x: Tensor, adv: Adversarial, y: Tensor) -> Outcome:
        """Return per-sample losses; the model is in training mode and may be DDP-wrapped.

        One call makes one forward of the (possibly wrapped) model, on a concatenation where clean
        and adversarial images are both needed, so that DDP exchanges gradients once. What it asks
        of the network besides, it asks the bare one (`distributed.exchange.bare`).
        """
