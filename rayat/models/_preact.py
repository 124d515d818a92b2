"""The pre-activation residual network that PreActResNet and WideResNet are both instances of."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rayat.models._body import Body
from rayat.models._preact_blocks import Activation, Norm, PreActBlock, conv3x3
from rayat.models._preact_folded import fold_preact
from rayat.models.folded import Layer


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
        self.stem = conv3x3(inputs, stem, norm, stem_stride)
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
        return fold_preact(self.stem, self.blocks, self.act, self.head, dtype, std)
