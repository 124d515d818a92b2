"""What the suites of gradient steps have in common: steps, restarts, who is left."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from rayat.attacks.ascent import Probe, ascend
from rayat.attacks.ball import Ball, ball
from rayat.attacks.losses import Loss
from rayat.suites.base import Passes, Suite, Survey, finite, vanishes

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

    def most(self, classes: int) -> tuple[int, int]:
        """Return those of every step of every restart, and a look at each restart's end."""
        return 1 + self.restarts * (self.steps + 1), self.restarts * self.steps

    def survivors(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        eps: float,
        generator: torch.Generator,
        passes: Passes,
    ) -> Survey:
        """Return the images that no restart misclassified."""
        around, left = ball(x, eps, self.norm or "linf"), torch.arange(len(y), device=y.device)
        broken = torch.zeros_like(y, dtype=torch.bool)
        flat = torch.ones_like(broken)
        for _ in range(self.restarts):
            some = around.take(left)
            start, size = some.noisy(generator), eps * self.step
            climb = Climb(model, self.loss, y[left])
            alive = climb.run(start, some, size, self.steps, passes)
            broken[left] |= climb.broken
            flat[left] &= climb.flat
            left = left[alive]
            if len(left) == 0:
                break
        robust = torch.zeros_like(broken)
        robust[left] = True
        return Survey(robust, broken, flat)


class Climb:
    """One walk of a batch uphill, and what was met on it.

    Attributes:
        broken, flat: as in `Survey`, of this walk's images.
    """

    def __init__(self, model: nn.Module, loss: Loss, y: Tensor) -> None:
        self.model, self.loss, self.y = model, loss, y
        self.broken = torch.zeros_like(y, dtype=torch.bool)
        self.flat = torch.zeros_like(self.broken)
        self._fooled = torch.zeros_like(self.broken)

    def run(self, start: Tensor, around: Ball, size: float, steps: int, passes: Passes) -> Tensor:
        """Take the steps and return bool (B,): whether no point on the way was misclassified.

        Args:
            start: first images, overwritten. around: the set to stay in. size: of a step.
            passes: what is added to.
        """
        adv = ascend(self.model, start, self.y, around, size, steps, self._keep, self.loss)
        passes.forward += adv.forward + len(start)  # the last iterate is looked at once more
        passes.backward += adv.backward
        rows = torch.arange(len(start), device=start.device)
        self._look(rows, self.model(adv.x), self.y)
        return ~self._fooled

    def _keep(self, probe: Probe) -> Tensor:
        """Stop a sample where it is first misclassified: it moves no more."""
        right = self._look(probe.rows, probe.logits, probe.y, probe.gradient)
        if probe.step == 0:
            none = probe.gradient.flatten(1).abs().amax(1) == 0
            if self.loss == "ce":
                none |= vanishes(probe.logits, probe.y)
            self.flat[probe.rows] = none & right
        return right

    def _look(
        self, rows: Tensor, logits: Tensor, y: Tensor, gradient: Tensor | None = None
    ) -> Tensor:
        known = finite(logits)
        self._fooled[rows] |= known & (logits.argmax(1) != y)
        sound = known if gradient is None else known & finite(gradient)
        right = ~self._fooled[rows]
        self.broken[rows] |= right & ~sound
        return right
