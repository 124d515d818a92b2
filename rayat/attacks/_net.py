"""The network as attacks on it see it: folded once, then run many times."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from rayat.models._folded import Layer
from rayat.models.base import Normalised


class Folded(nn.Module):
    """A frozen copy of a `Normalised` network in evaluation mode that knows its input gradient.

    The logits are the network's up to rounding: in fp32 within 1e-5. Any loss may be put on them,
    but differentiated only once: a gradient of the gradient raises RuntimeError.

    Args:
        mean: (1, C, 1, 1), subtracted from the pixels. layer: the rest of the network.
        dtype: of weights and activations; images, logits and gradients stay float32 or wider.
    """

    mean: Tensor

    def __init__(self, mean: Tensor, layer: Layer, dtype: torch.dtype) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.layer = layer
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        """Map images (B, C, H, W) in [0, 1] to logits (B, classes)."""
        logits: Tensor = _Pass.apply(x, self)
        return logits

    @torch.no_grad()
    def cross_entropy_gradient(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits and the gradient of the summed cross-entropy, without autograd."""
        logits, kept = self.run(x)
        error = logits.softmax(1)
        error.scatter_add_(1, y[:, None], torch.full_like(error[:, :1], -1))
        return logits, self.back(error, kept, x)

    def run(self, x: Tensor) -> tuple[Tensor, Any]:
        """Return the logits and what `back` needs."""
        return self.layer.forward((x - self.mean).to(self.dtype))

    def back(self, gradient: Tensor, kept: Any, x: Tensor) -> Tensor:
        """Return the images' gradient for that of the logits, which is overwritten."""
        return self.layer.backward(gradient, kept).to(x.dtype)


class _Pass(torch.autograd.Function):
    """One node of autograd's graph for the whole network."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, net: Folded) -> Tensor:
        logits, kept = net.run(x)
        ctx.net, ctx.kept, ctx.x = net, kept, x
        return logits

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.net.back(gradient.clone(), ctx.kept, ctx.x), None


def fold(model: nn.Module) -> Folded | None:
    """Return the folded copy in the precision of autocast, or None where the network has none.

    A network has one if it is a `Normalised` whose body gives one (`Body.folded`) or is an
    `nn.Sequential` of plain layers. One with forward or backward hooks has none: they must run.
    """
    if type(model) is not Normalised or any(map(_hooked, model.modules())):
        return None
    device = model.mean.device.type
    dtype = model.mean.dtype
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
    layer = model.folded(dtype)
    return None if layer is None else Folded(model.mean, layer, dtype)


def cross_entropy_gradient(model: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logits and the gradient of the summed cross-entropy with respect to the images.

    One forward and one backward pass of each sample. The gradient may be an expanded view: it must
    not be written to.

    Args:
        model: frozen (see `_view.attacked`). x: images without a graph. y: labels (B,).
    """
    if isinstance(model, Folded):
        return model.cross_entropy_gradient(x, y)
    leaf = x.detach().requires_grad_(True)
    with torch.enable_grad():
        logits = model(leaf)
        loss = F.cross_entropy(logits, y, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, leaf)
    return logits.detach(), gradient


def _hooked(module: nn.Module) -> bool:
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
    )
