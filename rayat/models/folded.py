"""Layers that give the input gradient alone: a network as an attack needs it, and nothing more.

A folded layer is a frozen copy of one or more modules in evaluation mode: BatchNorm is multiplied
into the convolution before it, weights are in the precision asked for. It has its own backward pass
instead of autograd's, which would spend more time on small networks' bookkeeping, on BatchNorm's
backward (five times an elementwise pass on a CPU) and on memory than on the convolutions.

The modules' own forward under autograd is the slow reference; tests hold the two together.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rayat.models.synced import SyncedNorm

Kept = Any
"""What a layer's backward needs from its forward."""


class Layer(ABC):
    """One step of a folded network; runs without autograd and holds no state between calls."""

    @abstractmethod
    def forward(self, x: Tensor) -> tuple[Tensor, Kept]:
        """Return the output and what `backward` needs; `x` may be overwritten."""

    @abstractmethod
    def backward(self, gradient: Tensor, kept: Kept) -> Tensor:
        """Return the gradient of the input; may overwrite `gradient`, not what was kept."""


class Chain(Layer):
    """One layer after the other."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.layers = tuple(layers)

    def forward(self, x: Tensor) -> tuple[Tensor, Kept]:
        """Run every layer."""
        kept = []
        for layer in self.layers:
            x, memory = layer.forward(x)
            kept.append(memory)
        return x, kept

    def backward(self, gradient: Tensor, kept: Kept) -> Tensor:
        """Run every layer backwards."""
        for layer, memory in zip(reversed(self.layers), reversed(kept), strict=True):
            gradient = layer.backward(gradient, memory)
        return gradient


class Conv(Layer):
    """Convolution, then the BatchNorm that follows it, then ReLU.

    Args:
        norm: folded into the weights; in evaluation mode it is `scale * x + shift`.
        std: per-channel divisor of the input (C,), folded into the weights.
        gain: per-channel factor of the input's gradient (C,): that of a BatchNorm before this
            layer, which costs nothing here and an elementwise pass there.
    """

    def __init__(
        self,
        conv: nn.Conv2d,
        dtype: torch.dtype,
        norm: nn.BatchNorm2d | None = None,
        relu: bool = False,
        std: Tensor | None = None,
        gain: Tensor | None = None,
    ) -> None:
        weight, bias = conv.weight.detach(), conv.bias
        bias = None if bias is None else bias.detach()
        if norm is not None:
            scale, shift = scale_and_shift(norm)
            weight = weight * scale[:, None, None, None]
            bias = shift if bias is None else shift + scale * bias
        if std is not None:
            weight = weight / std[None, :, None, None]
        self.weight = self.weight_back = weight.to(dtype, memory_format=torch.channels_last)
        if gain is not None:
            weight = weight * gain[None, :, None, None]
            self.weight_back = weight.to(dtype, memory_format=torch.channels_last)
        self.bias = None if bias is None else bias.to(dtype)
        self.relu = relu
        stride, padding, dilation = conv.stride, conv.padding, conv.dilation
        assert not isinstance(padding, str)
        self.shape = (list(stride), list(padding), list(dilation))
        self.groups = conv.groups

    def forward(self, x: Tensor) -> tuple[Tensor, Kept]:
        """Return the activation; keeps it with the input."""
        out = torch.conv2d(x, self.weight, self.bias, *self.shape, self.groups)
        if self.relu:
            relu_(out)
        return out, (x, out)

    def add_(self, x: Tensor, out: Tensor) -> Kept:
        """Add the convolution to `out`, in place and in one kernel on a CPU; no ReLU."""
        if _has_fused_add(x):
            stride, padding, dilation = self.shape
            torch.ops.mkldnn._convolution_pointwise_.binary(
                out, x, self.weight, self.bias, padding, stride, dilation, self.groups,
                "add", 1.0, None, [], None,
            )  # fmt: skip
        else:
            out.add_(torch.conv2d(x, self.weight, self.bias, *self.shape, self.groups))
        return x, None

    def backward(self, gradient: Tensor, kept: Kept) -> Tensor:
        """Return the input gradient; the weight's is never computed."""
        x, out = kept
        if self.relu:
            mask_(gradient, out)
        return self.input_gradient(gradient, x)

    def input_gradient(self, gradient: Tensor, x: Tensor) -> Tensor:
        """Return the convolution's input gradient in new memory; of `x` only the shape is used."""
        return torch.ops.aten.convolution_backward(  # type: ignore[no-any-return]
            gradient, x, self.weight_back, None, *self.shape, False, [0, 0], self.groups,
            [True, False, False],
        )[0]  # fmt: skip


class Linear(Layer):
    """Linear layer, then ReLU; flattens images first, without a copy where they are channels-last.

    Args:
        channels: of the images that come in, None where vectors do.
        dtype: the last layer of a network is asked for float32, so that logits are.
        gain: as in `Conv`, for vectors (C,).
    """

    def __init__(
        self,
        linear: nn.Linear,
        dtype: torch.dtype,
        relu: bool = False,
        channels: int | None = None,
        gain: Tensor | None = None,
    ) -> None:
        weight = linear.weight.detach()
        if channels is not None:  # columns from (C, H, W) to (H, W, C) order
            outputs = len(weight)
            weight = weight.view(outputs, channels, -1).transpose(1, 2).reshape(outputs, -1)
        self.weight = self.weight_back = weight.to(dtype)
        if gain is not None:
            self.weight_back = (weight * gain).to(dtype)
        self.bias = linear.bias.detach().to(dtype)
        self.relu = relu

    def forward(self, x: Tensor) -> tuple[Tensor, Kept]:
        """Return (B, outputs)."""
        rows = x.permute(0, 2, 3, 1).flatten(1) if x.ndim == 4 else x
        out = torch.addmm(self.bias, rows.to(self.weight.dtype), self.weight.t())
        if self.relu:
            relu_(out)
        return out, (x, out)

    def backward(self, gradient: Tensor, kept: Kept) -> Tensor:
        """Return the gradient in the shape and precision of the input."""
        x, out = kept
        if self.relu:
            mask_(gradient, out)
        rows = torch.mm(gradient, self.weight_back).to(x.dtype)
        if x.ndim == 2:
            return rows
        batch, channels, height, width = x.shape
        return rows.view(batch, height, width, channels).permute(0, 3, 1, 2)


class GlobalMean(Layer):
    """Mean over the pixels, (B, C, H, W) to float32 (B, C)."""

    def forward(self, x: Tensor) -> tuple[Tensor, Kept]:
        """Return the means."""
        return x.mean((2, 3), dtype=torch.float32), x

    def backward(self, gradient: Tensor, kept: Kept) -> Tensor:
        """Spread the gradient evenly."""
        image: Tensor = kept
        share = (gradient / image[0, 0].numel()).to(image.dtype)
        return (
            share[:, :, None, None].expand_as(image).contiguous(memory_format=torch.channels_last)
        )


def scale_and_shift(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return what BatchNorm in evaluation mode multiplies with and adds, each (C,).

    Args:
        norm: with running statistics (`foldable`).
    """
    assert norm.running_var is not None
    assert norm.running_mean is not None
    scale = torch.rsqrt(norm.running_var + norm.eps)
    if norm.affine:
        scale = scale * norm.weight.detach()
        return scale, norm.bias.detach() - norm.running_mean * scale
    return scale, -norm.running_mean * scale


def relu_(x: Tensor) -> None:
    """Apply ReLU in place."""
    if _integers_pay(x):
        x.view(torch.int16).clamp_(min=0)  # a negative bfloat16 is a negative int16
    else:
        x.relu_()


def mask_(gradient: Tensor, activation: Tensor) -> None:
    """Set the gradient to zero, in place, where the ReLU's output is not positive.

    The activation's values may be lost, but not where it is positive: masking twice is possible.
    """
    if _integers_pay(gradient) and gradient.stride() == activation.stride():
        # A positive bfloat16 is a positive int16: 0 or 1 is left, and 1 times bits are the bits.
        gradient.view(torch.int16).mul_(activation.view(torch.int16).clamp_(max=1))
        return
    torch.ops.aten.threshold_backward.grad_input(gradient, activation, 0, grad_input=gradient)


def chain(modules: Sequence[nn.Module], dtype: torch.dtype, std: Tensor) -> Chain | None:
    """Fold a sequence of convolutions, BatchNorms, ReLUs and linear layers; None if it is not one.

    Args:
        modules: in their order; the first a convolution, the last a linear layer.
        dtype: of weights and activations. std: per-channel divisor of the input.
    """
    layers: list[Layer] = []
    left = list(modules)
    channels: int | None = None
    while left:
        module = left.pop(0)
        if type(module) is nn.Conv2d and plain(module):
            norm = left.pop(0) if left and foldable(left[0]) else None
            layers.append(
                Conv(module, dtype, norm, _pop_relu(left), None if layers else std)  # type: ignore[arg-type]
            )
            channels = module.out_channels
        elif type(module) is nn.AdaptiveAvgPool2d and module.output_size in (1, (1, 1)):
            layers.append(GlobalMean())
            channels = None
        elif type(module) is nn.Linear and layers and module.bias is not None:
            last = not left
            layers.append(
                Linear(module, torch.float32 if last else dtype, _pop_relu(left), channels)
            )
            channels = None
        elif not (type(module) is nn.Flatten and left and type(left[0]) is nn.Linear):
            return None
    return Chain(layers) if layers and isinstance(layers[-1], Linear) else None


def plain(conv: nn.Conv2d) -> bool:
    """Return whether the convolution pads with zeros, and by numbers."""
    return conv.padding_mode == "zeros" and not isinstance(conv.padding, str)


def foldable(module: nn.Module) -> bool:
    """Return whether the module is a BatchNorm that has running statistics."""
    return type(module) in (nn.BatchNorm2d, SyncedNorm) and module.running_mean is not None


def _integers_pay(x: Tensor) -> bool:
    """Return whether torch's int16 kernels (four times as fast) do the work of bfloat16's."""
    return x.dtype == torch.bfloat16 and x.device.type == "cpu"


def _has_fused_add(x: Tensor) -> bool:
    return x.device.type == "cpu" and (
        (x.dtype == torch.float32 and torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
        or (x.dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )


def _pop_relu(left: list[nn.Module]) -> bool:
    if left and type(left[0]) is nn.ReLU:
        left.pop(0)
        return True
    return False
