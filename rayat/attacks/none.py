"""No attack: standard training, the control of every robust method."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rayat.attacks.base import Adversarial, Attack
from rayat.registry import ATTACKS


@ATTACKS.register("none")
class NoAttack(Attack):
    """Standard training: the clean image itself, at no cost.

    `eps` moves nothing in training; it is the radius at which the model is evaluated.
    """

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator
    ) -> Adversarial:
        """Return `x` itself."""
        return Adversarial(x, forward=0, backward=0)
