"""FGSM-SDI, one step from a learned start (Jia et al., IEEE TIP 2022); docs/papers.md 6."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from rayat.attacks._starter import Starter
from rayat.attacks.ball import Norm
from rayat.attacks.base import Adversarial, Attack, Setting
from rayat.attacks.losses import error
from rayat.attacks.net import input_gradient
from rayat.columns import START_AGREEMENT, START_SIZE, Column
from rayat.registry import ATTACKS


@ATTACKS.register("fgsm-sdi")
class FGSMSDI(Attack):
    """One step of length eps from where a generator, trained against the network, says.

    Costs two forward and two backward passes per sample, and two of each more in a step that
    trains the generator, besides the generator's own. By itself it starts where a generator that
    was never trained says.
    """

    columns: ClassVar[tuple[Column, ...]] = (START_SIZE, START_AGREEMENT)
    norms: ClassVar[tuple[Norm, ...]] = ("linf",)

    width: int = Field(64, ge=1, description="channels of the generator")
    every: int = Field(20, ge=1, description="steps between updates of the generator")
    q: float = Field(
        1.0, gt=0, le=1, description="mass of the true class in the generator's loss; 1: plain"
    )
    clip: bool = Field(True, description="clip to the pixel box; false: as released")

    def remember(self, setting: Setting) -> Starter:
        """Return a generator before its first step."""
        return Starter(setting, self.width)

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator
    ) -> Adversarial:
        """Return `x + clip(eta + eps * sign(grad at x + eta))`, after an update if one is due."""
        starter = self._memory
        if starter is None:
            _, *shape = x.shape
            starter = self.remember(Setting((shape[0], shape[1], shape[2]), 0, len(x), 0, x.device))
        _, gradient = input_gradient(model, x, lambda logits: error("ce", y, logits))
        sign, passes = gradient.sign(), len(x)
        now = self._moment
        if self._memory is not None and now and now.step is not None and now.step % self.every == 0:
            starter.net.train()
            with torch.enable_grad():
                images = self._images(model, x, y, starter.eta(x, sign, self.eps))
            _, gradient = input_gradient(
                model, images.detach(), lambda logits: logits.softmax(1) - smooth(y, self.q, logits)
            )
            starter.climb(images, gradient / len(x))
            starter.net.eval()
            passes += 2 * len(x)
        with torch.no_grad():
            eta = starter.eta(x, sign, self.eps)
            images = self._images(model, x, y, eta)
        passes += len(x)
        info = {
            "start_size": eta.abs().mean((1, 2, 3)) / self.eps,
            "start_agreement": (eta.sign() == sign).float().mean((1, 2, 3)),
        }
        return Adversarial(images, passes, passes, info, steps=len(x))

    def _images(self, model: nn.Module, x: Tensor, y: Tensor, eta: Tensor) -> Tensor:
        """Return the step from `x + eta`; one forward and one backward pass per sample.

        Differentiable in eta: the sign is a constant, so where it agrees with eta's the clip to
        the ball lets no gradient through (docs/papers.md 6.2).
        """
        start = self._boxed(x + eta.detach())
        _, gradient = input_gradient(model, start, lambda logits: error("ce", y, logits))
        delta = (eta + self.eps * gradient.sign()).clamp(-self.eps, self.eps)
        return self._boxed(x + delta)

    def _boxed(self, images: Tensor) -> Tensor:
        return images.clamp(0, 1) if self.clip else images


def smooth(y: Tensor, q: float, logits: Tensor) -> Tensor:
    """Return targets (B, classes): q for the label, the rest shared equally by the others."""
    target = torch.full_like(logits, (1 - q) / (logits.shape[1] - 1))
    return target.scatter_(1, y[:, None], q)
