"""FGSM-RS, "fast is better than free" (Wong et al., ICLR 2020); docs/papers.md 7.1."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from rayat.attacks.ascent import ascend
from rayat.attacks.ball import ball
from rayat.attacks.base import Adversarial, Attack
from rayat.fractions import OptionalNumber
from rayat.registry import ATTACKS


@ATTACKS.register("fgsm-rs")
class FGSMRS(Attack):
    """One long step from a random point of the ball, clipped back into the ball.

    Costs one forward and one backward pass per sample.
    """

    step_size: OptionalNumber = Field(
        None, gt=0, description="pixel scale, or l2 length; null: 1.25 eps"
    )

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator
    ) -> Adversarial:
        """Return `clip(x + noise + step_size * sign(grad at x + noise))`."""
        step_size = 1.25 * self.eps if self.step_size is None else self.step_size
        around = ball(x, self.eps, self.norm)
        return ascend(model, around.noisy(generator), y, around, step_size, 1)
