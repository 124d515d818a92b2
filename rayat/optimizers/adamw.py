"""Adam with decoupled weight decay."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from pydantic import Field
from torch import nn
from torch.optim import Optimizer as TorchOptimizer

from rayat.optimizers.base import Optimizer, can_fuse
from rayat.optimizers.eager import eager
from rayat.registry import OPTIMIZERS


@OPTIMIZERS.register("adamw")
class AdamW(Optimizer):
    """AdamW: the decay shrinks weights by `lr * weight_decay` and never meets the moments.

    Source: Loshchilov and Hutter, Decoupled Weight Decay Regularization, ICLR 2019.
    """

    beta1: float = Field(0.9, ge=0, lt=1, description="decay of the mean gradient")
    beta2: float = Field(0.999, ge=0, lt=1, description="decay of the mean squared gradient")
    eps: float = Field(1e-8, gt=0, description="added to the root of the mean squared gradient")

    def make(self, parameters: Iterable[nn.Parameter], lr: float) -> TorchOptimizer:
        """Return `torch.optim.AdamW`, fused where torch can."""
        groups = self.groups(parameters)
        return eager(torch.optim.AdamW)(
            groups, lr=lr, betas=(self.beta1, self.beta2), eps=self.eps, fused=can_fuse(groups)
        )
