"""N-FGSM, noisy single-step training (de Jorge et al., NeurIPS 2022); docs/papers.md 7.1."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from rayat.attacks.ball import ball
from rayat.attacks.base import Adversarial, Attack
from rayat.attacks.losses import error
from rayat.attacks.net import input_gradient
from rayat.fractions import OptionalNumber
from rayat.registry import ATTACKS


@ATTACKS.register("n-fgsm")
class NFGSM(Attack):
    """One step of length eps from strong noise around the image, not projected into the ball.

    Costs one forward and one backward pass per sample. The images are within `(k + 1) eps` of
    theirs: outside of the ball, and that is the method.
    """

    k: float = Field(2.0, ge=0, description="radius of the noise in units of eps")
    step_size: OptionalNumber = Field(
        None, gt=0, description="pixel scale, or l2 length; null: eps"
    )
    clip: bool = Field(False, description="project into the eps-ball after the step")

    @property
    def reach(self) -> float:
        """Return eps if projected, else that of the noise and the step together."""
        return self.eps if self.clip else self.k * self.eps + self._length

    @property
    def _length(self) -> float:
        return self.eps if self.step_size is None else self.step_size

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator
    ) -> Adversarial:
        """Return `noisy + step_size * sign(grad at noisy)`, noisy = x + U(-k eps, k eps), clipped.

        Clipped to the pixel box twice, as released: the noisy image before its gradient is taken
        and before the step, and the result.
        """
        noisy = ball(x, self.k * self.eps, self.norm).noisy(generator).clamp_(0, 1)
        _, gradient = input_gradient(model, noisy, lambda logits: error("ce", y, logits))
        around = ball(x, self.eps, self.norm)
        moved = noisy.add_(around.direction(gradient), alpha=self._length)
        return Adversarial(
            around.clamp_(moved) if self.clip else moved.clamp_(0, 1), len(x), len(x)
        )
