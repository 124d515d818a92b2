"""PGD-K, the attack of Madry et al. (ICLR 2018); papers.md 1.2."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from rayat.attacks._loop import ascend, bounds, noisy
from rayat.attacks.base import Adversarial, Attack
from rayat.registry import ATTACKS


@ATTACKS.register("pgd")
class PGD(Attack):
    """Projected gradient ascent: K sign steps from a random point of the ball.

    Costs K forward and K backward passes per sample. One start; restarts belong to evaluation
    suites.
    """

    steps: int = Field(10, ge=1, description="gradient steps K")
    step_size: float | None = Field(None, gt=0, le=1, description="pixel scale; null: eps / 4")
    random_start: bool = Field(True, description="start from U(-eps, eps) around x, else from x")

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator
    ) -> Adversarial:
        """Return the last iterate of every sample."""
        start = noisy(x, self.eps, generator) if self.random_start else x.clone()
        step_size = self.eps / 4 if self.step_size is None else self.step_size
        return ascend(model, start, y, *bounds(x, self.eps), step_size, self.steps)
