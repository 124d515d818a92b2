"""The attack contract: what goes in is left as found; what comes out is in the ball."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from rayat.registry import Part


@dataclass
class Adversarial:
    """Adversarial images and what they cost.

    Attributes:
        x: images like the input, inside the ball and the pixel box; no graph attached.
        forward: forward passes, summed over the samples of the batch.
        backward: backward passes, summed over the samples of the batch.
        info: per-sample statistics by column name (shape (B,)), such as `fosc`.
    """

    x: Tensor
    forward: int
    backward: int
    info: dict[str, Tensor] = field(default_factory=dict)


class Attack(Part):
    """Maximise the loss inside the ball around x.

    Subclasses write `perturb`; calling the attack adds the contract: the model's mode, its
    parameters' `requires_grad` and `.grad`, and its BatchNorm buffers are exactly as found.
    """

    eps: float = Field(8 / 255, ge=0, le=1, description="radius, pixel scale [0, 1]")
    norm: Literal["linf"] = Field("linf", description="the ball's norm")
    bn_mode: Literal["eval", "batch"] = Field(
        "eval", description="BatchNorm statistics during the attack (papers.md 1.7)"
    )

    @abstractmethod
    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator
    ) -> Adversarial:
        """Return adversarial images; the model is already in the attack's mode.

        Args:
            model: maps pixels in [0, 1], shape (B, C, H, W), to logits (B, classes).
            x: clean images. y: labels (B,).
            generator: the only source of randomness, on x's device.
        """

    def __call__(
        self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator
    ) -> Adversarial:
        """Run the attack under the contract. `eps = 0` returns `x` itself at no cost."""
        if self.eps == 0:
            return Adversarial(x, 0, 0)
        with self.view(model) as frozen:
            return self.perturb(frozen, x, y, generator)

    def view(self, model: nn.Module) -> AbstractContextManager[nn.Module]:
        """Return the context that gives the module to attack and leaves `model` as it was.

        An attack that differentiates a gradient overrides it with
        `attacked(model, self.bn_mode, fast=False)`.
        """
        from rayat.attacks._view import attacked

        return attacked(model, self.bn_mode)
