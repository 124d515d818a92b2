"""PreActResNet of any width and depth: the study nets for two CPU cores."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from rayat.models._preact import PreActNet
from rayat.models._preact_blocks import Norm
from rayat.models.base import Model
from rayat.registry import MODELS


@MODELS.register("preactresnet")
class PreActResNet(Model):
    """A PreActResNet; the width doubles and the image halves from stage to stage.

    The default is the digits net, about 20 thousand weights; `blocks=(1, 1, 1), stem_stride=2` is
    the Fashion-MNIST net, about 78 thousand.
    """

    width: int = Field(16, ge=1, description="channels of the stem and the first stage")
    blocks: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (1, 1), min_length=1, max_length=6, description="blocks per stage"
    )
    stem_stride: int = Field(1, ge=1, le=4, description="2 makes attacks on larger images cheaper")
    norm: Norm = Field("batch", description="none: no BatchNorm, so images do not meet in a batch")

    def body(self, shape: tuple[int, int, int], classes: int) -> PreActNet:
        """Return the network for normalised images of `shape` (C, H, W)."""
        widths = tuple(self.width * 2**stage for stage in range(len(self.blocks)))
        return PreActNet(
            shape[0], classes, self.width, widths, self.blocks, self.stem_stride, self.norm
        )
