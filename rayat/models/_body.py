"""What every network looks like from outside: features, then one linear head."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from rayat.models.folded import Layer


class Body(nn.Module):
    """A classifier in two parts: `head(forward_features(x))`.

    Pruning by last-layer gradients (docs/papers.md section 5.2) needs the split.
    """

    head: nn.Linear

    @abstractmethod
    def forward_features(self, x: Tensor) -> Tensor:
        """Map normalised images (B, C, H, W) to the head's input (B, F)."""

    def forward(self, x: Tensor) -> Tensor:
        """Map normalised images (B, C, H, W) to logits (B, classes)."""
        logits: Tensor = self.head(self.forward_features(x))
        return logits

    def folded(self, dtype: torch.dtype, std: Tensor) -> Layer | None:
        """Return a frozen copy of this body in evaluation mode, faster to attack; None: no such.

        A network without one is attacked as it is. One that has it must give the logits of
        `self(x / std)` and their gradient up to rounding.

        Args:
            dtype: of weights and activations; the logits are float32 all the same.
            std: per-channel divisor of the input (C,), to be folded into the first weights.
        """
        return None
