"""What the pre-activation network is made of, as it is trained."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

Norm = Literal["batch", "none"]


class Activation(nn.Module):
    """Norm, then ReLU."""

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels) if norm == "batch" else nn.Identity()
        # Without a norm the input is also the shortcut's and must not be overwritten.
        self.inplace = norm == "batch"

    def forward(self, x: Tensor) -> Tensor:
        """Return an activation of the same shape."""
        return F.relu(self.norm(x), inplace=self.inplace)


class Shortcut(nn.Conv2d):
    """A 1x1 convolution, which leaves rows and columns out before it multiplies, not in it.

    The same function, and what torch computes inside for most shapes. Not for all: below eight
    channels, oneDNN 3.13's weight gradient of a strided 1x1 convolution writes behind its memory on
    processors without AVX-512, which ends in a crash or in wrong numbers.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        if self.in_channels >= 8:
            return super().forward(x)
        down, right = self.stride
        return F.conv2d(x[:, :, ::down, ::right], self.weight, self.bias)


class PreActBlock(nn.Module):
    """Two 3x3 convolutions, each after norm and ReLU, around a shortcut.

    Where the shape changes the shortcut is a 1x1 convolution of the activated input.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.act1 = Activation(inputs, norm)
        self.conv1 = conv3x3(inputs, outputs, norm, stride)
        self.act2 = Activation(outputs, norm)
        self.conv2 = conv3x3(outputs, outputs, norm)
        self.shortcut: Shortcut | None = None
        if stride != 1 or inputs != outputs:
            self.shortcut = Shortcut(inputs, outputs, 1, stride, bias=False)
        if norm == "none":
            # Nothing else keeps the scale of a sum of branches: each begins as the identity.
            nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        active = self.act1(x)
        short = x if self.shortcut is None else self.shortcut(active)
        out: Tensor = self.conv2(self.act2(self.conv1(active))) + short
        return out


def conv3x3(inputs: int, outputs: int, norm: Norm, stride: int = 1) -> nn.Conv2d:
    """Return a 3x3 convolution that keeps height and width at stride 1."""
    # A bias before BatchNorm would be subtracted again.
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=norm == "none")
