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
from rayat.objectives.mart import mart_loss


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
    """Cross-entropy of the adversarial image: `p' - target`, or the loss times that."""

    label_smoothing: float = 0.0
    weighted: bool = False
    clean: bool = False

    def gradients(self, logits: tuple[Tensor, ...], y: Tensor) -> tuple[Tensor, ...]:
        """Return the gradient with respect to the adversarial logits."""
        (adversarial,) = logits
        target = _target(y, adversarial, self.label_smoothing)
        gradient = adversarial.softmax(1) - target
        if self.weighted:  # by each loss' own value, held constant
            gradient = gradient * -(target * adversarial.log_softmax(1)).sum(1, keepdim=True)
        return (gradient,)


@dataclass(frozen=True)
class WithClean:
    """`CE(x') + weight * CE(x)`."""

    weight: float
    label_smoothing: float = 0.0
    clean: bool = True

    def gradients(self, logits: tuple[Tensor, ...], y: Tensor) -> tuple[Tensor, ...]:
        """Return the gradients with respect to the clean and the adversarial logits."""
        clean, adversarial = logits
        target = _target(y, clean, self.label_smoothing)
        return self.weight * (clean.softmax(1) - target), adversarial.softmax(1) - target


@dataclass(frozen=True)
class Trades:
    """`CE(x) + beta * KL(p || p')`."""

    beta: float
    label_smoothing: float = 0.0
    clean: bool = True

    def gradients(self, logits: tuple[Tensor, ...], y: Tensor) -> tuple[Tensor, ...]:
        """Return the gradients with respect to the clean and the adversarial logits."""
        clean, adversarial = logits
        log_p, log_q = clean.log_softmax(1), adversarial.log_softmax(1)
        p, q = log_p.exp(), log_q.exp()
        ratio = log_p - log_q
        divergence = (p * ratio).sum(1, keepdim=True)
        # beta once: ACS multiplies by it twice (docs/papers.md 5.8, item 5).
        target = _target(y, clean, self.label_smoothing)
        return p - target + self.beta * p * (ratio - divergence), self.beta * (q - p)


@dataclass(frozen=True)
class Mart:
    """`-log p'_y - log(1 - max_{k != y} p'_k) + beta * KL(p || p') * (1 - p_y)`, by autograd."""

    beta: float
    clean: bool = True

    def gradients(self, logits: tuple[Tensor, ...], y: Tensor) -> tuple[Tensor, ...]:
        """Return the gradients with respect to the clean and the adversarial logits."""
        leaves = [z.detach().requires_grad_(True) for z in logits]
        with torch.enable_grad():
            loss = mart_loss(leaves[0], leaves[1], y, self.beta).sum()
            return torch.autograd.grad(loss, leaves)


CLOSED_FORMS: dict[str, Callable[[Any], LogitLoss]] = {
    "madry": lambda objective: CrossEntropy(objective.label_smoothing, objective.weighted),
    "dat": lambda objective: WithClean(objective.clean_weight, objective.label_smoothing),
    "trades": lambda objective: Trades(objective.beta, objective.label_smoothing),
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
            f"objective {objective.kind!r} gives no gradient with respect to logits, by which "
            f"{pruner} pruning selects; use objective {', '.join(CLOSED_FORMS)}, or pruning random"
        )
    return CLOSED_FORMS[objective.kind](objective)


def _target(y: Tensor, logits: Tensor, smoothing: float) -> Tensor:
    target = F.one_hot(y, logits.shape[1]).to(logits.dtype)
    return (1 - smoothing) * target + smoothing / logits.shape[1]
