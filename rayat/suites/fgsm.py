"""FGSM (Goodfellow et al., ICLR 2015): too weak to trust, strong enough to unmask."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rayat.attacks.ball import ball
from rayat.registry import SUITES
from rayat.suites._ascent import Climb
from rayat.suites.base import Passes, Suite, Survey


@SUITES.register("fgsm")
class FGSM(Suite):
    """One step of length eps from the clean image: weaker than PGD, to unmask gradients.

    Costs three forward and one backward pass per image that resists; deterministic.
    """

    @property
    def label(self) -> str:
        """Return `fgsm`."""
        return self.kind

    def most(self, classes: int) -> tuple[int, int]:
        """Return the look at the image, the step's pass and the look at its end."""
        return 3, 1

    def survivors(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        eps: float,
        generator: torch.Generator,
        passes: Passes,
    ) -> Survey:
        """Return the images that are still rightly classified after the step."""
        climb = Climb(model, "ce", y)
        robust = climb.run(x.clone(), ball(x, eps, self.norm or "linf"), eps, 1, passes)
        return Survey(robust, climb.broken, climb.flat)
