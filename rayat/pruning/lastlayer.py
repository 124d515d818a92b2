"""Per-sample gradients of the last linear layer, kept as their factors; docs/papers.md 5.2.

The gradient of sample i with respect to `[W, b]` of `z = W h + b` is a sum of outer products
`a_i [h_i, 1]^T`, one for each image of the sample that the loss reads. It is never formed:
`<g_i, g_j> = <a_i, a_j> (<h_i, h_j> + 1)`, summed over the pairs of terms.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rayat.pruning._logits import LogitLoss


@dataclass(frozen=True)
class Factors:
    """The gradients of N samples.

    Attributes:
        errors: d loss / d logits, (N, C), one tensor a term.
        features: the layer's inputs (N, F), one a term; F = 0 leaves the bias gradient alone.
    """

    errors: tuple[Tensor, ...]
    features: tuple[Tensor, ...]

    def __len__(self) -> int:
        return len(self.errors[0])

    @property
    def dimension(self) -> int:
        """Return C * (F + 1), the most that independent gradients can be."""
        return self.errors[0].shape[1] * (self.features[0].shape[1] + 1)

    def take(self, rows: Tensor) -> Factors:
        """Return the gradients of some samples."""
        return Factors(
            tuple(error[rows] for error in self.errors),
            tuple(feature[rows] for feature in self.features),
        )

    def row(self, label: int) -> Factors:
        """Return the part of the gradients in one row of `[W, b]`, dimension F + 1."""
        return Factors(tuple(e[:, label : label + 1] for e in self.errors), self.features)

    def bias(self) -> Factors:
        """Return the part of the gradients in b, dimension C."""
        return Factors(self.errors, tuple(feature[:, :0] for feature in self.features))

    def columns(self, rows: Tensor) -> Tensor:
        """Return the inner products (N, M) of all gradients with those of `rows` (M,)."""
        some = self.take(rows)
        total = torch.zeros((), dtype=self.errors[0].dtype, device=self.errors[0].device)
        for error, feature in zip(self.errors, self.features, strict=True):
            for other, its in zip(some.errors, some.features, strict=True):
                total = total + (error @ other.T) * (feature @ its.T + 1)
        return total

    def total(self) -> Tensor:
        """Return the sum of the gradients, (C, F + 1), the bias last."""
        parts = [
            torch.cat([error.T @ feature, error.sum(0)[:, None]], 1)
            for error, feature in zip(self.errors, self.features, strict=True)
        ]
        return torch.stack(parts).sum(0)

    def dot(self, direction: Tensor) -> Tensor:
        """Return the inner products (N,) with one gradient (C, F + 1)."""
        weight, bias = direction[:, :-1], direction[:, -1]
        parts = [
            ((feature @ weight.T + bias) * error).sum(1)
            for error, feature in zip(self.errors, self.features, strict=True)
        ]
        return torch.stack(parts).sum(0)


@dataclass(frozen=True)
class LastLayer:
    """What goes in and out of the last layer for N samples.

    Attributes:
        logits: (N, C), one tensor for each image that the loss reads: clean, then adversarial.
        features: the layer's inputs (N, F), one for each of `logits`.
        y: labels (N,). loss: reads the logits.
        forward, backward: passes that this took, summed over the samples.
    """

    logits: tuple[Tensor, ...]
    features: tuple[Tensor, ...]
    y: Tensor
    loss: LogitLoss
    forward: int = 0
    backward: int = 0

    def factors(self) -> Factors:
        """Return the gradients of the samples' losses."""
        return Factors(self.loss.gradients(self.logits, self.y), self.features)

    def bias(self) -> LastLayer:
        """Return the layer as if b were its only weight."""
        empty = tuple(feature[:, :0] for feature in self.features)
        return LastLayer(self.logits, empty, self.y, self.loss, self.forward, self.backward)

    def moved(self, step: Tensor) -> LastLayer:
        """Return the layer after `[W, b] <- [W, b] + step`, step (C, F + 1)."""
        logits = tuple(
            z + h @ step[:, :-1].T + step[:, -1]
            for z, h in zip(self.logits, self.features, strict=True)
        )
        return LastLayer(logits, self.features, self.y, self.loss, self.forward, self.backward)
