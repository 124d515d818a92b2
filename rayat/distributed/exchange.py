"""What the workers of one trial tell each other: gradients, BatchNorm statistics, sums."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import safetensors.torch
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from rayat.distributed.eager import EagerDataParallel

if TYPE_CHECKING:
    from rayat.distributed.reducer import Reducer
    from rayat.distributed.waiting import Waiting

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

    def wrap(
        self, model: nn.Module, reducer: Reducer | None = None, waiting: Waiting | None = None
    ) -> nn.Module:
        """Return the module to train through: one gradient exchange per backward pass.

        Weights become rank 0's. Only training goes through the wrapper; attacks and evaluation use
        the bare `model`, so that they exchange nothing. Buffers are left to `settle_norms`: DDP
        would send them at every forward pass.

        Args:
            reducer: what makes the workers' gradients one; None: their mean.
            waiting: counts the time of the reducer's calls.
        """
        if self.world_size == 1:
            return model
        known = inspect.signature(DistributedDataParallel).parameters
        # torch 2.15 renamed the switch.
        buffers = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
        options: dict[str, Any] = {buffers: False, "gradient_as_bucket_view": True}
        if reducer is not None and reducer.whole:
            # A cap above the model's size: one bucket, and no smaller first one.
            size = sum(p.numel() * p.element_size() for p in model.parameters())
            options["bucket_cap_mb"] = size / 2**20 + 1
        wrapped = EagerDataParallel(model, **options)
        if reducer is not None:
            hook = (lambda r, b: r(b)) if waiting is None else waiting.hook
            # A lambda: DDP compares annotations, and ours are strings.
            wrapped.register_comm_hook(reducer, lambda reducer, bucket: hook(reducer, bucket))
        return wrapped

    def settle_norms(self, model: nn.Module, policy: Literal["mean", "local", "sync"]) -> None:
        """Make BatchNorm's running statistics the same on all workers; once per epoch.

        Each worker saw its own share of every batch, so their statistics differ after a step.

        Args:
            policy: `mean` over the workers; `local`: worker 0's; `sync`: they are the same already
                (`models/synced.py`).
        """
        if self.world_size == 1 or policy == "sync":
            return
        for module in model.modules():
            if isinstance(module, _BatchNorm):
                buffers = [b for b in (module.running_mean, module.running_var) if b is not None]
                if policy == "mean":
                    self.average(buffers)
                else:
                    for buffer in buffers:
                        dist.broadcast(buffer, src=0)

    def average(self, tensors: list[Tensor]) -> None:
        """Make each tensor its mean over the workers, in place: the same bits on each of them."""
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

    def largest(self, value: float) -> float:
        """Return the largest of the workers' values."""
        if self.world_size == 1:
            return value
        most = torch.tensor(value, dtype=torch.float64, device=self.device)
        dist.all_reduce(most, op=dist.ReduceOp.MAX)
        return most.item()

    def barrier(self) -> None:
        """Wait until every worker is here."""
        self.sums({"here": 1})

    def gather(self, message: Tensor) -> Tensor:
        """Return everyone's message, (M, n), of this worker's, (n,); n is the same on all."""
        gathered = message.new_empty(self.world_size, message.numel())
        # The list form: gloo and NCCL both have it in every release.
        dist.all_gather(list(gathered), message)
        return gathered

    def swap(self, messages: Tensor) -> Tensor:
        """Return what each worker has for this one: row i of (M, n) comes from worker i.

        Args:
            messages: (M, n); row i goes to worker i. Gloo swaps on CPUs only, NCCL on GPUs only.
        """
        received = torch.empty_like(messages)
        dist.all_to_all_single(received, messages)
        return received

    def collect(self, state: Mapping[str, Tensor]) -> list[bytes]:
        """Return the state of every worker, in safetensors' format, on rank 0; [] elsewhere.

        Args:
            state: contiguous tensors of the same names and shapes on every worker; empty: nothing
                travels and the answer is [].
        """
        if not state or self.world_size == 1:
            return []
        own = bytearray(safetensors.torch.save({k: v.cpu() for k, v in state.items()}))
        message = torch.frombuffer(own, dtype=torch.uint8).to(self.device)
        rows = [torch.empty_like(message) for _ in range(self.world_size)]
        dist.gather(message, rows if self.rank == 0 else None)
        return [row.cpu().numpy().tobytes() for row in rows] if self.rank == 0 else []
