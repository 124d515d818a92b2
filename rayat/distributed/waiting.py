"""How long a worker's training waits for its gradients to become those of all workers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributed import GradBucket  # type: ignore[attr-defined]
from torch.futures import Future


class Waiting:
    """Seconds of gradient exchange that delayed the training, on this worker's clock.

    Two things count: the hook of an exchange, which quantises, sends and waits in the middle of
    the backward pass, and the time from the last computed gradient to the end of the pass. What is
    sent while gradients are still computed delays nothing and is not counted; waiting for a slower
    worker is. Clocks of the host say nothing about a GPU's queue: on one, nothing is measured.
    """

    def __init__(self) -> None:
        self._seconds = 0.0

    def hook(
        self, reducer: Callable[[GradBucket], Future[Tensor]], bucket: GradBucket
    ) -> Future[Tensor]:
        """Call DDP's communication hook and count its time."""
        began = time.perf_counter()
        future = reducer(bucket)
        self._seconds += time.perf_counter() - began
        return future

    def backward(self, loss: Tensor) -> None:
        """Fill the weights' gradients, the mean over the workers, and count what follows them."""
        computed: list[float] = []
        # A pass' callbacks run after its last gradient, in the order in which they were queued: one
        # that is queued at the pass' beginning runs before DDP's, which waits.
        engine: Any = torch.autograd.Variable._execution_engine

        def begin(gradient: Tensor) -> None:
            engine.queue_callback(lambda: computed.append(time.perf_counter()))

        loss.register_hook(begin)  # type: ignore[no-untyped-call]
        torch.autograd.backward(loss)
        self._seconds += time.perf_counter() - computed[0]

    def take(self) -> float:
        """Return the seconds since the last call."""
        seconds, self._seconds = self._seconds, 0.0
        return seconds
