"""Three straight pieces: up, down, and a last cool stretch."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from rayat.lr_shapes.base import LRShape
from rayat.registry import SHAPES


@SHAPES.register("onecycle")
class OneCycle(LRShape):
    """Three straight pieces: up to the peak, back down, then a cool last stretch.

    AccelAT's definition (docs/papers.md 2.3) scaled so that its top is `peak`: start -> peak on
    [0, top_at], peak -> start on [top_at, back_at], start -> end on [back_at, 1]. The paper's
    rate is the start, a tenth of its top. It is not torch's `OneCycleLR` (two cosine pieces), and
    momentum is left alone.
    """

    start: float = Field(0.1, ge=0, le=1, description="multiplier at both ends of the cycle")
    end: float = Field(0.001, ge=0, le=1, description="multiplier at the end of training")
    top_at: float = Field(0.4, gt=0, lt=1, description="share of training at the peak")
    back_at: float = Field(0.8, gt=0, lt=1, description="share of training when start is back")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.top_at >= self.back_at:
            raise ValueError(f"top_at={self.top_at:g} must be before back_at, got {self.back_at:g}")
        return self

    def multiplier(self, progress: float) -> float:
        """Return the share of the peak at `progress`."""
        if progress <= self.top_at:
            return between(self.start, 1.0, progress / self.top_at)
        if progress <= self.back_at:
            share = (progress - self.top_at) / (self.back_at - self.top_at)
            return between(1.0, self.start, share)
        return between(self.start, self.end, (progress - self.back_at) / (1.0 - self.back_at))


def between(first: float, last: float, share: float) -> float:
    """Return the point at `share` in [0, 1] of the way; exact at both ends."""
    return first * (1.0 - share) + last * share
