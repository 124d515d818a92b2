"""The loss of a weighted subset."""

from __future__ import annotations

from torch import Tensor


def weighted_mean(loss: Tensor, weights: Tensor, total: Tensor | float | None = None) -> Tensor:
    """Return `sum(w_i l_i) / sum(w_i)`, the loss of one mini-batch (docs/papers.md 5.3).

    Equal weights give the plain mean.

    Args:
        loss: per-sample losses (B,). weights: (B,), positive.
        total: what to divide by instead of `sum(w_i)`. M data-parallel workers, whose gradients are
            averaged, give the global batch's weights summed and divided by M: then M workers do
            what one does.
    """
    return (weights * loss).sum() / (weights.sum() if total is None else total)
