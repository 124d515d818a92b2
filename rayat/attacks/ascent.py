"""The ascent core that every iterated attack is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from rayat.attacks.ball import Ball
from rayat.attacks.base import Adversarial
from rayat.attacks.losses import Loss, error
from rayat.attacks.net import input_gradient

COMPACT_BELOW = 0.75
"""Share of moving samples at which the others leave the batch: a mask alone saves nothing, and
gathering the batch costs about one elementwise pass."""


@dataclass
class Probe:
    """What is known of the b samples that are still computed, before their next step.

    Attributes:
        step: steps taken so far, 0 at first.
        rows: (b,) places of the samples in the attack's batch.
        x: their images, not to be written to. y: labels (b,). logits: (b, classes) at x.
        gradient: of each image's loss with respect to it, like x.
        ball: the set of these images.
    """

    step: int
    rows: Tensor
    x: Tensor
    y: Tensor
    logits: Tensor
    gradient: Tensor
    ball: Ball


Keep = Callable[[Probe], Tensor]
"""Tells, per sample of a probe, whether it goes on: bool (b,). A sample told to stop never moves
again, and what is answered for it afterwards does not count."""


def ascend(
    model: nn.Module,
    start: Tensor,
    y: Tensor,
    ball: Ball,
    step_size: float,
    steps: int,
    keep: Keep | None = None,
    loss: Loss = "ce",
    clean: Tensor | None = None,
    look: bool = False,
    clip: bool = True,
) -> Adversarial:
    """Return the end of the steps `x' <- clip(x' + step_size * direction)` (docs/papers.md 1.2).

    The direction is that of the gradient of the loss, summed over the samples, with respect to the
    images alone: its sign, or in l2 the gradient at length 1. Each step is one forward and one
    backward pass per sample. A NaN gradient moves nothing: a network that has diverged shows in its
    loss, not in its adversarial images.

    With `keep` a sample stops where it says so. Stopped samples leave the batch once they are a
    quarter of it; until then they are masked, and their passes are counted, because they were made.
    Where images do not meet in the network (BatchNorm in evaluation mode) leaving changes nothing.
    Without it the images report `grad_l1`, the l1 norm of the last step's gradient.

    Args:
        model: frozen (see `view.attacked`); maps (B, C, H, W) to logits (B, classes).
        start: first images, overwritten; clipped here (`clip`). y: labels (B,).
        ball: where the images may be.
        step_size: pixel scale [0, 1]. steps: number of steps, 0 gives the clipped start.
        keep: asked before every step; None: all samples take all steps. It waits for the device.
        loss: what is maximised. clean: probabilities (B, classes) of the clean images, for `kl`.
        clip: cut the start with the ball and the box, and not only what the steps lead to.
        look: ask `keep` once more after the last step: a pass of the samples that still move.
    """
    x = ball.clamp_(start.detach()) if clip else start.detach()
    whole, passes, taken = x, 0, 0
    info: dict[str, Tensor] = {}
    target = y if clean is None else clean
    rows = torch.arange(len(x), device=x.device) if keep is not None else None
    moving: Tensor | None = None
    for step in range(steps + look):
        logits, gradient = input_gradient(model, x, partial(error, loss, target))
        passes += len(x)
        count = len(x)
        if keep is not None and rows is not None:
            going = keep(Probe(step, rows, x, y, logits, gradient, ball))
            moving = going if moving is None else moving & going
            count = int(moving.sum())
        elif step == steps - 1:
            info["grad_l1"] = gradient.abs().sum((1, 2, 3))
        if count == 0 or step == steps:
            break
        direction = ball.direction(gradient)
        if moving is not None and count < len(x):
            direction *= moving.view(-1, 1, 1, 1)
        taken += count
        ball.clamp_(x.add_(direction, alpha=step_size))
        if moving is not None and rows is not None and count <= COMPACT_BELOW * len(x):
            if x is not whole:
                whole.index_copy_(0, rows, x)
            left = moving.nonzero().squeeze(1)
            rows, x, y, target, ball = rows[left], x[left], y[left], target[left], ball.take(left)
            moving = None
    if x is not whole and rows is not None:
        whole.index_copy_(0, rows, x)
    return Adversarial(whole, forward=passes, backward=passes, info=info, steps=taken)
