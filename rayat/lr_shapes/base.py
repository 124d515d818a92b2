"""The learning-rate contract: what a shape is asked by the training loop and by the policy."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Self

from pydantic import Field, model_validator

from rayat.registry import Part

EDGE = 1e-9
"""Progress is a rounded ratio of step counts: an edge at 1/3 must not be missed by an ulp."""


class LRShape(Part):
    """A learning rate as a function of progress in [0, 1].

    `lr = floor + (peak - floor) * multiplier(progress)`, times the warm-up ramp
    `min(1, progress / warmup)` (docs/papers.md 7.3). Progress is the share of steps done, so a
    shape is the same curve however long the training is. Step i of n has the rate at progress
    i / n: the last one stands at the very end of the curve, the first just after its beginning.
    """

    peak: float = Field(0.1, gt=0, le=1e6, description="largest learning rate")
    floor: float = Field(
        0.0, ge=0, description="rate at multiplier 0; optimizer.scaling scales it too"
    )
    warmup: float = Field(0.0, ge=0, lt=1, description="share of training with a linear warm-up")

    key: ClassVar[str] = "shape"
    feedback: ClassVar[bool] = False
    """Whether the rate depends on validation history (AccelAT) and not on progress alone."""

    @model_validator(mode="after")
    def _floor_below_peak(self) -> Self:
        if self.floor > self.peak:
            raise ValueError(f"floor must be at most peak={self.peak:g}, got {self.floor:g}")
        return self

    @abstractmethod
    def multiplier(self, progress: float) -> float:
        """Return the share of the peak, in [0, 1], at `progress` in [0, 1]."""

    def lr(self, progress: float, epochs: int = 1, history: Sequence[float] = ()) -> float:
        """Return the learning rate at `progress`.

        Args:
            progress: share of optimiser steps done, in [0, 1].
            epochs: length of the training; only feedback shapes use it.
            history: validation robust accuracy after each finished epoch; only feedback shapes.
        """
        rate = self.floor + (self.peak - self.floor) * self.multiplier(progress)
        return rate * self.ramp(progress)

    def foreseen(self, epochs: int) -> int:
        """Return how many of the first epochs have a rate that no history changes: all of them.

        Of a feedback shape those before anything it has seen can act; by default none.
        """
        return 0 if self.feedback else epochs

    def ramp(self, progress: float) -> float:
        """Return the warm-up's factor in [0, 1] at `progress`; 1 without a warm-up."""
        return min(1.0, progress / self.warmup) if self.warmup > 0 else 1.0

    def curve(self, epochs: int, history: Sequence[float] = ()) -> tuple[float, ...]:
        """Return the rate at the end of each epoch 1..epochs, as far as it can be known now.

        A feedback shape gives its past from `history` and, from there on, the path it would take if
        accuracy stayed flat (the policy's expectation).
        """
        return tuple(self.lr(epoch / epochs, epochs) for epoch in range(1, epochs + 1))
