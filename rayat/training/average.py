"""A mean of the weights of a training, which is validated and kept in their place."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rayat.config import WeightsConfig

Tensors = tuple[Tensor, ...] | list[Tensor]


class Average:
    """The mean network: of steps (`ema`) or of epochs' ends (`swa`).

    BatchNorm's running statistics are averaged as the weights are, which costs no pass.

    Args:
        weights: `average` is not `none`. model: the bare network, before its first step.

    Attributes:
        network: the mean; the first network as long as `count` is 0. count: what was averaged.
    """

    def __init__(self, weights: WeightsConfig, model: nn.Module) -> None:
        from torch.optim.swa_utils import AveragedModel

        self.weights = weights
        self._mean = AveragedModel(model, multi_avg_fn=self._update, use_buffers=True)
        self.network: nn.Module = self._mean.module

    @property
    def count(self) -> int:
        """Return how many networks the mean is of."""
        return int(self._mean.n_averaged)

    @count.setter
    def count(self, value: int) -> None:
        self._mean.n_averaged.fill_(value)

    def after_step(self, model: nn.Module, progress: float) -> None:
        """Take in the weights after an update; `progress` in (0, 1]."""
        if self.weights.average == "ema" and progress > self.weights.averages_after:
            self._mean.update_parameters(model)

    def after_epoch(self, model: nn.Module, progress: float) -> None:
        """Take in the weights at the end of an epoch that trained."""
        if self.weights.average == "swa" and progress > self.weights.averages_after:
            self._mean.update_parameters(model)

    @torch.no_grad()
    def _update(self, mean: Tensors, new: Tensors, count: Tensor | int) -> None:
        """Move tensors of one type towards the new ones; `count` were averaged before."""
        n = int(count)
        if not mean[0].is_floating_point():  # BatchNorm's number of batches
            torch._foreach_copy_(mean, new)
        elif self.weights.average == "swa":
            torch._foreach_lerp_(mean, new, 1 / (n + 1))
        else:
            # Early on the mean follows: a slow one would be of the first weights alone.
            torch._foreach_lerp_(mean, new, 1 - min(self.weights.decay, (1 + n) / (10 + n)))
