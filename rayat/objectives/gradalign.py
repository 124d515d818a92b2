"""GradAlign (Andriushchenko and Flammarion, NeurIPS 2020); docs/papers.md 7.1."""

from __future__ import annotations

from typing import Self

import torch
from pydantic import Field, PrivateAttr
from torch import Tensor, nn
from torch.nn import functional as F

from rayat.attacks.ball import ball
from rayat.attacks.base import Adversarial, Attack, Moment, Outcome
from rayat.attacks.losses import error
from rayat.attacks.net import input_gradient
from rayat.attacks.view import attacked, settled
from rayat.distributed.exchange import bare
from rayat.objectives.base import Objective
from rayat.registry import OBJECTIVES


@OBJECTIVES.register("gradalign")
class GradAlign(Objective):
    """Cross-entropy on the adversarial images, and input gradients that agree inside the ball.

    Costs three forward and four backward passes per sample: the clean image's gradient, that of a
    random point of the attack's ball, which is differentiated once more, and the adversarial pass.
    By itself it compares with the adversarial image instead of a random point.
    """

    strength: float = Field(0.2, ge=0, description="lambda: weight of 1 - cosine")

    _attack: Attack | None = PrivateAttr(None)
    _noise: torch.Generator | None = PrivateAttr(None)

    def at(self, moment: Moment, attack: Attack, noise: torch.Generator) -> Self:
        """Return the objective that looks around within the attack's radius, norm and mode."""
        now = self.model_copy()
        now._attack, now._noise = attack, noise
        return now

    def loss(self, model: nn.Module, x: Tensor, adv: Adversarial, y: Tensor) -> Outcome:
        """Return `CE(x') + strength * (1 - cos(grad CE(x), grad CE(x + noise)))` per sample.

        The first gradient is a constant: one of the two is enough to align both.
        """
        network, attack = bare(model), self._attack
        bn_mode = "eval" if attack is None else attack.bn_mode
        other = adv.x.detach()
        if attack is not None and self._noise is not None:
            other = ball(x, attack.eps, attack.norm).noisy(self._noise)
        with attacked(network, bn_mode) as frozen:
            _, here = input_gradient(frozen, x, lambda logits: error("ce", y, logits))
        with settled(network, bn_mode):
            leaf = other.requires_grad_(True)
            total = F.cross_entropy(network(leaf), y, reduction="sum")
            (there,) = torch.autograd.grad(total, leaf, create_graph=True)
        cosine = F.cosine_similarity(here.flatten(1), there.flatten(1))
        logits = model(adv.x)
        plain = F.cross_entropy(logits, y, reduction="none")
        return Outcome(
            loss=plain + self.strength * (1 - cosine),
            adv_logits=logits,
            clean_logits=logits if adv.x is x else None,
            forward=3 * len(x),
            backward=4 * len(x),
        )
