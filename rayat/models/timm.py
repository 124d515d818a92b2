"""Any classifier of the timm library."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, field_validator
from torch import Tensor, nn

from rayat.errors import ConfigError, nearest
from rayat.models._body import Body
from rayat.models.base import Model
from rayat.registry import MODELS


@MODELS.register("timm")
class Timm(Model):
    """Any timm model by name: `timm:resnet18`.

    timm is imported only when this part is built; nothing is downloaded unless `pretrained`.

    Raises:
        ConfigError: timm knows no such model; the text gives the nearest name.
    """

    shorthand: ClassVar[str | None] = "arch"

    arch: str = Field("resnet18", description="a name from timm.list_models()")
    pretrained: bool = Field(False, description="download timm's weights; the head is made anew")

    @field_validator("arch")
    @classmethod
    def _known(cls, arch: str) -> str:
        import timm

        if not timm.is_model(arch):
            known = nearest(arch, timm.list_models())
            raise ConfigError(f"unknown timm model {arch!r}{known}; timm.list_models() lists all")
        return arch

    def body(self, shape: tuple[int, int, int], classes: int) -> TimmBody:
        """Return the network for normalised images of `shape` (C, H, W).

        A model with position embeddings is built for this image size.
        """
        import timm

        channels, height, width = shape
        config = timm.get_pretrained_cfg(self.arch)
        size = {"img_size": (height, width)} if config and config.fixed_input_size else {}
        net = timm.create_model(
            self.arch, pretrained=self.pretrained, num_classes=classes, in_chans=channels, **size
        )
        return TimmBody(net)


class TimmBody(Body):
    """A timm model under the names that every body has; `net` keeps timm's own state names."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    @property
    def head(self) -> nn.Linear:  # type: ignore[override]
        """Return timm's classifier."""
        head: nn.Linear = self.net.get_classifier()  # type: ignore[operator]
        return head

    def forward_features(self, x: Tensor) -> Tensor:
        """Map normalised images (B, C, H, W) to the classifier's input (B, F)."""
        maps = self.net.forward_features(x)  # type: ignore[operator]
        out: Tensor = self.net.forward_head(maps, pre_logits=True)  # type: ignore[operator]
        return out
