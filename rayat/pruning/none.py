"""No pruning: the control of every pruned training."""

from __future__ import annotations

from typing import ClassVar

import torch

from rayat.pruning.base import Phase, Pruner, Selection, SelectionContext
from rayat.registry import PRUNERS


@PRUNERS.register("none")
class NoPruning(Pruner):
    """Every epoch trains on every image: what a pruned training must keep up with.

    `fraction`, `every` and `warm_start` move nothing here.
    """

    inert: ClassVar[frozenset[str]] = frozenset({"fraction", "every", "warm_start"})

    def schedule(self, epoch: int, epochs: int) -> Phase:
        """Return `full`."""
        return "full"

    def check(self, config: object) -> None:
        """Accept every configuration."""

    def budget(self, size: int) -> int:
        """Return `size`."""
        return size

    def choose(self, epoch: int, context: SelectionContext) -> Selection:
        """Return every image with weight 1."""
        return Selection.sort(torch.arange(len(context.prepared.train)))
