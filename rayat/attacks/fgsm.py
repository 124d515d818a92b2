"""FGSM, the one-step attack of Goodfellow et al. (ICLR 2015); docs/papers.md 1.2."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rayat.attacks.ascent import ascend
from rayat.attacks.ball import ball
from rayat.attacks.base import Adversarial, Attack
from rayat.registry import ATTACKS


@ATTACKS.register("fgsm")
class FGSM(Attack):
    """One step of length eps from the clean image.

    Costs one forward and one backward pass per sample; deterministic, the generator is not used.
    """

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator
    ) -> Adversarial:
        """Return `clip(x + eps * sign(grad))`."""
        return ascend(model, x.clone(), y, ball(x, self.eps, self.norm), self.eps, 1)
