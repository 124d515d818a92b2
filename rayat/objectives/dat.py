"""The objective of distributed adversarial training (DAT; Zhang et al., UAI 2022)."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn

from rayat.attacks.base import Adversarial, Outcome
from rayat.objectives._logits import both, cross_entropy, divergence
from rayat.objectives.base import Objective
from rayat.registry import OBJECTIVES


@OBJECTIVES.register("dat")
class DAT(Objective):
    """Cross-entropy on the adversarial and on the clean images (docs/papers.md 3.2).

    `CE(x') + clean_weight * CE(x)`, or `consistency * KL(p || p')` for an image without a label.
    Costs two forward and two backward passes per sample.
    """

    clean_weight: float = Field(1.0, ge=0, description="lambda, the weight of CE on clean images")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share spread over all classes")

    consistency: float = Field(
        0.0, ge=0, description="weight of KL(p || p') on images without a label"
    )

    @property
    def label_free(self) -> bool:
        """Return whether images without a label weigh anything."""
        return self.consistency > 0

    def loss(self, model: nn.Module, x: Tensor, adv: Adversarial, y: Tensor) -> Outcome:
        """Return the loss of each pair of images."""
        clean, adversarial, passes = both(model, x, adv)
        natural, robust = (cross_entropy(z, y, self.label_smoothing) for z in (clean, adversarial))
        loss = robust + self.clean_weight * natural
        if self.label_free:
            loss = loss + self.consistency * divergence(clean, adversarial) * (y < 0)
        return Outcome(loss, adversarial, clean, forward=passes, backward=passes)
