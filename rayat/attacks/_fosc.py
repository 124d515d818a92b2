"""How far an attack is from a stationary point: FOSC (docs/papers.md 4.2)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from rayat.attacks.ball import Norm

Form = Literal["ball", "box"]
"""The set of the maximum: the ball alone, as in the paper, or cut with the pixel box [0, 1]."""


def fosc(
    x: Tensor, gradient: Tensor, centre: Tensor, eps: float, norm: Norm, form: Form = "ball"
) -> Tensor:
    """Return `max over z in the set of <z - x, g>` per sample, shape (B,).

    In the ball this is `eps * |g| - <x - centre, g>` in the dual norm (l1 for linf, l2 for l2). It
    is 0 where no first-order step helps, and at most `2 eps |g|`; rounding may leave a negative
    value near 0. A NaN in a gradient gives NaN.

    Args:
        x: images (B, C, H, W) in the set. gradient: of each image's own loss, not of a mean.
        centre: of the balls. eps: their radius: pixel scale, or l2 length.
        form: `box` is exact for linf balls cut with [0, 1] and never larger; not known for l2.
    """
    if form == "box":
        up, down = (centre + eps).clamp_(max=1) - x, (centre - eps).clamp_(min=0) - x
        return (torch.where(gradient > 0, up, down) * gradient).sum((1, 2, 3))
    inner = (x - centre) * gradient
    if norm == "l2":
        length: Tensor = torch.linalg.vector_norm(gradient, dim=(1, 2, 3))
        return eps * length - inner.sum((1, 2, 3))
    # Term by term, each at least 0: two large sums would cancel near the corners.
    return (gradient.abs() * eps - inner).sum((1, 2, 3))
