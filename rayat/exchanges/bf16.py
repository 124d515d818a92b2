"""Gradients in bfloat16."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from rayat.distributed.exchange import Exchange
from rayat.exchanges.base import GradientExchange, buckets, numel, ring, ring_rounds
from rayat.exchanges.half import HalfReducer
from rayat.registry import EXCHANGES


@EXCHANGES.register("bf16")
class BFloat16(GradientExchange):
    """The mean in bfloat16: half the bytes, two digits, the range of single precision."""

    def sent(self, shapes: Sequence[Sequence[int]], world_size: int) -> int:
        """Return the bytes of a ring all-reduce at two bytes a coordinate."""
        return ring(2 * numel(shapes), world_size)

    def rounds(self, shapes: Sequence[Sequence[int]], world_size: int) -> int:
        """Return those of a ring for every bucket."""
        return ring_rounds(world_size) * len(buckets(shapes))

    def reducer(self, parameters: Sequence[nn.Parameter], workers: Exchange) -> HalfReducer:
        """Return the hook; it remembers nothing."""
        return HalfReducer(torch.bfloat16, workers)
