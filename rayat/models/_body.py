"""What every network looks like from outside: features, then one linear head."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor, nn


class Body(nn.Module):
    """A classifier in two parts: `head(forward_features(x))`.

    Pruning by last-layer gradients (papers.md section 5.2) needs the split.
    """

    head: nn.Linear

    @abstractmethod
    def forward_features(self, x: Tensor) -> Tensor:
        """Map normalised images (B, C, H, W) to the head's input (B, F)."""

    def forward(self, x: Tensor) -> Tensor:
        """Map normalised images (B, C, H, W) to logits (B, classes)."""
        logits: Tensor = self.head(self.forward_features(x))
        return logits
