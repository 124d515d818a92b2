"""Rates that come back: triangles, or AccelAT's shrinking saw-tooth."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from rayat.lr_shapes.base import EDGE, LRShape
from rayat.registry import SHAPES


@SHAPES.register("cyclic")
class Cyclic(LRShape):
    """Rates that rise again: equal triangles, or AccelAT's saw-tooth with ever smaller teeth.

    `triangular`: floor to peak to floor in each cycle (docs/papers.md 7.3). `sawtooth`: the cyclic
    linear decay of docs/papers.md 2.3 with P = T / cycles and q = 1; tooth m begins at 1/m of the
    height, because the released formula divides by the training so far. That code holds the rate
    of an epoch's end for the whole epoch; here it falls step by step and agrees at each epoch's
    last step.
    """

    form: Literal["triangular", "sawtooth"] = "triangular"
    cycles: int | None = Field(
        None, ge=1, le=1000, description="cycles; null: 1 triangular, 5 sawtooth"
    )

    def multiplier(self, progress: float) -> float:
        """Return the share of the peak at `progress`."""
        cycles = self.cycles or {"triangular": 1, "sawtooth": 5}[self.form]
        place = progress * cycles
        cycle = max(1, math.ceil(place - EDGE))
        if self.form == "sawtooth":
            return max(0.0, 1.0 - place / cycle)
        return max(0.0, 1.0 - abs(2.0 * (place - cycle) + 1.0))
