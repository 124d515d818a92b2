"""What an attack maximises: a loss of the logits, known by its gradient with respect to them."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Loss = Literal["ce", "kl", "cw"]
"""Cross-entropy; KL(p || p') to the clean prediction p (TRADES); margin (Carlini and Wagner)."""


def error(loss: Loss, target: Tensor, logits: Tensor) -> Tensor:
    """Return the gradient of the summed loss with respect to the logits, shape (B, classes).

    Args:
        loss: `ce`: -log p'_y. `kl`: sum_k p_k log(p_k / p'_k). `cw`: max_{k != y} z'_k - z'_y.
        target: labels (B,) for `ce` and `cw`; clean probabilities (B, classes) for `kl`.
        logits: (B, classes) of the attacked images, float32 or wider.
    """
    if loss == "kl":
        return logits.softmax(1) - target
    column = target[:, None]
    if loss == "ce":
        return logits.softmax(1).scatter_add_(1, column, torch.full_like(logits[:, :1], -1))
    rival = logits.scatter(1, column, float("-inf")).argmax(1, keepdim=True)
    one = torch.ones_like(logits[:, :1])
    return torch.zeros_like(logits).scatter_(1, rival, one).scatter_(1, column, -one)
