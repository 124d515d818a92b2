"""BulletTrain: attack steps where they matter (Hua et al., NeurIPS 2021); docs/papers.md 5.5."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from rayat.attacks._iterated import Iterated
from rayat.attacks.base import Adversarial, Learner, Memory, Setting
from rayat.fractions import OptionalNumber
from rayat.registry import ATTACKS


class RobustShare:
    """The running estimate R of the share of robust samples, equal on all workers.

    Attributes:
        value: float64 scalar in [0, 1] on the trial's device; 0 at first.
    """

    def __init__(self, setting: Setting) -> None:
        self.value = torch.zeros((), dtype=torch.float64, device=setting.device)
        self._average = setting.average

    def update(self, right: Tensor, momentum: float, discount: float) -> None:
        """Take in one batch: `R <- momentum R + (1 - momentum) discount * mean(right)`.

        Args:
            right: bool (B,), whether each image is still classified rightly under attack.
        """
        share = right.double().mean()
        self._average([share])
        self.value = momentum * self.value + (1 - momentum) * discount * share

    def state_dict(self) -> dict[str, Any]:
        """Return the estimate as a number."""
        return {"robust": float(self.value)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.value.fill_(state["robust"])


@ATTACKS.register("bullet-train")
class BulletTrain(Iterated):
    """PGD with many steps near the decision boundary, few far from it, and none for outliers.

    Groups by signed prediction variance s, the standard deviation of the clean probabilities, with
    a minus where the prediction is wrong. Outlier: s < 0, the clean image is trained on. Robust:
    above `max(0, quantile(s, 1 - R))`. Boundary: the rest, `steps` steps of `step_size`.
    R is a running estimate of the share of samples still right under attack, discounted; it is 0
    at first and where the attack is called by itself: then no sample is robust.

    Costs one forward pass for the groups, and each sample the steps of its group.
    """

    robust_steps: int = Field(2, ge=1, description="gradient steps of robust samples")
    robust_step_size: OptionalNumber = Field(
        None, gt=0, description="their step size, pixel scale or l2 length; null: 3 eps / 4"
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="of the running share R")
    discount: float = Field(0.8, ge=0, le=1, description="gamma: share of the still right in R")

    def remember(self, setting: Setting) -> Memory:
        """Return R = 0."""
        return RobustShare(setting)

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator
    ) -> Adversarial:
        """Return the attacked boundary and robust samples among the clean outliers."""
        with torch.no_grad():
            clean = model(x).to(x.dtype).softmax(1)
        boundary, robust = self.groups(clean, y)
        adv = Adversarial(x.clone(), forward=len(x), backward=0, steps=0)
        size = 3 * self.eps / 4 if self.robust_step_size is None else self.robust_step_size
        few = self.model_copy(update={"steps": self.robust_steps, "step_size": size})
        for attack, members in ((self, boundary), (few, robust)):
            rows = members.nonzero().squeeze(1)
            if len(rows) == 0:
                continue
            part = attack.climb(model, x[rows], y[rows], generator, clean=clean[rows])
            adv.x[rows] = part.x
            adv.forward += part.forward
            adv.backward += part.backward
        adv.steps = adv.backward
        return adv

    def groups(self, clean: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return who is a boundary sample and who a robust one, bool (B,) each; others: outliers.

        Args:
            clean: probabilities (B, classes) of the clean images. y: labels (B,).
        """
        right = clean.argmax(1) == y
        spread = clean.double().std(1, correction=0)
        signed = torch.where(right, spread, -spread)
        share = 0.0 if self._memory is None else self._memory.value
        limit = torch.quantile(signed, 1 - torch.as_tensor(share).to(signed)).clamp_min(0)
        robust = signed > limit
        return (signed >= 0) & ~robust, robust

    def step(self, learner: Learner, x: Tensor, y: Tensor) -> None:
        """Train on one batch and learn from it how many samples are robust."""
        outcome = learner.learn(x, learner.attack(self, x, y), y)
        if self._memory is not None:
            right = outcome.adv_logits.detach().argmax(1) == y
            self._memory.update(right, self.momentum, self.discount)
