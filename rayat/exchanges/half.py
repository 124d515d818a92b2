"""The mean in a format of two bytes a number."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import GradBucket  # type: ignore[attr-defined]
from torch.futures import Future

from rayat.distributed.exchange import Exchange
from rayat.distributed.reducer import Reducer


class HalfReducer(Reducer):
    """All-reduces each bucket in `dtype`, while DDP computes the next one.

    torch's own hooks do the same, but DDP refuses its bf16 hook by name where there is no NCCL.
    """

    def __init__(self, dtype: torch.dtype, workers: Exchange) -> None:
        self.dtype, self.workers = dtype, workers

    def __call__(self, bucket: GradBucket) -> Future[Tensor]:
        """Return the future of the bucket's mean."""
        buffer = bucket.buffer()
        half = self.narrow(buffer)
        work = dist.all_reduce(half, async_op=True)
        assert work is not None

        def widen(_: Future[list[Tensor]]) -> Tensor:
            return buffer.copy_(half)

        return work.get_future().then(widen)

    def narrow(self, gradient: Tensor) -> Tensor:
        """Return this worker's part of the mean, in `dtype`."""
        # Divided before the sum: fp16 ends at 65504.
        return gradient.div(self.workers.world_size).to(self.dtype)
