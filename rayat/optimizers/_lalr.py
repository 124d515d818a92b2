"""The layer-wise adaptive learning rate (LALR) of docs/papers.md 3.4.

A layer, which is one parameter tensor, moves by `lr * min(||theta||, limit)` in the direction u:

    r = clip(||theta||_2, 0, limit) / ||u||_2        (1 if either norm is 0)
    theta <- theta - lr * r * u
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class LayerwiseOptimizer(Optimizer):
    """An optimiser that says where to, and leaves how far to the layer's norm.

    Args:
        groups: torch's parameter groups. defaults: `lr`, `weight_decay`, `limit` and what the
            direction needs.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], defaults: dict[str, Any]) -> None:
        super().__init__(groups, defaults)

    @abstractmethod
    def directions(
        self, group: dict[str, Any], weights: list[Tensor], gradients: list[Tensor]
    ) -> list[Tensor]:
        """Return u of each of the group's weights, free to be overwritten; updates the state."""

    def memory(self, weights: list[Tensor], name: str) -> list[Tensor]:
        """Return the weights' running quantities `name`, zeros at first."""
        for weight in weights:
            if name not in self.state[weight]:
                self.state[weight][name] = torch.zeros_like(weight)
        return [self.state[weight][name] for weight in weights]

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move every weight that has a gradient. No closure is taken."""
        for group in self.param_groups:
            weights = [p for p in group["params"] if p.grad is not None]
            if not weights:
                continue
            directions = self.directions(group, weights, [p.grad for p in weights])
            sizes, lengths = (torch._foreach_norm(x) for x in (weights, directions))
            # One tensor a quantity: no step waits for the device, no layer for another.
            size, length = torch.stack(sizes), torch.stack(lengths)
            ratio = torch.where(
                (size > 0) & (length > 0), size.clamp(max=group["limit"]) / length, 1.0
            )
            torch._foreach_mul_(directions, (ratio * -group["lr"]).unbind())
            torch._foreach_add_(weights, directions)
