"""One cut, and training stops being hot."""

from __future__ import annotations

from pydantic import Field

from rayat.lr_shapes.base import LRShape
from rayat.lr_shapes.piecewise import piece
from rayat.registry import SHAPES


@SHAPES.register("onedrop")
class OneDrop(LRShape):
    """The peak rate until one cut: robust accuracy jumps there, then robust overfitting begins.

    Source: the one-drop schedule of [locuslab/robust_overfitting:train_cifar.py]: 0.1, then 0.01
    from epoch 100 of 200.
    """

    at: float = Field(0.5, gt=0, lt=1, description="share of training at the peak rate")
    factor: float = Field(0.1, ge=0, le=1, description="multiplier after the cut")

    def multiplier(self, progress: float) -> float:
        """Return 1 up to and including `at`, then `factor`."""
        return self.factor if piece(progress, (self.at,)) else 1.0
