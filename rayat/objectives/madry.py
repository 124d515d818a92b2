"""The objective of adversarial training (Madry et al., ICLR 2018); docs/papers.md 1.1."""

from __future__ import annotations

from typing import Literal, Self

import torch
from pydantic import Field, PrivateAttr
from torch import Tensor, nn
from torch.nn import functional as F

from rayat.attacks.base import Adversarial, Attack, Moment, Outcome
from rayat.objectives.base import Objective
from rayat.registry import OBJECTIVES


@OBJECTIVES.register("madry")
class Madry(Objective):
    """Cross-entropy on the adversarial images.

    Costs one forward and one backward pass per sample.
    """

    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share spread over all classes")
    loss_weighting: Literal["none", "self"] = Field(
        "none", description="self: each loss times its own value, held constant, from epoch 2 on"
    )

    _moment: Moment | None = PrivateAttr(None)

    @property
    def weighted(self) -> bool:
        """Return whether losses are weighted now: the first epoch's never are."""
        first = self._moment is not None and self._moment.epoch == 1
        return self.loss_weighting == "self" and not first

    def at(self, moment: Moment, attack: Attack, noise: torch.Generator) -> Self:
        """Return the objective with its weighting switched off in the first epoch."""
        if self.loss_weighting == "none":
            return self
        now = self.model_copy()
        now._moment = moment
        return now

    def loss(self, model: nn.Module, x: Tensor, adv: Adversarial, y: Tensor) -> Outcome:
        """Return the cross-entropy of each adversarial image.

        Where the attack returned `x` itself (no attack, or radius 0) the pass was a clean one, and
        its logits are given as such.
        """
        logits = model(adv.x)
        loss = F.cross_entropy(logits, y, reduction="none", label_smoothing=self.label_smoothing)
        return Outcome(
            loss=loss * loss.detach() if self.weighted else loss,
            adv_logits=logits,
            clean_logits=logits if adv.x is x else None,
            forward=len(x),
            backward=len(x),
        )
