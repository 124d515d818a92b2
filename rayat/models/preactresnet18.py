"""PreActResNet-18, the standard net of adversarial training on 32x32 images."""

from __future__ import annotations

from rayat.models._preact import PreActNet
from rayat.models._preact_blocks import Norm
from rayat.models.base import Model
from rayat.registry import MODELS


@MODELS.register("preactresnet18")
class PreActResNet18(Model):
    """PreActResNet-18: width 64, four stages of two blocks, 11.2 million weights.

    Source: He et al., ECCV 2016; the net of Rice et al., Overfitting in adversarially robust deep
    learning, ICML 2020.
    """

    norm: Norm = "batch"

    def body(self, shape: tuple[int, int, int], classes: int) -> PreActNet:
        """Return the network for normalised images of `shape` (C, H, W)."""
        return PreActNet(shape[0], classes, 64, (64, 128, 256, 512), (2, 2, 2, 2), norm=self.norm)
