"""The network as attacks on it see it: folded once, then run many times."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from rayat.models.base import Normalised
from rayat.models.folded import Layer

Error = Callable[[Tensor], Tensor]
"""Logits (B, classes) to the gradient of a loss with respect to them (`losses.error`)."""


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
    def input_gradient(self, x: Tensor, error: Error) -> tuple[Tensor, Tensor]:
        """Return the logits and the images' gradient (see `input_gradient`), without autograd."""
        logits, kept = self.run(x)
        return logits, self.back(error(logits), kept, x)

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


def input_gradient(model: nn.Module, x: Tensor, error: Error) -> tuple[Tensor, Tensor]:
    """Return the logits and the gradient of a loss of them with respect to the images.

    One forward and one backward pass of each sample. The gradient may be an expanded view: it must
    not be written to.

    Args:
        model: frozen (see `view.attacked`). x: images without a graph.
        error: gives the loss' gradient with respect to the logits, as a new tensor.
    """
    if isinstance(model, Folded):
        return model.input_gradient(x, error)
    leaf = x.detach().requires_grad_(True)
    with torch.enable_grad():
        logits = model(leaf)
    plain = logits.detach()
    wide = plain.float() if plain.dtype.itemsize < 4 else plain
    (gradient,) = torch.autograd.grad(logits, leaf, error(wide).to(plain.dtype))
    return wide, gradient


def _hooked(module: nn.Module) -> bool:
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
    )
