"""Early-stopped PGD of friendly adversarial training (Zhang et al., ICML 2020, Algorithm 1)."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from rayat.attacks._iterated import Iterated
from rayat.attacks.ascent import Probe
from rayat.attacks.base import Adversarial
from rayat.registry import ATTACKS


@ATTACKS.register("pgd-early")
class PGDEarly(Iterated):
    """PGD in which a sample stops `tau` steps after it is first misclassified.

    Costs at most K forward and K backward passes per sample; a sample that has stopped leaves the
    batch and costs nothing more.

    Source: Zhang et al., Attacks Which Do Not Kill Training Make Adversarial Learning Stronger,
    ICML 2020; zjfheart/Friendly-Adversarial-Training:earlystop.py.
    """

    tau: int = Field(0, ge=0, description="steps still taken while misclassified")

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator
    ) -> Adversarial:
        """Return, of every sample, the iterate at which it stopped or the last one."""
        left = torch.full((len(x),), self.tau, device=x.device)

        def keep(probe: Probe) -> Tensor:
            left[probe.rows] -= (probe.logits.argmax(1) != probe.y).long()
            return left[probe.rows] >= 0

        return self.climb(model, x, y, generator, keep)
