"""One straight (or polynomial) ramp from the peak to the floor."""

from __future__ import annotations

from pydantic import Field

from rayat.lr_shapes.base import LRShape
from rayat.registry import SHAPES


@SHAPES.register("linear")
class Linear(LRShape):
    """One ramp from the peak down to the floor, straight unless `power` bends it.

    Source: docs/papers.md 2.3, `(peak - floor) * (1 - min(e, P) / P) ** q + floor`.
    """

    power: float = Field(1.0, gt=0, le=10, description="q: 1 is a straight line")
    until: float = Field(1.0, gt=0, le=1, description="P: share of training when the floor is met")

    def multiplier(self, progress: float) -> float:
        """Return `(1 - min(progress, until) / until) ** power`."""
        return float((1.0 - min(progress, self.until) / self.until) ** self.power)
