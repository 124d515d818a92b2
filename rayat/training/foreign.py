"""A network that rayat did not train: from a factory and a weights file, checked before use."""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from rayat.attacks._view import attacked
from rayat.data.base import Prepared
from rayat.data.loader import eval_batches
from rayat.errors import ConfigError

IMAGES = 64
"""Images of the check."""
AGREE = 1e-4
"""Largest difference of the logits of two passes, relative to the largest logit."""


def load_network(factory: str, weights: Path | None, device: str = "cpu") -> nn.Module:
    """Return the network that a factory makes, with the weights of a file.

    Args:
        factory: `package.module:name`, called without arguments; it must normalise its input
            itself. weights: `.safetensors`, or a state dict that torch loads with
            `weights_only=True` (also under the key `state_dict`); None: as the factory gives it.

    Raises:
        ConfigError: nothing to import there, no network, or weights that do not fit.
    """
    module, _, name = factory.partition(":")
    try:
        make = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"--model {factory!r} cannot be imported ({error}); give package.module:factory, "
            "found from the present folder or installed"
        ) from None
    model = make()
    if not isinstance(model, nn.Module):
        raise ConfigError(
            f"--model {factory!r} gave a {type(model).__name__}; "
            "a factory takes no argument and returns a torch.nn.Module"
        )
    if weights is not None:
        try:
            model.load_state_dict(_state(weights))
        except RuntimeError as error:
            lines = [line.strip() for line in str(error).splitlines()]
            raise ConfigError(
                f"{weights} does not fit {factory!r}: {' '.join(lines[1:3])}; "
                "the names and shapes must be those of the network's state_dict()"
            ) from None
    return model.to(device)


def check_network(model: nn.Module, prepared: Prepared, device: str = "cpu") -> None:
    """Refuse a network whose robust accuracy would mean nothing on this data.

    Raises:
        ConfigError: logits of another shape, not finite, probabilities, or random ones.
    """
    x, _ = next(iter(eval_batches(prepared.test, IMAGES, device)))
    with attacked(model) as frozen, torch.no_grad():
        try:
            logits, again = frozen(x), frozen(x)
        except RuntimeError as error:
            raise ConfigError(
                f"the network does not take images {tuple(x.shape)} of {prepared.name}: "
                f"{str(error).splitlines()[0]}"
            ) from None
    expected = (len(x), len(prepared.classes))
    shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if shape != expected:
        raise ConfigError(
            f"the network gives {shape} for {len(x)} images, {prepared.name} has "
            f"{expected[1]} classes; it must give logits {expected}"
        )
    if not logits.isfinite().all():
        raise ConfigError("the network gives logits that are not finite; look at its weights")
    if (logits >= 0).all() and ((logits.sum(1) - 1).abs() < 1e-4).all():
        raise ConfigError(
            "the network gives probabilities (every output sums to 1), whose gradients vanish "
            "and make attacks look weak; return logits: leave out the softmax"
        )
    if (logits - again).abs().max() > AGREE * logits.abs().max():
        raise ConfigError(
            "the network gives other logits the second time: rayat evaluates deterministic "
            "networks; switch its randomness off in evaluation mode"
        )


def _state(path: Path) -> Mapping[str, Any]:
    try:
        if path.suffix == ".safetensors":
            state: Any = safetensors.torch.load_file(path)
        else:
            state = torch.load(path, weights_only=True, map_location="cpu")
    except pickle.UnpicklingError:
        raise ConfigError(
            f"{path} holds more than tensors, and loading that could run code; save the "
            "state_dict() alone, or as .safetensors"
        ) from None
    except (OSError, RuntimeError, EOFError, safetensors.SafetensorError) as error:
        raise ConfigError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ConfigError(f"{path} is no state dict: names and tensors; save state_dict() alone")
    return state
