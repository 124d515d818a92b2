"""A plain convolutional network for two CPU cores."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from rayat.errors import ConfigError
from rayat.models._body import Body
from rayat.models._preact_blocks import Norm
from rayat.models.base import Model
from rayat.models.folded import Layer, chain
from rayat.registry import MODELS


@MODELS.register("cnn")
class CNN(Model):
    """Two 4x4 convolutions of stride 2, a hidden layer and the head: 166 thousand weights at 28x28.

    The tiny net of docs/papers.md 9.1, by default without BatchNorm, so that M workers train
    exactly what one does.
    """

    width: int = Field(16, ge=1, description="channels of the first convolution; then twice that")
    hidden: int = Field(100, ge=1, description="units of the hidden layer")
    norm: Norm = Field("none", description="batch: BatchNorm after each convolution")

    def body(self, shape: tuple[int, int, int], classes: int) -> CNNBody:
        """Return the network for normalised images of `shape` (C, H, W).

        Raises:
            ConfigError: images smaller than 4x4.
        """
        return CNNBody(shape, classes, self.width, self.hidden, self.norm)


class CNNBody(Body):
    """The network of `CNN`."""

    def __init__(
        self, shape: tuple[int, int, int], classes: int, width: int, hidden: int, norm: Norm
    ) -> None:
        super().__init__()
        channels, height, breadth = shape
        if min(height, breadth) < 4:
            raise ConfigError(f"model 'cnn' needs images of 4x4 or more, got {height}x{breadth}")
        layers: list[nn.Module] = []
        for inputs, outputs in ((channels, width), (width, 2 * width)):
            layers.append(nn.Conv2d(inputs, outputs, 4, 2, padding=1, bias=norm == "none"))
            if norm == "batch":
                layers.append(nn.BatchNorm2d(outputs))
            layers.append(nn.ReLU(inplace=True))
        pixels = (height // 4) * (breadth // 4)
        self.features = nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(2 * width * pixels, hidden), nn.ReLU(inplace=True)
        )
        self.head = nn.Linear(hidden, classes)

    def forward_features(self, x: Tensor) -> Tensor:
        """Map normalised images (B, C, H, W) to the head's input (B, hidden)."""
        out: Tensor = self.features(x)
        return out

    def folded(self, dtype: torch.dtype, std: Tensor) -> Layer | None:
        """Return the frozen copy that attacks run (`Body.folded`)."""
        return chain([*self.features, self.head], dtype, std)
