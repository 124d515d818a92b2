"""Constant pieces between milestones."""

from __future__ import annotations

from itertools import pairwise
from typing import Self

from pydantic import Field, model_validator

from rayat.lr_shapes.base import EDGE, LRShape
from rayat.registry import SHAPES


def piece(progress: float, milestones: tuple[float, ...]) -> int:
    """Return the 0-based piece at `progress`; a piece ends with its milestone, not before it.

    The step that reaches a milestone still has the old rate, so with milestones 1/3 and 2/3 the
    epochs 1..T/3 are the first piece. The release counts epochs from 0, so that its pieces end an
    epoch later (docs/papers.md 2.3).
    """
    return sum(progress > milestone + EDGE for milestone in milestones)


@SHAPES.register("piecewise")
class Piecewise(LRShape):
    """Constant pieces, cut by fixed factors at fixed shares of training.

    Source: docs/papers.md 2.3: thirds of training at 1, 0.1, 0.01 of the first rate. Rice et al.
    cut at 0.5 and 0.75 [locuslab/robust_overfitting:train_cifar.py].
    """

    milestones: tuple[float, ...] = Field(
        (1 / 3, 2 / 3), min_length=1, description="shares of training, rising, inside (0, 1)"
    )
    multipliers: tuple[float, ...] = Field(
        (1.0, 0.1, 0.01), description="share of the peak per piece: one more than milestones"
    )

    @model_validator(mode="after")
    def _pieces(self) -> Self:
        edges = (0.0, *self.milestones, 1.0)
        if not all(a < b for a, b in pairwise(edges)):
            raise ValueError(f"milestones must rise inside (0, 1), got {self.milestones}")
        if len(self.multipliers) != len(self.milestones) + 1:
            raise ValueError(
                f"{len(self.milestones)} milestones need {len(self.milestones) + 1} multipliers, "
                f"got {len(self.multipliers)}"
            )
        if not all(0 <= m <= 1 for m in self.multipliers):
            raise ValueError(f"multipliers must be in [0, 1], got {self.multipliers}")
        return self

    def multiplier(self, progress: float) -> float:
        """Return the multiplier of the piece that holds `progress`."""
        return self.multipliers[piece(progress, self.milestones)]
