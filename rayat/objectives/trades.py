"""TRADES (Zhang et al., ICML 2019); docs/papers.md 7.1."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn

from rayat.attacks.base import Adversarial, Outcome
from rayat.objectives._logits import both, cross_entropy, divergence
from rayat.objectives.base import Objective
from rayat.registry import OBJECTIVES


@OBJECTIVES.register("trades")
class Trades(Objective):
    """Cross-entropy on the clean images, and agreement of clean and adversarial predictions.

    `CE(x) + beta * KL(p || p')`, for an image without a label only the second term. Costs two
    forward and two backward passes per sample; attacks that name no loss maximise the divergence
    too, which is one forward more.
    """

    inner: ClassVar[str] = "kl"

    beta: float = Field(6.0, ge=0, description="weight of KL(p || p'); 1/lambda in the paper")
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="share of the clean target spread over all classes"
    )

    @property
    def label_free(self) -> bool:
        """Return True unless `beta` is 0: the divergence needs no label."""
        return self.beta > 0

    def loss(self, model: nn.Module, x: Tensor, adv: Adversarial, y: Tensor) -> Outcome:
        """Return the loss of each pair of images; the gradient reaches both sides of the KL."""
        clean, adversarial, passes = both(model, x, adv)
        natural = cross_entropy(clean, y, self.label_smoothing)
        loss = natural + self.beta * divergence(clean, adversarial)
        return Outcome(loss, adversarial, clean, forward=passes, backward=passes)
