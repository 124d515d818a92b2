"""A constant ratio per epoch: decay, or the growing learning-rate range test."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rayat.lr_shapes.base import LRShape
from rayat.registry import SHAPES


@SHAPES.register("exponential")
class Exponential(LRShape):
    """The same ratio between any two epochs in a row, from the peak down (or up, as a range test).

    Source: docs/papers.md 2.3. The released `start * 10 ** (e / (T / 10))` grows by ten decades:
    that is a learning-rate range test, `form="range-test"` with `ratio=1e-10`, not a schedule.
    """

    ratio: float = Field(0.01, gt=0, lt=1, description="smallest multiplier over the largest")
    form: Literal["decay", "range-test"] = Field(
        "decay", description="decay falls from the peak; range-test rises to it"
    )

    def multiplier(self, progress: float) -> float:
        """Return `ratio ** progress`, or `ratio ** (1 - progress)` for the range test."""
        exponent = progress if self.form == "decay" else 1.0 - progress
        return float(self.ratio**exponent)
