"""Gradients of per-sample losses with respect to logits; docs/papers.md 5.2.

Everything that a selector needs to know of an objective is here. An objective that is not in
`CLOSED_FORMS` takes part by a method `logit_loss()` that returns a `LogitLoss`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from rayat.errors import ConfigError
from rayat.objectives.base import Objective


class LogitLoss(Protocol):
    """A per-sample loss that depends on the network by its logits alone.

    Attributes:
        clean: whether the loss also reads the logits of the clean image.
    """

    @property
    def clean(self) -> bool:
        """Return whether the clean logits are read."""
        ...

    def gradients(self, logits: tuple[Tensor, ...], y: Tensor) -> tuple[Tensor, ...]:
        """Return d loss_i / d logits_i, shaped like `logits`.

        Args:
            logits: of the adversarial images (N, classes), after those of the clean ones if `clean`
                is set. y: labels (N,).
        """
        ...


@dataclass(frozen=True)
class CrossEntropy:
    """Cross-entropy of the adversarial image: `p' - target`."""

    label_smoothing: float = 0.0
    clean: bool = False

    def gradients(self, logits: tuple[Tensor, ...], y: Tensor) -> tuple[Tensor, ...]:
        """Return the gradient with respect to the adversarial logits."""
        (adversarial,) = logits
        target = _onehot(y, adversarial)
        smooth = (1 - self.label_smoothing) * target + self.label_smoothing / target.shape[1]
        return (adversarial.softmax(1) - smooth,)


@dataclass(frozen=True)
class Trades:
    """`CE(x) + beta * KL(p || p')`."""

    beta: float
    clean: bool = True

    def gradients(self, logits: tuple[Tensor, ...], y: Tensor) -> tuple[Tensor, ...]:
        """Return the gradients with respect to the clean and the adversarial logits."""
        clean, adversarial = logits
        log_p, log_q = clean.log_softmax(1), adversarial.log_softmax(1)
        p, q = log_p.exp(), log_q.exp()
        ratio = log_p - log_q
        divergence = (p * ratio).sum(1, keepdim=True)
        # beta once: ACS multiplies by it twice (docs/papers.md 5.8, item 5).
        first = p - _onehot(y, clean) + self.beta * p * (ratio - divergence)
        return first, self.beta * (q - p)


@dataclass(frozen=True)
class Mart:
    """`-log p'_y - log(1 - max_{k != y} p'_k) + beta * KL(p || p') * (1 - p_y)`, by autograd."""

    beta: float
    clean: bool = True

    def gradients(self, logits: tuple[Tensor, ...], y: Tensor) -> tuple[Tensor, ...]:
        """Return the gradients with respect to the clean and the adversarial logits."""
        leaves = [z.detach().requires_grad_(True) for z in logits]
        with torch.enable_grad():
            loss = self.loss(leaves[0], leaves[1], y).sum()
            return torch.autograd.grad(loss, leaves)

    def loss(self, clean: Tensor, adversarial: Tensor, y: Tensor) -> Tensor:
        """Return the per-sample losses (N,)."""
        log_p, log_q = clean.log_softmax(1), adversarial.log_softmax(1)
        here = _onehot(y, clean).bool()
        rival = adversarial.masked_fill(here, -torch.inf).argmax(1)
        # log(1 - q_rival) as a sum of the others: no cancellation where q_rival is near 1.
        others = log_q.masked_fill(_onehot(rival, clean).bool(), -torch.inf).logsumexp(1)
        divergence = (log_p.exp() * (log_p - log_q)).sum(1)
        return -log_q[here] - others + self.beta * divergence * (1 - log_p[here].exp())


CLOSED_FORMS: dict[str, Callable[[Any], LogitLoss]] = {
    "madry": lambda objective: CrossEntropy(objective.label_smoothing),
    "trades": lambda objective: Trades(objective.beta),
    "mart": lambda objective: Mart(objective.beta),
}


def logit_loss(objective: Objective, pruner: str = "this") -> LogitLoss:
    """Return the objective as a loss of logits; `pruner` is who asks.

    Raises:
        ConfigError: the objective gives none; the text names those that do.
    """
    make = getattr(objective, "logit_loss", None)
    if make is not None:
        own: LogitLoss = make()
        return own
    if objective.kind not in CLOSED_FORMS:
        raise ConfigError(
            f"objective {objective.kind!r} gives no gradient with respect to logits, which "
            f"{pruner} pruning selects by; use objective {', '.join(CLOSED_FORMS)}, "
            "or pruning random"
        )
    return CLOSED_FORMS[objective.kind](objective)


def _onehot(y: Tensor, logits: Tensor) -> Tensor:
    return F.one_hot(y, logits.shape[1]).to(logits.dtype)
