"""The network of a trial, before its first step and at any time."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from rayat.config import TrialConfig
from rayat.data.base import Prepared
from rayat.training.streams import derive


def build_model(config: TrialConfig, prepared: Prepared, device: str = "cpu") -> nn.Module:
    """Return the trial's network before its first step: a pure function of its arguments.

    Weights are channels-last, the layout in which convolutions are fastest on CPUs and GPUs.
    """
    model = config.model.build(
        prepared.shape,
        len(prepared.classes),
        derive(config.seed, "init"),
        prepared.mean,
        prepared.std,
    )
    # torch types `to(memory_format=...)` for tensors only.
    return model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def restored(
    config: TrialConfig,
    shape: tuple[int, int, int],
    classes: int,
    weights: Mapping[str, Tensor],
    device: str = "cpu",
) -> nn.Module:
    """Return the trial's network with the weights of a checkpoint, in evaluation mode.

    Args:
        shape: (C, H, W) of the images. classes: number of logits.
        weights: the state of the whole network, the statistics of the pixels included.
    """
    model = config.model.build(shape, classes, derive(config.seed, "init"))
    model.load_state_dict(weights)
    model.eval()
    return model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def all_finite(model: nn.Module) -> bool:
    """Return whether every weight and buffer is finite."""
    floats = [v for v in model.state_dict().values() if v.is_floating_point()]
    return bool(torch.stack([v.isfinite().all() for v in floats]).all())
