"""The ascent core that every gradient-sign attack is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rayat.attacks._net import cross_entropy_gradient
from rayat.attacks.base import Adversarial

COMPACT_BELOW = 0.75
"""Share of moving samples at which the others leave the batch: a mask alone saves nothing, and
gathering the batch costs about one elementwise pass."""


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


@dataclass
class Probe:
    """What is known of the b samples that are still computed, before their next step.

    Attributes:
        step: steps taken so far, 0 at first.
        rows: (b,) places of the samples in the attack's batch.
        x: their images, not to be written to. y: labels (b,). logits: (b, classes) at x.
        gradient: of the cross-entropy of each image with respect to it, like x.
    """

    step: int
    rows: Tensor
    x: Tensor
    y: Tensor
    logits: Tensor
    gradient: Tensor


Keep = Callable[[Probe], Tensor]
"""Tells, per sample of a probe, whether it goes on: bool (b,). A sample told to stop never moves
again, and what is answered for it afterwards does not count."""


def ascend(
    model: nn.Module,
    start: Tensor,
    y: Tensor,
    lower: Tensor,
    upper: Tensor,
    step_size: float,
    steps: int,
    keep: Keep | None = None,
) -> Adversarial:
    """Return the end of `steps` steps `x' <- clip(x' + step_size * sign(grad))` (papers.md 1.2).

    The gradient is that of the cross-entropy summed over the samples, with respect to the images
    alone; each step is one forward and one backward pass per sample. A NaN gradient moves nothing
    (its sign is 0): a network that has diverged shows in its loss, not in its adversarial images.

    With `keep` a sample stops where it says so. Stopped samples leave the batch once they are a
    quarter of it; until then they are masked, and their passes are counted, because they were made.
    Where images do not meet in the network (BatchNorm in evaluation mode) leaving changes nothing.

    Args:
        model: frozen (see `_view.attacked`); maps (B, C, H, W) to logits (B, classes).
        start: first images, overwritten; clipped here before the first step. y: labels (B,).
        lower, upper: bounds of the images, shaped like them.
        step_size: pixel scale [0, 1]. steps: number of steps, 0 gives the clipped start.
        keep: asked before every step; None: all samples take all steps. It waits for the device.
    """
    x = start.detach().clamp_(lower, upper)
    whole, passes = x, 0
    rows = torch.arange(len(x), device=x.device) if keep is not None else None
    moving: Tensor | None = None
    for step in range(steps):
        logits, gradient = cross_entropy_gradient(model, x, y)
        passes += len(x)
        direction = gradient.sign()
        if keep is not None and rows is not None:
            going = keep(Probe(step, rows, x, y, logits, gradient))
            moving = going if moving is None else moving & going
            count = int(moving.sum())
            if count == 0:
                break
            if count < len(x):
                direction *= moving.view(-1, 1, 1, 1)
        x.add_(direction, alpha=step_size).clamp_(lower, upper)
        if moving is not None and rows is not None and count <= COMPACT_BELOW * len(x):
            if x is not whole:
                whole.index_copy_(0, rows, x)
            left = moving.nonzero().squeeze(1)
            rows, x, y, lower, upper = (part[left] for part in (rows, x, y, lower, upper))
            moving = None
    if x is not whole and rows is not None:
        whole.index_copy_(0, rows, x)
    return Adversarial(whole, forward=passes, backward=passes)
