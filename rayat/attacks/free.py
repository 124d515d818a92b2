"""Free adversarial training (Shafahi et al., NeurIPS 2019); docs/papers.md 7.1."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from rayat.attacks.ascent import ascend
from rayat.attacks.ball import ball
from rayat.attacks.base import Adversarial, Attack, Learner, Setting
from rayat.errors import ConfigError
from rayat.registry import ATTACKS


class Slots:
    """One perturbation for each place of a batch, kept from batch to batch.

    Attributes:
        delta: (B, C, H, W), zero at first.
    """

    def __init__(self, delta: Tensor) -> None:
        self.delta = delta

    def state_dict(self) -> dict[str, Tensor]:
        """Return the perturbations."""
        return {"delta": self.delta}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take them back."""
        self.delta.copy_(state["delta"])


@ATTACKS.register("free")
class Free(Attack):
    """m updates on each batch, whose own backward passes also move the perturbation.

    A training step costs m forward and m backward passes per sample, all of the objective. By
    itself, as in a selection, the attack is one step of length eps from the clean image.
    """

    replays: int = Field(8, ge=1, description="updates m on each batch")
    box: Literal["shown", "stored"] = Field(
        "shown", description="what is cut with the pixel box: the images shown, or what is kept"
    )

    def check(self, config: Any) -> None:
        """Refuse several workers: the perturbations of each would have to be saved."""
        if config.workers > 1:
            raise ConfigError(
                f"attack 'free' keeps a perturbation for every place of the batch, which only one "
                f"worker can resume, got workers={config.workers}; use workers=1 or attack fgsm-rs"
            )

    def remember(self, setting: Setting) -> Slots:
        """Return perturbations of zero."""
        return Slots(torch.zeros(setting.batch, *setting.shape, device=setting.device))

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator
    ) -> Adversarial:
        """Return FGSM's images."""
        return ascend(model, x.clone(), y, ball(x, self.eps, self.norm), self.eps, 1)

    def step(self, learner: Learner, x: Tensor, y: Tensor) -> None:
        """Update the weights `replays` times, and the perturbation with the same gradients.

        With `box: shown` (ashafahi/free_adv_train) the perturbation is kept within the ball alone,
        so that a place's next image inherits nothing of this one's pixel box; the box is applied to
        the images inside the step, and where it cuts a pixel that pixel has no gradient, so its
        perturbation stays as it is until a place's image has another value there.

        With `box: stored` (locuslab/fast_adversarial, train_free.py) the perturbation is cut with
        its own image's box after each step, and the images shown are the plain sum: the first ones
        of a batch may leave the box by up to eps.
        """
        around = ball(x, self.eps, self.norm)
        delta = torch.zeros_like(x) if self._memory is None else self._memory.delta[: len(x)]
        for _ in range(self.replays):
            noisy = x + delta
            shown = noisy.clamp(0, 1) if self.box == "shown" else noisy
            images = shown.detach().requires_grad_(True)
            learner.learn(x, Adversarial(images, 0, 0, steps=len(x)), y)
            assert images.grad is not None
            gradient = images.grad * (noisy == images.detach())
            around.shorten_(delta.add_(around.direction(gradient), alpha=self.eps))
            if self.box == "stored":
                delta.clamp_(-x, 1 - x)
