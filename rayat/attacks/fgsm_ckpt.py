"""FGSM-CKPT, checkpoints along the step (Kim et al., AAAI 2021); docs/papers.md 7.1."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from rayat.attacks.ball import ball
from rayat.attacks.base import Adversarial, Attack
from rayat.attacks.losses import error
from rayat.attacks.net import input_gradient
from rayat.attacks.view import attacked
from rayat.fractions import OptionalNumber
from rayat.registry import ATTACKS


@ATTACKS.register("fgsm-ckpt")
class FGSMCkpt(Attack):
    """FGSM-RS cut short at the first of c points on its way that is misclassified.

    Costs one forward and one backward pass per sample; on the samples that are rightly classified
    up to `c - 1` forwards more, each on those still right. With `wrong_at="clean"` one forward on
    every sample comes before, and the rest is for those that it finds right.
    """

    checkpoints: int = Field(3, ge=1, description="points c on the way, its end included")
    step_size: OptionalNumber = Field(
        None, gt=0, description="pixel scale, or l2 length; null: 1.25 eps"
    )
    wrong_at: Literal["start", "clean"] = Field(
        "start",
        description="an image stays clean that is misclassified at the noisy start (the release) "
        "or as it is (the paper's rule to the letter)",
    )

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator
    ) -> Adversarial:
        """Return `x + (j / c) delta` with the smallest j that is misclassified, else `x + delta`.

        `delta` is FGSM-RS'. An image that is misclassified already (`wrong_at`) stays as it is.
        Points on the way are judged in evaluation mode, as released, whatever `bn_mode` is.
        """
        step_size = 1.25 * self.eps if self.step_size is None else self.step_size
        around = ball(x, self.eps, self.norm)
        start = around.clamp_(around.noisy(generator))  # of all: who is right moves no other's
        rows, forward = torch.arange(len(x), device=x.device), 0
        if self.wrong_at == "clean":
            rows, forward = _right(model, x, y), len(x)
        backward = len(rows)
        images, delta = x.clone(), torch.zeros_like(x)
        if len(rows):
            some = around.take(rows)
            logits, gradient = input_gradient(model, start[rows], partial(error, "ce", y[rows]))
            forward += len(rows)
            moved = start[rows].add_(some.direction(gradient), alpha=step_size)
            delta[rows] = some.clamp_(moved) - x[rows]
            if self.wrong_at == "start":
                rows = rows[logits.argmax(1) == y[rows]]
            images[rows] = x[rows] + delta[rows]
        judged = (
            attacked(model, "eval", fast=False) if self.bn_mode == "batch" else nullcontext(model)
        )
        with judged as judge:
            for number in range(1, self.checkpoints):
                if len(rows) == 0:
                    break
                points = x[rows] + number / self.checkpoints * delta[rows]
                forward += len(rows)
                right = _right(judge, points, y[rows])
                wrong = torch.ones(len(rows), dtype=torch.bool, device=x.device)
                wrong[right] = False
                images[rows[wrong]] = points[wrong]
                rows = rows[right]
        return Adversarial(images, forward, backward)


def _right(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Return the places of the images that are rightly classified."""
    with torch.no_grad():
        logits: Tensor = model(x)
    return (logits.argmax(1) == y).nonzero().squeeze(1)
