"""Warm-up, stable, decay."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from rayat.lr_shapes.base import LRShape
from rayat.registry import SHAPES


@SHAPES.register("trapezoid")
class Trapezoid(LRShape):
    """A short rise, a long stable stretch at the peak, a straight decay to the floor.

    `rise` and `decay` that add up to 1 make one triangle: rise 0.4 and decay 0.6 is the
    "superconverge" shape of docs/papers.md 7.3.
    """

    rise: float = Field(0.1, ge=0, lt=1, description="share of training from floor to peak")
    decay: float = Field(0.2, gt=0, le=1, description="share of training from peak to floor")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.rise + self.decay > 1 + 1e-9:
            raise ValueError(
                f"rise and decay must fit in the training: at most 1 together, "
                f"got {self.rise:g} + {self.decay:g}"
            )
        return self

    def multiplier(self, progress: float) -> float:
        """Return the share of the peak at `progress`."""
        up = progress / self.rise if self.rise > 0 else 1.0
        return max(0.0, min(up, 1.0, (1.0 - progress) / self.decay))
