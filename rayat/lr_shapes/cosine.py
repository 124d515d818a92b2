"""Half a cosine from the peak to the floor."""

from __future__ import annotations

import math

from rayat.lr_shapes.base import LRShape
from rayat.registry import SHAPES


@SHAPES.register("cosine")
class Cosine(LRShape):
    """Half a cosine from the peak to the floor: slow at both ends, fast in the middle.

    Source: docs/papers.md 7.3, `peak * (1 + cos(pi t)) / 2`.
    """

    def multiplier(self, progress: float) -> float:
        """Return `(1 + cos(pi * progress)) / 2`."""
        return 0.5 * (1.0 + math.cos(math.pi * progress))
