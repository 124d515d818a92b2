"""The pre-activation residual network that PreActResNet and WideResNet are both instances of."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rayat.models._body import Body
from rayat.models._folded import Layer
from rayat.models._preact_folded import fold_preact

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
        self.conv1 = _conv(inputs, outputs, norm, stride)
        self.act2 = Activation(outputs, norm)
        self.conv2 = _conv(outputs, outputs, norm)
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


class PreActNet(Body):
    """Stem, stages of pre-activation blocks, activation, global mean, linear head.

    Args:
        inputs: image channels. classes: logits. stem: channels of the first convolution.
        widths, blocks: channels and number of blocks of each stage; every stage but the first
            halves height and width.
        stem_stride: 2 halves them at once, which makes the input gradient cheap.

    Source: He et al., Identity Mappings in Deep Residual Networks, ECCV 2016.
    """

    def __init__(
        self,
        inputs: int,
        classes: int,
        stem: int,
        widths: tuple[int, ...],
        blocks: tuple[int, ...],
        stem_stride: int = 1,
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        self.stem = _conv(inputs, stem, norm, stem_stride)
        layers: list[nn.Module] = []
        channels = stem
        for stage, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            for block in range(count):
                stride = 2 if stage > 0 and block == 0 else 1
                layers.append(PreActBlock(channels, width, stride, norm))
                channels = width
        self.blocks = nn.Sequential(*layers)
        self.act = Activation(channels, norm)
        self.head = nn.Linear(channels, classes)

    def forward_features(self, x: Tensor) -> Tensor:
        """Map normalised images (B, C, H, W) to the head's input (B, F)."""
        out: Tensor = self.act(self.blocks(self.stem(x)))
        return out.mean((2, 3))

    def folded(self, dtype: torch.dtype, std: Tensor) -> Layer | None:
        """Return the frozen copy that attacks run (`Body.folded`)."""
        return fold_preact(self, dtype, std)


def _conv(inputs: int, outputs: int, norm: Norm, stride: int = 1) -> nn.Conv2d:
    # A bias before BatchNorm would be subtracted again.
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=norm == "none")
