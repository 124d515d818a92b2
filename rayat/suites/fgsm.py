"""FGSM (Goodfellow et al., ICLR 2015): too weak to trust, strong enough to unmask."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rayat.registry import ATTACKS, SUITES
from rayat.suites.base import Passes, Suite


@SUITES.register("fgsm")
class FGSM(Suite):
    """One step of length eps from the clean image, for the flags: weaker than any PGD.

    Costs two forward and one backward pass per image that resists; deterministic.
    """

    @property
    def label(self) -> str:
        """Return `fgsm`."""
        return self.kind

    def survivors(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        eps: float,
        generator: torch.Generator,
        passes: Passes,
    ) -> Tensor:
        """Return the images that are still rightly classified after the step."""
        attack = ATTACKS.build({"name": "fgsm", "eps": eps, "norm": self.norm or "linf"})
        adv = attack(model, x, y, generator)
        passes.forward += adv.forward + len(y)
        passes.backward += adv.backward
        survivors: Tensor = model(adv.x).argmax(1) == y
        return survivors
