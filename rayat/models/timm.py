"""Any classifier of the timm library."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, field_validator
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from rayat.errors import ConfigError, DataError, nearest
from rayat.models._body import Body
from rayat.models.base import Model
from rayat.registry import MODELS


@MODELS.register("timm")
class Timm(Model):
    """Any timm model by name: `timm:resnet18`.

    timm is imported only when this part is built; nothing is downloaded unless `pretrained`.

    Raises:
        ConfigError: timm knows no such model; the text gives the nearest name.
        DataError: from `body`, the pretrained weights cannot be had.
    """

    shorthand: ClassVar[str | None] = "arch"

    arch: str = Field("resnet18", description="a name from timm.list_models()")
    pretrained: bool = Field(False, description="download timm's weights; the head is made anew")

    frozen_norms: bool = Field(
        False, description="BatchNorm uses its running statistics in training too (AccelAT)"
    )

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
        options = {"num_classes": classes, "in_chans": channels, **size}
        try:
            net = timm.create_model(self.arch, pretrained=self.pretrained, **options)
        except Exception as error:
            if not self.pretrained:
                raise
            # What is raised depends on timm's, the hub's and the network's mood: all of it means
            # that there are no weights.
            raise DataError(
                f"no pretrained weights for timm model {self.arch!r} "
                f"({type(error).__name__}: {str(error).strip().partition(chr(10))[0]}); fetch them "
                "once where there is a network, which keeps them in the cache that HF_HOME names, "
                "or use model.pretrained=false"
            ) from error
        return TimmBody(net, self.frozen_norms)


class TimmBody(Body):
    """A timm model under the names that every body has; `net` keeps timm's own state names."""

    def __init__(self, net: nn.Module, frozen_norms: bool = False) -> None:
        super().__init__()
        self.net, self.frozen_norms = net, frozen_norms

    def train(self, mode: bool = True) -> Self:
        """Set the mode; frozen BatchNorm layers stay in evaluation mode, their weights learn."""
        super().train(mode)
        if self.frozen_norms:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

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
