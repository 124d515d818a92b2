"""The model contract."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from rayat.models._body import Body
from rayat.models.folded import Layer, chain
from rayat.registry import Part


class Normalised(nn.Module):
    """`body((x - mean) / std)`: pixels in [0, 1] go in, logits come out (docs/papers.md 10)."""

    mean: Tensor
    std: Tensor

    def __init__(self, body: nn.Module, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.body = body
        self.register_buffer("mean", mean.reshape(1, -1, 1, 1).clone())
        self.register_buffer("std", std.reshape(1, -1, 1, 1).clone())

    def forward(self, x: Tensor) -> Tensor:
        """Map images (B, C, H, W) in [0, 1] to logits (B, classes)."""
        out: Tensor = self.body((x - self.mean) / self.std)
        return out

    def forward_features(self, x: Tensor) -> Tensor:
        """Map images (B, C, H, W) in [0, 1] to the input (B, F) of `head`."""
        out: Tensor = self.body.forward_features((x - self.mean) / self.std)  # type: ignore[operator]
        return out

    @property
    def head(self) -> nn.Module:
        """Return the last layer, which maps features to logits."""
        head = self.body.head
        assert isinstance(head, nn.Module)
        return head

    def folded(self, dtype: torch.dtype) -> Layer | None:
        """Return a frozen copy of `body(x / std)` that is faster to attack, or None."""
        std = self.std.flatten()
        if isinstance(self.body, Body):
            return self.body.folded(dtype, std)
        if type(self.body) is nn.Sequential:
            return chain(list(self.body), dtype, std)
        return None


class Model(Part):
    """A network's description."""

    @abstractmethod
    def body(self, shape: tuple[int, int, int], classes: int) -> nn.Module:
        """Return the network for normalised images of `shape` (C, H, W), torch-initialised."""

    def build(
        self,
        shape: tuple[int, int, int],
        classes: int,
        seed: int,
        mean: tuple[float, ...] | None = None,
        std: tuple[float, ...] | None = None,
    ) -> Normalised:
        """Return the whole network, a pure function of its arguments.

        Args:
            shape: (C, H, W) of the images.
            classes: number of logits.
            seed: seed of the initialisation; torch's global generator is left as found.
            mean, std: per-channel statistics of the pixels in [0, 1]; default 0 and 1.
        """
        channels = shape[0]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            body = self.body(shape, classes)
        return Normalised(
            body,
            torch.tensor(mean if mean is not None else [0.0] * channels),
            torch.tensor(std if std is not None else [1.0] * channels),
        )
