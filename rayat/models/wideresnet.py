"""WideResNet, the large net of the robustness tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, field_validator, model_validator
from torch import nn

from rayat.models._preact import PreActNet
from rayat.models.base import Model
from rayat.registry import MODELS


@MODELS.register("wideresnet")
class WideResNet(Model):
    """WideResNet without dropout: `wideresnet:28-10` has depth 28 and width factor 10.

    Three stages of (depth - 4) / 6 blocks with 16, 32 and 64 times `width` channels. Convolutions
    begin as He normal over the outputs, the head's bias as zero.

    Raises:
        ConfigError: a depth that is not 6 n + 4.

    Source: Zagoruyko and Komodakis, Wide Residual Networks, BMVC 2016.
    """

    shorthand: ClassVar[str | None] = "depth_width"

    depth: int = Field(28, ge=10, description="6 n + 4 for n blocks per stage")
    width: int = Field(10, ge=1, description="channels relative to a ResNet's 16, 32, 64")

    @model_validator(mode="before")
    @classmethod
    def _split(cls, fields: Any) -> Any:
        if not isinstance(fields, Mapping) or "depth_width" not in fields:
            return fields
        fields = dict(fields)
        text = str(fields.pop("depth_width"))
        depth, dash, width = text.partition("-")
        if not (dash and depth.isdecimal() and width.isdecimal()):
            raise ValueError(f"wideresnet takes depth-width such as 28-10, got {text!r}")
        return {"depth": int(depth), "width": int(width), **fields}

    @field_validator("depth")
    @classmethod
    def _whole_blocks(cls, depth: int) -> int:
        if (depth - 4) % 6:
            near = 6 * max(1, round((depth - 4) / 6)) + 4
            raise ValueError(f"depth must be 6 n + 4, such as {near}")
        return depth

    def body(self, shape: tuple[int, int, int], classes: int) -> PreActNet:
        """Return the network for normalised images of `shape` (C, H, W)."""
        widths = (16 * self.width, 32 * self.width, 64 * self.width)
        net = PreActNet(shape[0], classes, 16, widths, ((self.depth - 4) // 6,) * 3)
        for module in net.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(net.head.bias)
        return net
