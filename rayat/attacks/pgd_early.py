"""Early-stopped PGD of friendly adversarial training (Zhang et al., ICML 2020, Algorithm 1)."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from rayat.attacks._loop import Probe, ascend, bounds, noisy
from rayat.attacks.base import Adversarial, Attack
from rayat.registry import ATTACKS


@ATTACKS.register("pgd-early")
class PGDEarly(Attack):
    """PGD in which a sample stops `tau` steps after it is first misclassified.

    Costs at most K forward and K backward passes per sample; a sample that has stopped leaves the
    batch and costs nothing more.

    Source: Zhang et al., Attacks Which Do Not Kill Training Make Adversarial Learning Stronger,
    ICML 2020; zjfheart/Friendly-Adversarial-Training:earlystop.py.
    """

    steps: int = Field(10, ge=1, description="most gradient steps K")
    step_size: float | None = Field(None, gt=0, le=1, description="pixel scale; null: eps / 4")
    random_start: bool = Field(True, description="start from U(-eps, eps) around x, else from x")
    tau: int = Field(0, ge=0, description="steps still taken while misclassified")

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator
    ) -> Adversarial:
        """Return, of every sample, the iterate at which it stopped or the last one."""
        start = noisy(x, self.eps, generator) if self.random_start else x.clone()
        step_size = self.eps / 4 if self.step_size is None else self.step_size
        left = torch.full((len(x),), self.tau, device=x.device)

        def keep(probe: Probe) -> Tensor:
            left[probe.rows] -= (probe.logits.argmax(1) != probe.y).long()
            return left[probe.rows] >= 0

        return ascend(model, start, y, *bounds(x, self.eps), step_size, self.steps, keep)
