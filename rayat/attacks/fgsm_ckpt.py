"""FGSM-CKPT, checkpoints along the step (Kim et al., AAAI 2021); docs/papers.md 7.1."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from rayat.attacks._ball import ball
from rayat.attacks._loop import ascend
from rayat.attacks.base import Adversarial, Attack
from rayat.fractions import OptionalNumber
from rayat.registry import ATTACKS


@ATTACKS.register("fgsm-ckpt")
class FGSMCkpt(Attack):
    """FGSM-RS cut short at the first of c points on its way that is misclassified.

    Costs one forward pass on every sample; on the samples that this finds rightly classified one
    forward and one backward more, and up to `c - 1` forwards, each on those still right.
    """

    checkpoints: int = Field(3, ge=1, description="points c on the way, its end included")
    step_size: OptionalNumber = Field(
        None, gt=0, description="pixel scale, or l2 length; null: 1.25 eps"
    )

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator
    ) -> Adversarial:
        """Return `x + (j / c) delta` with the smallest j that is misclassified, else `x + delta`.

        `delta` is FGSM-RS', and j begins at 0: an image that is misclassified stays as it is.
        """
        step_size = 1.25 * self.eps if self.step_size is None else self.step_size
        around = ball(x, self.eps, self.norm)
        start = around.noisy(generator)  # of all samples: who is right moves no other's noise
        rows = _right(model, x, y)
        images, forward, backward = x.clone(), len(x), 0
        if len(rows):
            adv = ascend(model, start[rows], y[rows], around.take(rows), step_size, 1)
            forward, backward = forward + adv.forward, adv.backward
            images[rows] = adv.x
            delta = images - x
        for number in range(1, self.checkpoints):
            if len(rows) == 0:
                break
            points = x[rows] + number / self.checkpoints * delta[rows]
            forward += len(rows)
            right = _right(model, points, y[rows])
            wrong = torch.ones(len(rows), dtype=torch.bool, device=x.device)
            wrong[right] = False
            images[rows[wrong]] = points[wrong]
            rows = rows[right]
        return Adversarial(images, forward, backward)


def _right(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Return the places of the images that are rightly classified."""
    with torch.no_grad():
        logits: Tensor = model(x)
    return (logits.argmax(1) == y).nonzero().squeeze(1)
