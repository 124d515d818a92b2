"""What objectives of clean and adversarial logits have in common."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rayat.attacks.base import Adversarial


def both(model: nn.Module, x: Tensor, adv: Adversarial) -> tuple[Tensor, Tensor, int]:
    """Return the clean and the adversarial logits (B, classes), and the forward passes they took.

    One call of the model, on both batches at once: DDP exchanges gradients once, and BatchNorm
    normalises clean and adversarial images by their common statistics. Where the attack returned
    `x` itself the images pass once, and both logits are the same tensor.

    Logits are float32 or wider: a divergence of close distributions is lost in bf16.
    """
    if adv.x is x:
        logits = wide(model(x))
        return logits, logits, len(x)
    logits = wide(model(torch.cat([x, adv.x])))
    return logits[: len(x)], logits[len(x) :], 2 * len(x)


def wide(logits: Tensor) -> Tensor:
    """Return the logits in float32 or wider."""
    return logits.float() if logits.dtype.itemsize < 4 else logits


def cross_entropy(logits: Tensor, y: Tensor, label_smoothing: float) -> Tensor:
    """Return the cross-entropy (B,), 0 for an image without a label (`y` -1)."""
    return F.cross_entropy(
        logits, y, reduction="none", label_smoothing=label_smoothing, ignore_index=-1
    )


def divergence(clean: Tensor, adversarial: Tensor) -> Tensor:
    """Return `KL(p || p')` (B,) of the two softmaxes; the gradient reaches both."""
    log_p, log_q = clean.log_softmax(1), adversarial.log_softmax(1)
    return F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(1)
