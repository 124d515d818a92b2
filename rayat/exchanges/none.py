"""The plain mean, in single precision."""

from __future__ import annotations

from collections.abc import Sequence

from rayat.exchanges.base import FLOAT, GradientExchange, buckets, numel, ring, ring_rounds
from rayat.registry import EXCHANGES


@EXCHANGES.register("none")
class NoCompression(GradientExchange):
    """The mean of the workers' gradients in single precision, sent while the rest is computed."""

    def sent(self, shapes: Sequence[Sequence[int]], world_size: int) -> int:
        """Return the bytes of a ring all-reduce of the gradient."""
        return ring(FLOAT * numel(shapes), world_size)

    def rounds(self, shapes: Sequence[Sequence[int]], world_size: int) -> int:
        """Return those of a ring for every bucket."""
        return ring_rounds(world_size) * len(buckets(shapes))
