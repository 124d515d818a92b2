"""The ascent core that every gradient-sign attack is made of."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def bounds(x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Return the lowest and highest image of the l-infinity ball cut with the pixel box [0, 1]."""
    return (x - eps).clamp_(min=0), (x + eps).clamp_(max=1)


def noisy(x: Tensor, eps: float, generator: torch.Generator) -> Tensor:
    """Return `x + U(-eps, eps)`, not yet clipped.

    The noise is drawn in (B, C, H, W) order whatever x's memory format, so that channels-last is a
    matter of speed and not of results.
    """
    noise = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    return x + noise.uniform_(-eps, eps, generator=generator)


def ascend(
    model: nn.Module,
    start: Tensor,
    y: Tensor,
    lower: Tensor,
    upper: Tensor,
    step_size: float,
    steps: int,
) -> Tensor:
    """Return the end of `steps` steps `x' <- clip(x' + step_size * sign(grad))` (papers.md 1.2).

    The gradient is that of the cross-entropy summed over the samples, with respect to the images
    alone; each step is one forward and one backward pass per sample. A NaN gradient moves nothing
    (its sign is 0): a network that has diverged shows in its loss, not in its adversarial images.

    Args:
        model: frozen (see `_view.attacked`); maps (B, C, H, W) to logits (B, classes).
        start: first images, overwritten; clipped here before the first step. y: labels (B,).
        lower, upper: bounds of the images, shaped like them.
        step_size: pixel scale [0, 1]. steps: number of steps, 0 gives the clipped start.
    """
    x = start.detach().clamp_(lower, upper)
    direction = torch.empty_like(x)
    for _ in range(steps):
        x.requires_grad_(True)
        with torch.enable_grad():
            loss = F.cross_entropy(model(x), y, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, x)
        x = x.detach()
        # Into a buffer of our own: autograd may hand out an expanded view, which cannot be written.
        torch.sign(gradient, out=direction)
        x.add_(direction, alpha=step_size).clamp_(lower, upper)
    return x
