"""How much memory a training's process needs at least, known before it is taken."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rayat.config import TrialConfig
from rayat.data.base import Prepared
from rayat.errors import ConfigError

GB = 1e9
TOO_MANY = 2**63
"""Said of what 64 bits cannot count."""


def weights_bytes(config: TrialConfig, prepared: Prepared) -> int:
    """Return the bytes of weights, gradients, the optimiser's state, a mean and a probe's copy.

    The network is built on torch's `meta` device, whose tensors have a shape and no memory; what
    cannot be built there counts nothing.
    """
    try:
        with torch.device("meta"):
            model = config.model.build(prepared.shape, len(prepared.classes), 0)
    except Exception as error:
        # Other errors are the network's own: its first step says them.
        return TOO_MANY if "overflow" in str(error).lower() else 0
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    state = _state(config)
    kept = (1 + state) * bool(config.probe.at)  # what a probe takes back
    return round(weights * (2 + state + (config.weights.average != "none") + kept))


def _state(config: TrialConfig) -> float:
    """Return how many numbers the optimiser remembers per weight, from a step of a small one."""
    weight = nn.Parameter(torch.zeros(8, 8))
    optimizer = config.optimizer.make([weight], config.lr.peak)
    weight.grad = torch.ones_like(weight)
    optimizer.step()
    state = optimizer.state[weight].values()
    return sum(t.numel() for t in state if isinstance(t, Tensor)) / weight.numel()


def kept_bytes(model: nn.Module, x: Tensor) -> int:
    """Return the bytes that a forward pass of `x` keeps for its backward pass, weights apart."""
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    held = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(x)
    return sum(t.untyped_storage().nbytes() for place, t in kept.items() if place not in held)


def refuse_too_large(config: TrialConfig, needed: float, free: int) -> None:
    """Refuse what does not fit the memory there is, before any of it is taken.

    Args:
        needed: bytes, at least. free: bytes there are.

    Raises:
        ConfigError: with both.
    """
    if needed > free:
        much = f"{needed / GB:,.3g} GB" if needed < TOO_MANY else "billions of GB"
        raise ConfigError(
            f"model {config.model.kind!r} with batch_size={config.batch_size} needs at least "
            f"{much} of memory and {free / GB:,.3g} GB are free: use a smaller model or "
            "batch_size, or a larger machine"
        )
