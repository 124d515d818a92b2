"""A random subset: what every clever selector has to beat; docs/papers.md 5.8."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field

from rayat.pruning.base import Phase, Pruner, Selection, SelectionContext
from rayat.registry import PRUNERS


@PRUNERS.register("random")
class Random(Pruner):
    """A uniformly random subset, drawn anew at each selection or once for all.

    Costs nothing; weights are 1.
    """

    reads_labels: ClassVar[bool] = False

    redraw: bool = Field(True, description="draw anew at each selection; false: keep the first")

    def schedule(self, epoch: int, epochs: int) -> Phase:
        """Return the room's schedule, with the first selection alone unless `redraw`."""
        phase = super().schedule(epoch, epochs)
        if phase == "select" and not self.redraw and epoch - 1 > self.first(epochs):
            return "subset"
        return phase

    def choose(self, epoch: int, context: SelectionContext) -> Selection:
        """Return `budget` rows without replacement, each set as likely as any other."""
        size = len(context.prepared.train)
        order = torch.randperm(size, generator=context.generator)
        return Selection.sort(order[: self.budget(size)])
