"""The pre-activation network as an attack runs it; `_preact.PreActNet` is its reference."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rayat.models._preact_blocks import Activation, PreActBlock
from rayat.models._stem import Stem
from rayat.models.folded import (
    Chain,
    Conv,
    GlobalMean,
    Kept,
    Layer,
    Linear,
    foldable,
    mask_,
    relu_,
    scale_and_shift,
)


def fold_preact(
    stem: nn.Conv2d,
    blocks: nn.Sequential,
    last: Activation,
    head: nn.Linear,
    dtype: torch.dtype,
    std: Tensor,
) -> Chain:
    """Return the folded network of these layers; `std` (C,) divides its input per channel.

    Args:
        blocks: of `PreActBlock`. last: the activation before the mean over the image.
    """
    act = Act(last)
    return Chain(
        [
            Stem(stem, dtype, std),
            *(Block(block, dtype) for block in blocks),  # type: ignore[arg-type]
            act,
            GlobalMean(),
            Linear(head, torch.float32, gain=act.gain),
        ]
    )


class Act(Layer):
    """Norm, then ReLU: the norm before a convolution has no convolution to be folded into.

    Attributes:
        gain: the norm's factor (C,), None without norm. `backward` leaves it to the next layer,
            which has it in its weights already.
    """

    def __init__(self, act: Activation) -> None:
        self.norm: tuple[Tensor, Tensor] | None = None
        self.gain: Tensor | None = None
        if foldable(act.norm):
            self.norm = scale_and_shift(act.norm)  # type: ignore[arg-type]
            self.gain = self.norm[0]
            self.mean, self.var = torch.zeros_like(self.gain), torch.ones_like(self.gain)

    def forward(self, x: Tensor) -> tuple[Tensor, Kept]:
        """Return the activation, which is also what is kept."""
        if self.norm is None:
            out = x.clone()
        else:
            # torch's kernel for scale and shift per channel: the fastest there is, in all layouts.
            out = torch.batch_norm(x, *self.norm, self.mean, self.var, False, 0.0, 0.0, False)
        relu_(out)
        return out, out

    def backward(self, gradient: Tensor, kept: Kept) -> Tensor:
        """Return the gradient, masked in place."""
        mask_(gradient, kept)
        return gradient


class Block(Layer):
    """A pre-activation block; the BatchNorm between its convolutions is folded into the first.

    `forward` writes the block's output over its input where the shape allows it.
    """

    def __init__(self, block: PreActBlock, dtype: torch.dtype) -> None:
        norm = block.act2.norm if foldable(block.act2.norm) else None
        self.act = Act(block.act1)
        gain = self.act.gain
        self.conv1 = Conv(block.conv1, dtype, norm, relu=True, gain=gain)  # type: ignore[arg-type]
        self.conv2 = Conv(block.conv2, dtype)
        shortcut = block.shortcut
        self.shortcut = None if shortcut is None else Shortcut(shortcut, dtype, gain=gain)

    def forward(self, x: Tensor) -> tuple[Tensor, Kept]:
        """Return the block's output."""
        active, _ = self.act.forward(x)
        hidden, kept1 = self.conv1.forward(active)
        out = x if self.shortcut is None else self.shortcut.forward(active)[0]
        kept2 = self.conv2.add_(hidden, out)
        return out, (active, kept1, kept2)

    def backward(self, gradient: Tensor, kept: Kept) -> Tensor:
        """Return the block's input gradient."""
        active, kept1, kept2 = kept
        inner = self.conv1.backward(self.conv2.backward(gradient, kept2), kept1)
        if self.shortcut is not None:
            self.shortcut.backward_add_(gradient, inner)
            return self.act.backward(inner, active)
        return self.act.backward(inner, active).add_(gradient)


class Shortcut(Conv):
    """A 1x1 convolution: its stride passes over most pixels, and so does its input gradient."""

    def backward_add_(self, gradient: Tensor, inner: Tensor) -> None:
        """Add the input gradient to `inner` in place.

        Over the pixels that were not passed over alone: 3 to 5 times as fast, at stride 2, as the
        whole image's gradient and its addition.
        """
        (down, right), weight = self.shape[0], self.weight_back.transpose(0, 1)
        inner[:, :, ::down, ::right].add_(torch.conv2d(gradient, weight))
