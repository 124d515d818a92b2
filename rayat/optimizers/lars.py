"""LARS: momentum whose steps are as long as the layer's norm says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer as TorchOptimizer

from rayat.optimizers._lalr import LayerwiseOptimizer
from rayat.optimizers.base import Optimizer
from rayat.optimizers.eager import eager
from rayat.registry import OPTIMIZERS


class LARSOptimizer(LayerwiseOptimizer):
    """u = momentum (g + weight_decay * theta)."""

    def directions(
        self, group: dict[str, Any], weights: list[Tensor], gradients: list[Tensor]
    ) -> list[Tensor]:
        """Return the velocities."""
        velocity = self.memory(weights, "velocity")
        decayed = torch._foreach_add(gradients, weights, alpha=group["weight_decay"])
        torch._foreach_mul_(velocity, group["momentum"])
        torch._foreach_add_(velocity, decayed)
        return [v.clone() for v in velocity]


@OPTIMIZERS.register("lars")
class LARS(Optimizer):
    """Momentum, each layer's step as long as `lr` times its norm, for large batches.

    Source: You et al., Large batch training of convolutional networks, 2017, in the form of DAT's
    LALR (docs/papers.md 3.4): the velocity, decay included, is what is rescaled.
    """

    weight_decay: float = Field(1e-4, ge=0, description="L2 penalty; docs/papers.md 3.4")
    momentum: float = Field(0.9, ge=0, lt=1)
    limit: float = Field(10.0, gt=0, description="c_u: a larger norm counts as this; 3.4")

    def make(self, parameters: Iterable[nn.Parameter], lr: float) -> TorchOptimizer:
        """Return the optimiser; a rate of 0.01 moves a layer by a hundredth of its norm."""
        defaults = {"lr": lr, "momentum": self.momentum, "limit": self.limit}
        return eager(LARSOptimizer)(self.groups(parameters), defaults)
