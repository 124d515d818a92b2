"""A weights file that somebody else wrote: what it is, where the weights are in it, their names."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from rayat.errors import ConfigError, nearest

PREFIXES = ("module.", "_orig_mod.", "model.", "net.")
"""What DataParallel, torch.compile and the common wrappers put before every name."""
HEAD = 200
"""Bytes that tell a text from a file of tensors."""
State = Mapping[str, Tensor]
Tell = Callable[[str], object]


def load_weights(
    model: nn.Module,
    path: Path,
    key: str | None = None,
    tell: Tell = lambda line: None,
    owner: str = "the network",
) -> None:
    """Put a file's weights into `model`; nothing that the file holds is run.

    Args:
        key: of the mapping in the file that holds them; None: the file itself, or the only mapping
            of tensors in it. tell: told in one line what was taken and which prefix was left out.
        owner: how to name the network in an error.

    Raises:
        ConfigError: no weights there, or they do not fit.
    """
    state = _unprefixed(_chosen(_read(path), path, key, tell), model, path, tell)
    try:
        model.load_state_dict(state)
    except Exception as error:  # a network may load its weights by code of its own
        lines = [line.strip() for line in str(error).splitlines()] or [type(error).__name__]
        raise ConfigError(
            f"{path} does not fit {owner!r}: {' '.join(lines[1:3] or lines)}; "
            "the names and shapes must be those of the network's state_dict()"
        ) from None


def _read(path: Path) -> Any:
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from None
    _refuse_texts(path, head)
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        return torch.load(path, weights_only=True, map_location="cpu")
    except pickle.UnpicklingError as error:
        text = str(error)
        if "truncated" in text or "ran out of" in text or "invalid load key" in text:
            raise ConfigError(_damaged(path)) from None
        raise ConfigError(
            f"{path} holds more than tensors, and loading that could run code; save the "
            "state_dict() alone, or as .safetensors"
        ) from None
    except Exception:  # a damaged file fails in any of the readers' ways
        raise ConfigError(_damaged(path)) from None


def _refuse_texts(path: Path, head: bytes) -> None:
    if not head:
        raise ConfigError(f"{path} cannot be read: it is empty (0 bytes); fetch it again")
    if head.startswith(b"version https://git-lfs"):
        raise ConfigError(
            f"{path} cannot be read: it is a Git LFS pointer and not the weights; "
            "`git lfs pull` fetches them"
        )
    if head.lstrip()[:1] == b"<":
        raise ConfigError(
            f"{path} cannot be read: it is a web page and not the weights; "
            "the download gave an error or a log-in page, fetch it again"
        )


def _damaged(path: Path) -> str:
    size = path.stat().st_size
    return (
        f"{path} cannot be read: it is no file of weights, or cut short ({size} bytes); give "
        ".safetensors or what torch.save wrote, or fetch it again"
    )


def _chosen(found: Any, path: Path, key: str | None, tell: Tell) -> State:
    """Return the mapping of tensors that `key` names, or the only one."""
    if key is not None:
        inner = found.get(key) if isinstance(found, Mapping) else None
        if inner is None or not _weights(inner):
            known = _candidates(found)
            raise ConfigError(
                f"{path} has no weights under {key!r}{nearest(key, known)}; it has them under "
                f"{', '.join(map(repr, known)) or 'no key'}"
            )
        return dict(inner)
    if _weights(found):
        return dict(found)
    known = _candidates(found)
    if len(known) > 1:
        raise ConfigError(
            f"{path} has weights under {', '.join(map(repr, known))}: choose one by --weights-key"
        )
    if not known:
        raise ConfigError(f"{path} is no state dict: names and tensors; save state_dict() alone")
    tell(f"{path.name}: the weights under {known[0]!r}")
    return dict(found[known[0]])


def _weights(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in value.items())
    )


def _candidates(found: Any) -> list[str]:
    if not isinstance(found, Mapping):
        return []
    return [key for key, value in found.items() if isinstance(key, str) and _weights(value)]


def _unprefixed(state: State, model: nn.Module, path: Path, tell: Tell) -> State:
    """Return the weights under the network's names, where a known prefix is all that differs."""
    wanted, short, dropped = set(model.state_dict()), dict(state), ""
    while set(short) != wanted:
        prefix = next((p for p in PREFIXES if all(name.startswith(p) for name in short)), None)
        if prefix is None:
            return state
        short = {name.removeprefix(prefix): value for name, value in short.items()}
        dropped += prefix
    if dropped:
        tell(f"{path.name}: the prefix {dropped!r} of its names left out")
    return short
