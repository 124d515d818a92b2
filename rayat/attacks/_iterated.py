"""What all attacks of several steps have in common: their parameters, start and loss."""

from __future__ import annotations

from typing import Any, Literal, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from rayat.attacks.ascent import Keep, ascend
from rayat.attacks.ball import ball
from rayat.attacks.base import Adversarial, Attack
from rayat.attacks.losses import Loss
from rayat.errors import ConfigError
from rayat.fractions import OptionalNumber

GAUSSIAN_START = 0.001
"""Standard deviation of the start of TRADES and MART (docs/papers.md 7.1)."""


class Iterated(Attack):
    """Projected gradient ascent with K steps; subclasses say who stops when."""

    steps: int = Field(10, ge=1, description="most gradient steps K")
    step_size: OptionalNumber = Field(
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

    def check(self, config: Any) -> None:
        """Refuse to climb the divergence from the clean image, where its gradient is zero."""
        super().check(config)
        if not self.random_start and (self.loss or config.objective.inner) == "kl":
            raise ConfigError(
                "attack.random_start=false with loss kl moves nothing: the divergence from the "
                "clean prediction is flat at the clean image; use 'gaussian' or true, or another "
                f"attack.loss (null is what objective {config.objective.kind!r} asks for)"
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
        clean: Tensor | None = None,
        look: bool = False,
        clip: bool = True,
    ) -> Adversarial:
        """Return the last iterate of every sample.

        Costs one forward and one backward pass per sample and step; `kl` one forward more.

        Args:
            keep, look: who goes on, and whether that is asked after the last step too (`ascend`).
            clip: cut the start with the ball and the box before its gradient.
            clean: probabilities (B, classes) of `x` if they are known, which saves `kl` its pass.
        """
        around = ball(x, self.eps, self.norm)
        if self.random_start == "gaussian":
            noise = torch.empty(x.shape, dtype=x.dtype, device=x.device)
            start = x + noise.normal_(0, GAUSSIAN_START, generator=generator)
        else:
            start = around.noisy(generator) if self.random_start else x.clone()
        extra = 0
        if self.loss != "kl":
            clean = None
        elif clean is None:
            with torch.no_grad():
                clean = model(x).to(x.dtype).softmax(1)
            extra = len(x)
        step_size = self.eps / 4 if self.step_size is None else self.step_size
        loss = self.loss or "ce"
        adv = ascend(model, start, y, around, step_size, self.steps, keep, loss, clean, look, clip)
        adv.forward += extra
        return adv
