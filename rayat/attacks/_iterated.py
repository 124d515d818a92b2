"""What all attacks of several steps have in common: their parameters, start and loss."""

from __future__ import annotations

from typing import Literal, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from rayat.attacks._ball import ball
from rayat.attacks._loop import Keep, ascend
from rayat.attacks._losses import Loss
from rayat.attacks.base import Adversarial, Attack

GAUSSIAN_START = 0.001
"""Standard deviation of the start of TRADES and MART (docs/papers.md 7.1)."""


class Iterated(Attack):
    """Projected gradient ascent with K steps; subclasses say who stops when."""

    steps: int = Field(10, ge=1, description="most gradient steps K")
    step_size: float | None = Field(
        None, gt=0, description="pixel scale, or l2 length; null: eps / 4"
    )
    random_start: bool | Literal["gaussian"] = Field(
        True, description="start uniformly in the ball; gaussian: x + 0.001 N(0, 1); false: from x"
    )
    loss: Loss | None = Field(
        None,
        description="what is maximised: ce, kl (to the clean prediction), cw (margin); "
        "null: what the objective asks for",
    )

    def suited(self, loss: str) -> Self:
        """Return the attack with the objective's loss where it names none."""
        return self if self.loss is not None else self.replace(loss=loss)

    def climb(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        generator: torch.Generator,
        keep: Keep | None = None,
    ) -> Adversarial:
        """Return the last iterate of every sample.

        Costs one forward and one backward pass per sample and step; `kl` one forward more.
        """
        around = ball(x, self.eps, self.norm)
        if self.random_start == "gaussian":
            noise = torch.empty(x.shape, dtype=x.dtype, device=x.device)
            start = x + noise.normal_(0, GAUSSIAN_START, generator=generator)
        else:
            start = around.noisy(generator) if self.random_start else x.clone()
        clean = None
        if self.loss == "kl":
            with torch.no_grad():
                clean = model(x).to(x.dtype).softmax(1)
        step_size = self.eps / 4 if self.step_size is None else self.step_size
        adv = ascend(model, start, y, around, step_size, self.steps, keep, self.loss or "ce", clean)
        adv.forward += 0 if clean is None else len(x)
        return adv
