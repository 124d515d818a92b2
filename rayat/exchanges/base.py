"""The gradient exchange contract: the mean over the workers, or an estimate of it, and its bytes.

An exchange is a part; with several workers it makes a `Reducer`, which DDP calls as its
communication hook: once per bucket of gradients, during the backward pass.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributed import GradBucket  # type: ignore[attr-defined]
from torch.futures import Future

from rayat.columns import Column
from rayat.distributed.exchange import Exchange
from rayat.distributed.reducer import Reducer
from rayat.errors import ConfigError
from rayat.exchanges._codec import FLOAT as FLOAT
from rayat.registry import Part


class GradientExchange(Part):
    """How the workers' gradients become one; with one worker nothing is sent."""

    columns: ClassVar[tuple[Column, ...]] = ()
    """Report columns that `Reducer.measured` may hold."""

    @property
    def remembers(self) -> bool:
        """Return whether what one exchange leaves out is added to the next one."""
        return False

    def check(self, config: Any) -> None:
        """Refuse a memory where gradients of two kinds take turns."""
        if self.remembers and config.weights.awp > 0:
            raise ConfigError(
                f"exchange {self.kind!r} adds what it left out to the next gradient, but with "
                f"weights.awp={config.weights.awp:g} gradients that perturb and gradients that "
                "train take turns; use an exchange without error feedback, or weights.awp=0"
            )

    @abstractmethod
    def sent(self, shapes: Sequence[Sequence[int]], world_size: int) -> int:
        """Return the bytes that one of at least two workers sends per step (`bytes_per_step`)."""

    @abstractmethod
    def rounds(self, shapes: Sequence[Sequence[int]], world_size: int) -> int:
        """Return how many messages of a step follow one another, each waiting for the one before.

        Every one costs the network's latency (`planning/scaling.py`).
        """

    def reducer(self, parameters: Sequence[nn.Parameter], workers: Exchange) -> Reducer | None:
        """Return this worker's hook, or None for DDP's own mean in single precision.

        Args:
            parameters: those that are trained, in the model's order. workers: at least two.
        """
        return None


def bytes_per_step(
    exchange: GradientExchange, shapes: Sequence[Sequence[int]], world_size: int
) -> int:
    """Return the gradient bytes that one worker sends per optimiser step; no process is needed.

    Sums and statistics that travel once per epoch are not counted, nor are the headers of packets.

    Args:
        shapes: those of the trained parameters, in the model's order. world_size: workers, >= 1.
    """
    return exchange.sent(shapes, world_size) if world_size > 1 else 0


def ring(nbytes: int, world_size: int) -> int:
    """Return what each of M workers sends to all-reduce a tensor: `2 (M - 1) / M` times its size.

    That of a ring, the least that any all-reduce can send; rounded down.
    """
    return 2 * (world_size - 1) * nbytes // world_size


def ring_rounds(world_size: int) -> int:
    """Return the messages that follow one another in a ring all-reduce."""
    return 2 * (world_size - 1)


FIRST_BUCKET, BUCKET = 2**20, 25 * 2**20
"""Bytes of gradients that DDP collects before it sends them: the first time, and from then on."""


def buckets(shapes: Sequence[Sequence[int]]) -> list[int]:
    """Return the coordinates of each bucket in which DDP sends gradients, the last layers' first.

    A bucket ends with the tensor that fills it. What is sent while the rest is still computed is
    all but the last one.
    """
    found = [0]
    for shape in reversed(shapes):
        if FLOAT * found[-1] >= (BUCKET if len(found) > 1 else FIRST_BUCKET):
            found.append(0)
        found[-1] += math.prod(shape)
    return found


def to_each(nbytes: int, world_size: int) -> int:
    """Return what each of M workers sends when every other one must get `nbytes` of its own."""
    return (world_size - 1) * nbytes


class WholeReducer(Reducer):
    """A reducer that sees the whole gradient as one vector, in the model's order.

    DDP orders its buckets by the gradients' arrival, and differently in the first step: a vector in
    that order would not be the same after a resume.
    """

    whole = True

    def __init__(self, parameters: Sequence[nn.Parameter], workers: Exchange) -> None:
        self.parameters, self.workers = list(parameters), workers
        self.sizes = [p.numel() for p in self.parameters]

    @abstractmethod
    def mean(self, gradient: Tensor) -> Tensor:
        """Return the workers' mean gradient, or its estimate; the same bits on every worker.

        Args:
            gradient: this worker's, float32 of shape (d,); may be overwritten.
        """

    def __call__(self, bucket: GradBucket) -> Future[Tensor]:
        """Exchange the whole gradient at once and wait for it."""
        pieces = dict(zip(bucket.parameters(), bucket.gradients(), strict=True))
        gradient = torch.cat([pieces[p].reshape(-1) for p in self.parameters])
        means = torch.split(self.mean(gradient), self.sizes)
        for parameter, mean in zip(self.parameters, means, strict=True):
            pieces[parameter].copy_(mean.view_as(pieces[parameter]))
        buffer = bucket.buffer()
        done: Future[Tensor] = Future(devices=[buffer.device] if buffer.is_cuda else None)
        done.set_result(buffer)
        return done


def numel(shapes: Sequence[Sequence[int]]) -> int:
    """Return the number of coordinates of all tensors together."""
    return sum(math.prod(shape) for shape in shapes)
