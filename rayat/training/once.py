"""Adversarial images made once, before the training, and kept: the released AccelAT.

The examples do not follow the network, so this is no min-max training (docs/papers.md 2.6).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rayat.attacks.base import Adversarial, Moment
from rayat.config import TrialConfig
from rayat.data.base import Arrays
from rayat.data.loader import eval_batches
from rayat.training.streams import stream
from rayat.training.training_attack import TrainingAttack


@dataclass(frozen=True)
class Fixed:
    """The adversarial image of every row of the training split, and what they cost.

    Attributes:
        images: float32 (N, C, H, W) in [0, 1], on the trial's device.
        forward, backward, steps: of making them, summed over the images.
    """

    images: Tensor
    forward: int
    backward: int
    steps: int

    def take(self, rows: Tensor) -> Adversarial:
        """Return the images of some rows, at no cost: the first epoch has paid for all."""
        images = self.images[rows].contiguous(memory_format=torch.channels_last)
        return Adversarial(images, 0, 0, steps=0)


def make(
    config: TrialConfig,
    train: Arrays,
    model: nn.Module,
    inner: TrainingAttack,
    device: torch.device | str,
) -> Fixed:
    """Attack every training image against the network before its first step.

    A pure function of the configuration and the data, so that a resumed trial makes the same.
    """
    attack = inner.at(Moment(1, config.epochs, 1 / config.epochs))
    noise = stream(config.seed, "attack", 0, device=device)
    kind = torch.device(device).type
    parts = []
    with torch.autocast(kind, torch.bfloat16, enabled=config.precision == "bf16"):
        for x, y in eval_batches(train, config.batch_size, device):
            parts.append(attack(model, x, y, noise))
    return Fixed(
        torch.cat([part.x for part in parts]),
        sum(part.forward for part in parts),
        sum(part.backward for part in parts),
        sum(part.backward if part.steps is None else part.steps for part in parts),
    )
