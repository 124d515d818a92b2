"""Adversarial weight perturbation (Wu, Xia and Wang, NeurIPS 2020)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def uphill(model: nn.Module, gamma: float) -> Iterator[None]:
    """Move the weights up their gradient for the block: `w + gamma * ||w|| * g / ||g||` per tensor.

    On leaving, also by an error, every weight is what it was, to the bit. Tensors of one dimension
    (biases, BatchNorm's scales) stay, as published, and so do those without a gradient or with one
    that is zero.

    Args:
        gamma: length of the step as a share of the tensor's own length.
    """
    moved = [p for p in model.parameters() if p.grad is not None and p.ndim > 1]
    before = [p.detach().clone() for p in moved]
    with torch.no_grad():
        for p in moved:
            assert p.grad is not None
            length = torch.linalg.vector_norm(p.grad)
            scale = gamma * torch.linalg.vector_norm(p) / length
            p.add_(p.grad * torch.where(length > 0, scale, 0))
    try:
        yield
    finally:
        with torch.no_grad():
            for p, value in zip(moved, before, strict=True):
                p.copy_(value)


@contextmanager
def still_norms(model: nn.Module) -> Iterator[None]:
    """Let BatchNorm normalise by the batch in the block, and leave its running statistics alone."""
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
