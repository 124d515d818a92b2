"""The optimiser contract: a part that makes a `torch.optim.Optimizer`."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, Literal

from pydantic import Field
from torch import nn
from torch.optim import Optimizer as TorchOptimizer

from rayat.registry import Part


class Optimizer(Part):
    """How weights move; the rate itself comes from the LR shape at every step."""

    weight_decay: float = Field(5e-4, ge=0, description="L2 penalty (sgd) or decoupled (adamw)")
    decay_norms: bool = Field(
        True, description="decay norms and biases too, as the papers' code does"
    )
    scaling: Literal["none", "linear", "sqrt"] = Field(
        "none", description="how the rate follows batch_size / base_batch"
    )
    base_batch: int = Field(128, ge=1, description="global batch for which the rate was chosen")

    @abstractmethod
    def make(self, parameters: Iterable[nn.Parameter], lr: float) -> TorchOptimizer:
        """Return the optimiser over `parameters` with starting rate `lr`."""

    def scale(self, batch_size: int) -> float:
        """Return the factor of the shape's rate for a global batch of `batch_size` images.

        Linear: Goyal et al., Accurate, large minibatch SGD, 2017; square root: Krizhevsky, One
        weird trick for parallelizing convolutional neural networks, 2014. Their warm-up is
        `lr.warmup`. The factor multiplies the whole curve, its floor too: the rule scales the rate
        whatever the schedule makes of it, and the ratio of peak and floor is the shape.
        """
        ratio = batch_size / self.base_batch
        return {"none": 1.0, "linear": ratio, "sqrt": math.sqrt(ratio)}[self.scaling]

    def groups(self, parameters: Iterable[nn.Parameter]) -> list[dict[str, Any]]:
        """Return torch's parameter groups: the decayed ones, then those that are spared if any."""
        weights = list(parameters)
        # Norms' scales and all biases are the parameters of one dimension.
        spared = [] if self.decay_norms else [p for p in weights if p.ndim <= 1]
        kept = weights if self.decay_norms else [p for p in weights if p.ndim > 1]
        groups = [{"params": kept, "weight_decay": self.weight_decay}]
        return [*groups, {"params": spared, "weight_decay": 0.0}] if spared else groups


def can_fuse(groups: list[dict[str, Any]]) -> bool:
    """Return whether torch has a fused kernel for all of the groups' parameters."""
    return all(
        p.device.type in {"cpu", "cuda"} and p.is_floating_point()
        for group in groups
        for p in group["params"]
    )
