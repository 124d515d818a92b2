"""The model as an attack sees it: frozen, in a chosen BatchNorm mode, exactly as found afterwards.

Everything an attack may do to a model is decided here, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from rayat.attacks.net import fold


@contextmanager
def attacked(
    model: nn.Module, bn_mode: Literal["eval", "batch"] = "eval", fast: bool = True
) -> Iterator[nn.Module]:
    """Give the module to attack; on leaving, also by an error, `model` is exactly as it was.

    Where the network has a folded copy (`net.fold`) the module is that copy, made here: make it
    once for all steps of an attack. It gives the network's logits up to rounding, in the precision
    of the surrounding autocast, which is switched off inside.

    Otherwise it is `model` itself: every submodule is in evaluation mode and no parameter requires
    a gradient, so a backward pass costs the input gradient alone and `.grad` stays as it was. With
    `bn_mode="batch"` BatchNorm layers use the statistics of the batch they are given and leave
    their running statistics alone (docs/papers.md 1.7 lists who does which).

    Args:
        model: the bare network; not its DDP wrapper, whose forward would exchange buffers.
        bn_mode: `eval` for running statistics, `batch` for those of the attacked batch.
        fast: False gives `model` itself, for attacks that differentiate a gradient.
    """
    folded = fold(model) if fast and bn_mode == "eval" else None
    if folded is None:
        with settled(model, bn_mode), _frozen(model):
            yield model
    else:
        with torch.autocast(folded.mean.device.type, enabled=False):
            yield folded


@contextmanager
def settled(model: nn.Module, bn_mode: Literal["eval", "batch"] = "eval") -> Iterator[None]:
    """Put `model` in the mode of an attack, its weights as free as they are (see `attacked`).

    For losses of an input gradient: what is computed here may be differentiated after leaving.
    """
    modes = [(module, module.training) for module in model.modules()]
    norms = [
        (module, module.track_running_stats)
        for module in model.modules()
        if isinstance(module, _BatchNorm)
    ]
    try:
        # The flag itself and not `.eval()`: a module may override `train` with side effects.
        for module, _ in modes:
            module.training = False
        if bn_mode == "batch":
            for norm, _ in norms:
                norm.training = True
                norm.track_running_stats = False  # batch statistics, buffers neither read nor moved
        yield
    finally:
        for norm, tracked in norms:
            norm.track_running_stats = tracked
        for module, training in modes:
            module.training = training


@contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        for parameter in trained:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
