"""The objective of adversarial training (Madry et al., ICLR 2018); docs/papers.md 1.1."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from rayat.attacks.base import Adversarial
from rayat.objectives.base import Objective, Outcome
from rayat.registry import OBJECTIVES


@OBJECTIVES.register("madry")
class Madry(Objective):
    """Cross-entropy on the adversarial images.

    Costs one forward and one backward pass per sample.
    """

    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share spread over all classes")

    def loss(self, model: nn.Module, x: Tensor, adv: Adversarial, y: Tensor) -> Outcome:
        """Return the cross-entropy of each adversarial image.

        Where the attack returned `x` itself (no attack, or radius 0) the pass was a clean one, and
        its logits are given as such.
        """
        logits = model(adv.x)
        return Outcome(
            loss=F.cross_entropy(logits, y, reduction="none", label_smoothing=self.label_smoothing),
            adv_logits=logits,
            clean_logits=logits if adv.x is x else None,
            forward=len(x),
            backward=len(x),
        )
