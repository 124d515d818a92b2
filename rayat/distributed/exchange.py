"""What the workers of one trial tell each other: gradients, BatchNorm statistics, sums."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

Number = TypeVar("Number", int, float)


def bare(model: nn.Module) -> nn.Module:
    """Return the network below `Exchange.wrap`; one without a wrapper is given back itself."""
    return model.module if isinstance(model, DistributedDataParallel) else model


@dataclass(frozen=True)
class Exchange:
    """This worker's place among those of the trial; with one worker every method does nothing.

    Attributes:
        rank, world_size: the place; `torch.distributed` is initialised where world_size > 1.
        device: torch device of this worker.
    """

    rank: int = 0
    world_size: int = 1
    device: torch.device | str = "cpu"

    def wrap(self, model: nn.Module) -> nn.Module:
        """Return the module to train through: one gradient exchange per backward pass.

        Weights become rank 0's. Only training goes through the wrapper; attacks and evaluation use
        the bare `model`, so that they exchange nothing. Buffers are left to `average_norms`: DDP
        would send them at every forward pass.
        """
        if self.world_size == 1:
            return model
        known = inspect.signature(DistributedDataParallel).parameters
        # torch 2.15 renamed the switch.
        buffers = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
        options: dict[str, Any] = {buffers: False, "gradient_as_bucket_view": True}
        return DistributedDataParallel(model, **options)

    def average_norms(self, model: nn.Module) -> None:
        """Make BatchNorm's running statistics the mean over the workers; once per epoch.

        Each worker saw its own share of every batch, so their statistics differ after a step.
        """
        if self.world_size == 1:
            return
        for module in model.modules():
            if isinstance(module, _BatchNorm):
                buffers = (module.running_mean, module.running_var)
                self.average([buffer for buffer in buffers if buffer is not None])

    def average(self, tensors: list[Tensor]) -> None:
        """Make each tensor its mean over the workers, in place."""
        if self.world_size > 1:
            for tensor in tensors:
                dist.all_reduce(tensor)
                tensor.div_(self.world_size)

    def first(self, tensor: Tensor) -> Tensor:
        """Return worker 0's tensor, to every worker; all give one of the same shape and type."""
        if self.world_size > 1:
            dist.broadcast(tensor, src=0)
        return tensor

    def sums(self, values: Mapping[str, Number]) -> dict[str, Number]:
        """Return each value summed over the workers: integers exactly, floats in double precision.

        Args:
            values: all int or all float, under the same keys in the same order on every worker.
        """
        if self.world_size == 1 or not values:
            return dict(values)
        kind = type(next(iter(values.values())))
        dtype = torch.int64 if kind is int else torch.float64
        total = torch.tensor(list(values.values()), dtype=dtype, device=self.device)
        dist.all_reduce(total)
        return dict(zip(values, total.tolist(), strict=True))

    def barrier(self) -> None:
        """Wait until every worker is here."""
        self.sums({"here": 1})

    def bytes_per_step(self, model: nn.Module) -> int:
        """Return the gradient bytes that one worker sends per optimiser step.

        That of a ring all-reduce, `2 (M - 1) / M` times the gradient's size, rounded down: the
        least any all-reduce of M workers can send. The once-per-epoch sums are not counted.
        """
        size = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
        return 2 * (self.world_size - 1) * size // self.world_size
