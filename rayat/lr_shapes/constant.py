"""The control of every study of shapes: no decay at all."""

from __future__ import annotations

from rayat.lr_shapes.base import LRShape
from rayat.registry import SHAPES


@SHAPES.register("constant")
class Constant(LRShape):
    """The peak rate from the first step to the last; the control that every shape must beat.

    Source: docs/papers.md 2.3 (AccelAT's constant shape) and 2.6, pitfall 3: compare AccelAT with a
    constant at AccelAT's own start rate.
    """

    def multiplier(self, progress: float) -> float:
        """Return 1."""
        return 1.0
