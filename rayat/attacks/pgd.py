"""PGD-K, the attack of Madry et al. (ICLR 2018); docs/papers.md 1.2."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rayat.attacks._iterated import Iterated
from rayat.attacks.base import Adversarial
from rayat.registry import ATTACKS


@ATTACKS.register("pgd")
class PGD(Iterated):
    """Projected gradient ascent: K steps from a random point of the ball.

    Costs K forward and K backward passes per sample. One start; restarts belong to evaluation
    suites.
    """

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator
    ) -> Adversarial:
        """Return the last iterate of every sample."""
        return self.climb(model, x, y, generator)
