"""Stochastic gradient descent with momentum: the optimiser of most adversarial training."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import torch
from pydantic import Field, model_validator
from torch import nn
from torch.optim import Optimizer as TorchOptimizer

from rayat.optimizers.base import Optimizer, can_fuse
from rayat.optimizers.eager import eager
from rayat.registry import OPTIMIZERS


@OPTIMIZERS.register("sgd")
class SGD(Optimizer):
    """SGD with Nesterov momentum and an L2 penalty.

    Raises:
        ConfigError: Nesterov without momentum.
    """

    momentum: float = Field(0.9, ge=0, lt=1)
    nesterov: bool = True

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> Self:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs momentum above 0, got momentum=0; set nesterov=False")
        return self

    def make(self, parameters: Iterable[nn.Parameter], lr: float) -> TorchOptimizer:
        """Return `torch.optim.SGD`, fused where torch can (one kernel instead of five a weight)."""
        groups = self.groups(parameters)
        return eager(torch.optim.SGD)(
            groups,
            lr=lr,
            momentum=self.momentum,
            nesterov=self.nesterov,
            fused=can_fuse(groups),
        )
