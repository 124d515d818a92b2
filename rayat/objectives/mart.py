"""MART (Wang et al., ICLR 2020); docs/papers.md 7.1."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from rayat.attacks.base import Adversarial, Outcome
from rayat.objectives._logits import both, divergence
from rayat.objectives.base import Objective
from rayat.registry import OBJECTIVES


@OBJECTIVES.register("mart")
class Mart(Objective):
    """Boosted cross-entropy on the adversarial images; agreement where the clean one is wrong.

    `-log p'_y - log(1 - max_{k != y} p'_k) + beta * KL(p || p') * (1 - p_y)`. Costs two forward and
    two backward passes per sample.
    """

    beta: float = Field(5.0, ge=0, description="weight of KL(p || p') * (1 - p_y)")

    def loss(self, model: nn.Module, x: Tensor, adv: Adversarial, y: Tensor) -> Outcome:
        """Return the loss of each pair of images."""
        clean, adversarial, passes = both(model, x, adv)
        loss = mart_loss(clean, adversarial, y, self.beta)
        return Outcome(loss, adversarial, clean, forward=passes, backward=passes)


def mart_loss(clean: Tensor, adversarial: Tensor, y: Tensor, beta: float) -> Tensor:
    """Return the per-sample losses (B,) of logits (B, classes) and labels y (B,).

    Finite however sure the network is: no probability is subtracted from 1 on the way to a log.
    """
    log_p, log_q = clean.log_softmax(1), adversarial.log_softmax(1)
    column = y[:, None]
    rival = adversarial.scatter(1, column, -torch.inf).argmax(1, keepdim=True)
    # log(1 - q_rival) as a sum of the others: no cancellation where q_rival is near 1.
    others = log_q.scatter(1, rival, -torch.inf).logsumexp(1)
    boosted = -log_q.gather(1, column).squeeze(1) - others
    doubt = 1 - log_p.gather(1, column).squeeze(1).exp()
    return boosted + beta * divergence(clean, adversarial) * doubt
