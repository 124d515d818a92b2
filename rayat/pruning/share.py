"""One selection for all workers of a trial."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.distributed as dist

from rayat.distributed.exchange import Exchange
from rayat.pruning.base import Selection


def shared(select: Callable[[], Selection], exchange: Exchange) -> Selection:
    """Return what `select` gives on worker 0, to every worker.

    The others wait. They could compute the same, but not where another processor rounds otherwise,
    and a choice is not continuous. What it cost is told to worker 0 alone, so that sums over the
    workers count it once.

    Args:
        select: called on worker 0 only. exchange: the workers of the trial.
    """
    if exchange.world_size == 1:
        return select()
    selection = select() if exchange.rank == 0 else None
    size = exchange.sums({"size": 0 if selection is None else len(selection.indices)})["size"]
    # Row numbers are exact in double precision up to 2**53.
    table = torch.zeros(2, size, dtype=torch.float64)
    if selection is not None:
        table[0], table[1] = selection.indices, selection.weights
    table = table.to(exchange.device)
    dist.broadcast(table, src=0)
    if selection is not None:
        return selection
    rows, weights = table.cpu()
    return Selection(rows.long(), weights.float())
