"""What the suites of gradient steps have in common: steps, restarts, who is left."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from rayat.attacks._losses import Loss
from rayat.registry import ATTACKS
from rayat.suites.base import Passes, Suite

STEP = 1 / 8


class Ascent(Suite):
    """K gradient steps from each of some random points; subclasses name the loss.

    An image is lost at the first iterate that is misclassified and then moves no more
    (docs/papers.md 1.2); a restart attacks only what the earlier ones left.
    """

    shorthand: ClassVar[str | None] = "steps"
    loss: ClassVar[Loss]

    steps: int = Field(20, ge=1, description="most gradient steps K per restart")
    restarts: int = Field(1, ge=1, description="random starts")
    step: float = Field(STEP, gt=0, description="length of a step as a share of eps")

    @property
    def label(self) -> str:
        """Return such as `pgd-50x3`; a step of another length is named too."""
        restarts = f"x{self.restarts}" if self.restarts > 1 else ""
        step = f"-step{self.step:g}" if self.step != STEP else ""
        return f"{self.kind}-{self.steps}{restarts}{step}"

    def survivors(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        eps: float,
        generator: torch.Generator,
        passes: Passes,
    ) -> Tensor:
        """Return the images that no restart misclassified."""
        attack = ATTACKS.build(
            {
                "name": "pgd-early",  # stops a sample where it is first misclassified
                "eps": eps,
                "norm": self.norm or "linf",
                "steps": self.steps,
                "step_size": eps * self.step,
                "loss": self.loss,
            }
        )
        left = torch.arange(len(y), device=y.device)
        for _ in range(self.restarts):
            adv = attack(model, x[left], y[left], generator)
            passes.forward += adv.forward + len(left)  # the last iterate is looked at once more
            passes.backward += adv.backward
            left = left[model(adv.x).argmax(1) == y[left]]
            if len(left) == 0:
                break
        survivors = torch.zeros_like(y, dtype=torch.bool)
        survivors[left] = True
        return survivors
