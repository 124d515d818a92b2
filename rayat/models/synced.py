"""BatchNorm whose batch is that of all workers together.

torch's own `SyncBatchNorm` refuses CPU tensors.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from rayat.errors import ConfigError


class SyncedNorm(nn.BatchNorm2d):
    """`BatchNorm2d` with the statistics of all workers' batches, which must be equally large.

    Only where running statistics move, which is in training: an attack exchanges nothing, whatever
    its `bn_mode`. A training pass sends each layer's mean and variance forward and their gradients
    backward, 16 bytes a channel.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C, H, W) per channel over the images of all workers."""
        if not (self.training and self.track_running_stats):
            return super().forward(x)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        wide = x.float()
        mean: Tensor = _Mean.apply(wide.mean((0, 2, 3)))
        centred = wide - mean[:, None, None]
        variance: Tensor = _Mean.apply(centred.square().mean((0, 2, 3)))
        with torch.no_grad():
            count = x.numel() // x.shape[1] * dist.get_world_size()
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        scale = torch.rsqrt(variance + self.eps) * self.weight
        return torch.addcmul(self.bias[:, None, None], centred, scale[:, None, None]).to(x.dtype)


class _Mean(torch.autograd.Function):
    """The mean over the workers, differentiable: every worker's value is in every worker's mean."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return _mean(value)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _mean(gradient)


def _mean(value: Tensor) -> Tensor:
    total = value.clone()
    dist.all_reduce(total)
    return total.div_(dist.get_world_size())


def synchronise(model: nn.Module) -> None:
    """Let the model's BatchNorm layers share their batches, in place; names and weights stay.

    Raises:
        ConfigError: a layer is a BatchNorm of another kind, or has no weights or statistics.
    """
    for name, module in model.named_modules():
        if isinstance(module, _BatchNorm):
            if type(module) is not nn.BatchNorm2d or module.momentum is None or not module.affine:
                raise ConfigError(
                    f"batch_norm='sync' knows plain BatchNorm2d layers, but {name} is "
                    f"{module}; use batch_norm='mean' or 'local'"
                )
            # The same module of another class: optimisers and hooks that know it still do.
            module.__class__ = SyncedNorm
