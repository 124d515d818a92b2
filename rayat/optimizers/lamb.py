"""LAMB: Adam whose steps are as long as the layer's norm says."""

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


class LAMBOptimizer(LayerwiseOptimizer):
    """u = m / (sqrt v + eps) + weight_decay * theta, without bias correction."""

    def directions(
        self, group: dict[str, Any], weights: list[Tensor], gradients: list[Tensor]
    ) -> list[Tensor]:
        """Return Adam's directions with decay."""
        mean, square = self.memory(weights, "mean"), self.memory(weights, "square")
        torch._foreach_lerp_(mean, gradients, 1 - group["beta1"])
        torch._foreach_mul_(square, group["beta2"])
        torch._foreach_addcmul_(square, gradients, gradients, value=1 - group["beta2"])
        root = torch._foreach_sqrt(square)
        torch._foreach_add_(root, group["eps"])
        directions = list(torch._foreach_div(mean, root))
        torch._foreach_add_(directions, weights, alpha=group["weight_decay"])
        return directions


@OPTIMIZERS.register("lamb")
class LAMB(Optimizer):
    """Adam's direction, each layer's step as long as `lr` times its norm: DAT's LALR.

    Source: docs/papers.md 3.4, which is You et al., Large batch optimization for deep learning
    (ICLR 2020), without bias correction.
    """

    weight_decay: float = Field(1e-4, ge=0, description="added to the direction; 3.4")
    beta1: float = Field(0.9, ge=0, lt=1, description="decay of the mean gradient; 3.4")
    beta2: float = Field(0.999, ge=0, lt=1, description="decay of the mean squared gradient; 3.4")
    eps: float = Field(1e-6, gt=0, description="added to the root of the mean square; 3.4")
    limit: float = Field(10.0, gt=0, description="c_u: a larger norm counts as this; 3.4")

    def make(self, parameters: Iterable[nn.Parameter], lr: float) -> TorchOptimizer:
        """Return the optimiser; a rate of 0.01 moves a layer by a hundredth of its norm."""
        defaults = {
            "lr": lr,
            "beta1": self.beta1,
            "beta2": self.beta2,
            "eps": self.eps,
            "limit": self.limit,
        }
        return eager(LAMBOptimizer)(self.groups(parameters), defaults)
